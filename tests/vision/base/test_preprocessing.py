from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import ImageError
from clary.vision.base import preprocessing
from clary.vision.base.preprocessing import Preprocess

Encoded = Callable[..., bytes]


def gradient(width: int, height: int) -> np.ndarray:
    """A gentle colour gradient that survives scaling."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=2).astype(np.uint8)


sizes = st.integers(1, 90)


class TestGeometry:
    @given(sizes, sizes, sizes, sizes, st.one_of(st.none(), sizes), st.sampled_from(["center", "squash"]))
    def test_fit_gives_the_size_asked_for(
        self, height: int, width: int, h: int, w: int, resize: int | None, crop: Any
    ) -> None:
        pixels = gradient(width, height)
        before = pixels.copy()
        fitted = preprocessing.fit(pixels, Preprocess(h, w, resize, crop))
        assert fitted.shape == (h, w, 3)
        assert fitted.dtype == np.uint8
        assert np.array_equal(pixels, before)

    @given(sizes, sizes, sizes)
    def test_the_shorter_side(self, height: int, width: int, size: int) -> None:
        resized = preprocessing.resize_shorter(gradient(width, height), size)
        assert min(resized.shape[:2]) == size
        long = max(height, width) * size / min(height, width)
        assert abs(max(resized.shape[:2]) - long) <= 0.5 + 1e-9

    @given(st.data(), sizes, sizes)
    def test_crop_is_a_view_inside_or_an_error(self, data: st.DataObject, height: int, width: int) -> None:
        top, left = data.draw(st.integers(-5, 95)), data.draw(st.integers(-5, 95))
        h, w = data.draw(sizes), data.draw(sizes)
        pixels = gradient(width, height)
        if 0 <= top <= height - h and 0 <= left <= width - w:
            cut = preprocessing.crop(pixels, top, left, h, w)
            assert np.array_equal(cut, pixels[top : top + h, left : left + w])
            assert np.shares_memory(cut, pixels)
        else:
            with pytest.raises(ImageError, match="set `resize`"):
                preprocessing.crop(pixels, top, left, h, w)

    def test_center_crop_is_in_the_middle(self) -> None:
        pixels = gradient(90, 50)
        assert np.array_equal(preprocessing.crop_center(pixels, 10, 20), pixels[20:30, 35:55])

    def test_squash_ignores_the_aspect(self) -> None:
        stripes = np.zeros((40, 80, 3), np.uint8)
        stripes[:, 70:] = 255  # the right end, which a centre crop loses
        assert preprocessing.fit(stripes, Preprocess(40, 40, crop="squash"))[:, -1].min() == 255
        assert preprocessing.fit(stripes, Preprocess(40, 40)).max() == 0

    def test_same_size_is_no_copy(self) -> None:
        pixels = gradient(30, 20)
        assert preprocessing.resize(pixels, 20, 30) is pixels

    def test_prepare(self, encoded: Encoded) -> None:
        data = encoded("JPEG", 640, 480)
        assert preprocessing.prepare(data, Preprocess(224, 224, resize=256)).shape == (224, 224, 3)
        assert preprocessing.prepare(data, Preprocess(32, 64, crop="squash")).shape == (32, 64, 3)
