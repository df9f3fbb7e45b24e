"""Pictures and their boxes change together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.vision.base.boxes import areas
from clary.vision.datasets.augment import FILL
from clary.vision.datasets.augment_boxes import (
    BOX_AUGMENTATIONS,
    WHOLE,
    augment_boxes,
    draw,
    gentle_window,
    mirror,
    random_distortion,
    random_padding,
    seen,
    ssd_window,
)
from clary.vision.datasets.loader import random_of

seeds = st.integers(0, 2**32 - 1)
KINDS = (None, *BOX_AUGMENTATIONS)


def some_objects(seed: int, count: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 0.8, (count, 2))
    sides = random.uniform(0.03, 1, (count, 2)) * (1 - corner)
    return np.column_stack([random.integers(0, 4, count), corner, corner + sides]).astype(np.float32)


def marked(width: int, height: int, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A dark picture with a bright rectangle, and the rectangle as an object."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = (250, 30, 30)
    corners = np.array(box, np.float32) / np.array([width, height, width, height], np.float32)
    return pixels, np.array([[1, *corners]], np.float32)


def bright(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Where the bright rectangle is, in fractions."""
    red = pixels[..., 0].astype(int) - pixels[..., 1] > 90
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    height, width = pixels.shape[:2]
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


@pytest.mark.parametrize("kind", KINDS)
@given(seed=seeds, count=st.integers(0, 4), width=st.integers(8, 90), height=st.integers(8, 90))
def test_view_has_its_size_and_sound_boxes(kind: str | None, seed: int, count: int, width: int, height: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    objects = some_objects(seed, count)
    before, told = pixels.copy(), objects.copy()
    transform, found = augment_boxes(pixels, objects, kind, 64, 48, random_of(seed))
    assert transform.shape == (64, 48, 3)
    assert transform.dtype == np.uint8
    assert found.dtype == np.float32
    assert found.shape[1:] == (5,)
    assert len(found) <= count
    assert set(found[:, 0]) <= set(objects[:, 0])
    assert ((found[:, 1:] >= 0) & (found[:, 1:] <= 1)).all()
    assert (areas(found[:, 1:]) > 0).all()
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(objects, told)
    again, same = augment_boxes(pixels, objects, kind, 64, 48, random_of(seed))
    np.testing.assert_array_equal(transform, again)
    np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("kind", BOX_AUGMENTATIONS)
def test_other_draws_give_other_views(kind: str, image: Callable[..., np.ndarray]) -> None:
    transformed = {
        augment_boxes(image(), some_objects(0, 2), kind, 32, 32, random_of(n))[0].tobytes() for n in range(8)
    }
    assert len(transformed) == 8


@pytest.mark.parametrize("kind", BOX_AUGMENTATIONS)
def test_boxes_stay_on_what_they_are_of(kind: str) -> None:
    """The rectangle is found in the pixels where its box says."""
    pixels, objects = marked(160, 120, (40, 30, 100, 80))
    checked = 0
    for seed in range(40):
        transform, found = augment_boxes(pixels, objects, kind, 128, 128, random_of(seed))
        if len(found) and areas(found[0, 1:]) > 0.02:
            # Interpolation and colour blur an edge by a pixel of the source, at most four times enlarged here.
            np.testing.assert_allclose(bright(transform), found[0, 1:], atol=0.04)
            checked += 1
    assert checked > 25


def test_nothing_is_random_without_a_kind() -> None:
    pixels, objects = marked(80, 40, (8, 10, 40, 30))
    transform, found = augment_boxes(pixels, objects, None, 40, 80, random_of(0))
    assert transform.shape == (40, 80, 3)
    np.testing.assert_array_equal(found, objects)
    np.testing.assert_allclose(bright(augment_boxes(pixels, objects, None, 80, 160, random_of(0))[0]), found[0, 1:])


@given(seeds, st.integers(0, 5))
def test_two_mirrors_are_none(seed: int, count: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    objects = some_objects(seed, count)
    once, turned = mirror(pixels, objects)
    twice, back = mirror(once, turned)
    np.testing.assert_array_equal(twice, pixels)
    np.testing.assert_allclose(back, objects, atol=1e-6)
    np.testing.assert_array_equal(once[:, 0], pixels[:, -1])
    np.testing.assert_allclose(turned[:, 3] - turned[:, 1], objects[:, 3] - objects[:, 1], atol=1e-6)


# Windows


def test_whole_window_changes_nothing() -> None:
    pixels, objects = marked(64, 48, (10, 10, 30, 30))
    drawn, found = draw(pixels, objects, WHOLE, 48, 64)
    np.testing.assert_array_equal(drawn, pixels)
    np.testing.assert_array_equal(found, objects)


def test_window_beyond_the_picture_is_gray_there() -> None:
    pixels, objects = marked(50, 50, (10, 20, 30, 40))
    drawn, found = draw(pixels, objects, np.array([-1.0, 0, 1, 2]), 100, 100)
    assert (drawn[:50, :50] == FILL).all()
    assert (drawn[50:] == FILL).all()
    np.testing.assert_array_equal(drawn[:50, 50:], pixels)
    np.testing.assert_allclose(found[0, 1:], [0.6, 0.2, 0.8, 0.4], atol=1e-6)


def test_window_inside_enlarges_and_cuts() -> None:
    pixels, objects = marked(100, 100, (40, 40, 80, 80))
    drawn, found = draw(pixels, objects, np.array([0.5, 0.25, 1.0, 0.75]), 100, 100)
    np.testing.assert_allclose(found[0, 1:], [0, 0.3, 0.6, 1], atol=1e-6)
    np.testing.assert_allclose(bright(drawn), found[0, 1:], atol=0.02)
    assert len(draw(pixels, objects, np.array([0.0, 0, 0.3, 0.3]), 50, 50)[1]) == 0


@given(seeds, st.integers(1, 4), st.floats(0.5, 2))
def test_crop_of_ssd_keeps_objects_by_their_centre(seed: int, count: int, aspect: float) -> None:
    objects = some_objects(seed, count)
    window, kept = ssd_window(objects, aspect, random_of(seed))
    assert (window[2:] > window[:2]).all()
    assert (window[2:] - window[:2] <= 4 + 1e-9).all()
    assert len(kept) >= 1
    centres = (objects[:, 1:3] + objects[:, 3:]) / 2
    inside = ((centres > window[:2]) & (centres < window[2:])).all(axis=1)
    np.testing.assert_array_equal(kept, objects[inside])


@given(seeds, st.integers(1, 4))
def test_gentle_window_keeps_an_object_in_sight(seed: int, count: int) -> None:
    objects = some_objects(seed, count)
    window, kept = gentle_window(objects, random_of(seed))
    assert len(kept) >= 1
    shown = seen(objects, window)
    assert shown.max() > 0.7
    assert (seen(kept, window) > 0.5).all()
    assert (window[2:] - window[:2] <= 2 + 1e-9).all()


def test_pictures_without_objects_have_windows_as_well() -> None:
    none = np.empty((0, 5), np.float32)
    for seed in range(30):
        for window, kept in (ssd_window(none, 1.0, random_of(seed)), gentle_window(none, random_of(seed))):
            assert (window[2:] > window[:2]).all()
            assert len(kept) == 0


@given(seeds, st.sampled_from([2.0, 4.0]))
def test_padding_holds_the_whole_picture(seed: int, most: float) -> None:
    window = random_padding(most, random_of(seed))
    assert (window[:2] <= 0).all()
    assert (window[2:] >= 1).all()
    np.testing.assert_allclose(*(window[2:] - window[:2]))
    assert window[2] - window[0] <= most


def test_share_seen() -> None:
    objects = np.array([[0, 0.2, 0.2, 0.6, 0.6], [0, 0, 0, 0.1, 0.1]], np.float32)
    np.testing.assert_allclose(seen(objects, np.array([0.4, 0.0, 1.0, 1.0])), [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(seen(objects, WHOLE), [1, 1])


@given(seeds)
def test_distortion_leaves_shape_and_gray_stays_gray_in_hue(seed: int) -> None:
    gray = np.full((6, 5, 3), 120, np.uint8)
    changed = random_distortion(gray, random_of(seed))
    assert changed.shape == gray.shape
    assert changed.dtype == np.uint8
    assert 20 <= changed.mean() <= 255
    assert len(np.unique(changed.reshape(-1, 3), axis=0)) == 1


def test_some_pictures_keep_their_colours() -> None:
    """Each of four changes comes half the time; some pictures get none."""
    pixels, _ = marked(20, 20, (2, 2, 9, 9))
    same = [np.array_equal(random_distortion(pixels, random_of(seed)), pixels) for seed in range(200)]
    assert 4 <= sum(same) <= 60
