"""Pictures prepared as a whole: aspect kept, any size, bounded."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clary.errors import ImageError
from clary.vision.base.decoding import decode
from clary.vision.base.preprocessing import (
    WHOLE_PIXELS,
    WHOLE_SIDES,
    Preprocess,
    fit,
    prepare,
    prepare_sized,
    resize,
    whole_size,
)

OWN = Preprocess.whole()


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((500, 375), None, (375, 500)),
        ((500, 375), 240, (180, 240)),
        ((375, 500), 240, (240, 180)),
        ((100, 50), 240, (120, 240)),
        ((1, 1), None, (32, 32)),
        ((1000, 10), 240, (32, 240)),
        ((4096, 4096), None, (2048, 2048)),
        ((20_000, 2_000), None, (648, 6476)),
        ((65_535, 4), None, (32, 8192)),
        ((1, 80_000_000), None, (8192, 32)),
    ],
)
def test_sizes(size, resize, expected):
    assert whole_size(size[0], size[1], Preprocess.whole(resize)) == expected


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((500, 375), None, (384, 512)),
        ((500, 375), 352, (256, 352)),
        ((512, 384), None, (384, 512)),
        ((20, 10), None, (32, 32)),
        ((4096, 4096), None, (2048, 2048)),
        ((65_535, 4), None, (32, 8192)),
    ],
)
def test_sizes_of_a_network_with_a_coarse_map(size, resize, expected):
    assert whole_size(size[0], size[1], Preprocess.whole(resize, 32)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 100_000),
    st.integers(1, 100_000),
    st.none() | st.integers(1, 16_384),
    st.sampled_from([1, 2, 4, 8, 16, 32]),
)
def test_sizes_are_bounded_and_keep_the_aspect(width, height, longer, multiple):
    found_height, found_width = whole_size(width, height, Preprocess.whole(longer, multiple))
    shortest, longest = WHOLE_SIDES
    assert found_height % multiple == found_width % multiple == 0
    assert shortest <= min(found_height, found_width)
    assert max(found_height, found_width) <= longest
    assert found_height * found_width <= WHOLE_PIXELS * 1.02 + longest * multiple
    if min(found_height, found_width) > shortest and max(found_height, found_width) < longest:
        assert found_width / found_height == pytest.approx(width / height, rel=1.1 * multiple / shortest)


def test_a_picture_of_its_own_size_is_left_as_it_is(encoded):
    data = encoded("PNG", 100, 70)
    pixels, size = prepare_sized(data, OWN)
    np.testing.assert_array_equal(pixels, decode(data))
    assert size == (100, 70)
    np.testing.assert_array_equal(prepare(data, OWN), pixels)


def test_every_kind_of_picture_gives_the_same(encoded, tmp_path):
    data = encoded("PNG", 300, 200)
    (tmp_path / "a.png").write_bytes(data)
    image = Image.open(io.BytesIO(data))
    how = Preprocess.whole(120)
    kinds: list[Any] = [data, bytearray(data), tmp_path / "a.png", str(tmp_path / "a.png"), image, np.asarray(image)]
    for image in kinds:
        pixels, size = prepare_sized(image, how)
        assert (pixels.shape, size) == ((80, 120, 3), (300, 200))
        np.testing.assert_array_equal(pixels, resize(decode(data), 80, 120))


def test_a_turned_picture_is_upright(encoded):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels, size = prepare_sized(encoded("JPEG", 64, 40, exif=exif), OWN)
    assert (pixels.shape, size) == ((64, 40, 3), (40, 64))


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(encoded):
    data = encoded("JPEG", 1600, 1200, quality=95)
    pixels, size = prepare_sized(data, Preprocess.whole(200))
    assert (pixels.shape, size) == ((150, 200, 3), (1600, 1200))
    whole = resize(decode(data), 150, 200)
    assert np.abs(pixels.astype(int) - whole).mean() < 2


def test_the_size_comes_with_other_ways_too(encoded):
    pixels, size = prepare_sized(encoded("JPEG", 90, 60), Preprocess(48, 64, crop="squash"))
    assert (pixels.shape, size) == ((48, 64, 3), (90, 60))


def test_pixels_can_be_fitted():
    assert fit(np.zeros((100, 200, 3), np.uint8), Preprocess.whole(50)).shape == (32, 50, 3)


def test_errors_name_the_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.jpg: is not a picture"):
        prepare(tmp_path / "a.jpg", OWN)
    with pytest.raises(ImageError, match=r"b\.jpg: cannot be read"):
        prepare(tmp_path / "b.jpg", OWN)
    with pytest.raises(ImageError, match="is empty"):
        prepare(b"", OWN)
