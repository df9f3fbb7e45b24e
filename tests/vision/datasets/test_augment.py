"""Random changes of training pictures: what they keep, how far they go, how they are spread."""

from __future__ import annotations

import colorsys
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from clary.vision.base import preprocessing
from clary.vision.datasets import augment as augmenting
from clary.vision.datasets.augment import AUGMENTATIONS, augment

KINDS = (None, *AUGMENTATIONS)
images = hn.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbered(height: int, width: int) -> np.ndarray:
    """Every pixel tells where it is: red its column, green its row."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)


def ramp(size: int = 63) -> np.ndarray:
    """The same for pictures that are interpolated: four levels a pixel."""
    return numbered(size, size) * np.uint8(4)


# All kinds


@given(images, st.sampled_from(KINDS), st.integers(1, 24), st.integers(1, 24), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_gives_network_input_and_leaves_the_picture(
    image: np.ndarray, kind: str | None, height: int, width: int, seed: int
) -> None:
    before = image.copy()
    found = augment(image, kind, height, width, generator(seed))
    assert found.shape == (height, width, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(found, augment(image, kind, height, width, generator(seed)))


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_other_draws_give_other_views(kind: str) -> None:
    image = generator(0).integers(0, 256, (30, 34, 3), dtype=np.uint8)
    transformed = {augment(image, kind, 20, 20, generator(seed)).tobytes() for seed in range(20)}
    assert len(transformed) > 15


@given(images, st.integers(1, 24), st.integers(1, 24))
@settings(max_examples=50, deadline=None)
def test_without_a_kind_it_is_the_centre_and_nothing_is_drawn(image: np.ndarray, height: int, width: int) -> None:
    random = generator(0)
    state = random.bit_generator.state
    found = augment(image, None, height, width, random)
    assert np.array_equal(found, preprocessing.fit(image, preprocessing.Preprocess(height, width)))
    assert random.bit_generator.state == state


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_half_of_the_views_are_mirrored(kind: str) -> None:
    """A picture that is dark on the left: the view is dark on the left or on the right."""
    image = np.full((24, 24, 3), 60, np.uint8)
    image[:, 12:] = 200
    transformed = [augment(image, kind, 24, 24, generator(seed)).astype(float) for seed in range(400)]
    mirrored = [transform[:, :4].mean() > transform[:, -4:].mean() for transform in transformed]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=0.08)


# Crop


def test_crop_is_a_window_at_a_uniform_position() -> None:
    image = numbered(12, 13)
    corners = Counter[tuple[int, int, bool]]()
    for seed in range(4000):
        found = augment(image, "crop", 10, 10, generator(seed)).astype(int)
        mirrored = bool(found[0, 0, 0] > found[0, -1, 0])
        found = found[:, ::-1] if mirrored else found
        left, top = int(found[0, 0, 0]), int(found[0, 0, 1])
        assert np.array_equal(found, image[top : top + 10, left : left + 10])
        corners[left, top, mirrored] += 1
    assert len(corners) == 4 * 3 * 2
    expected = 4000 / len(corners)
    assert sum((n - expected) ** 2 / expected for n in corners.values()) < 49.7  # chi-square, 23 degrees, p = 0.001


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (1, 1), (3, 40)])
def test_crop_of_a_picture_that_is_too_small_enlarges_it(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 77, np.uint8)
    assert np.array_equal(augment(image, "crop", 16, 12, generator(0)), np.full((16, 12, 3), 77, np.uint8))


# Colour


@pytest.mark.parametrize("limit", [36, 50])
def test_offsets_are_biased_towards_their_centre(limit: int) -> None:
    """The mean of one uniform and four times another, divided by five, as integers in [-limit, limit)."""
    random = generator(0)
    drawn = np.array([augmenting._biased(limit, random) for _ in range(20_000)])
    assert drawn.min() >= -limit
    assert drawn.max() <= limit
    assert drawn.min() < -0.9 * limit
    assert drawn.max() > 0.85 * limit
    assert drawn.mean() == pytest.approx(-0.5, abs=0.5)  # a fraction is cut off
    uniform = 1 / 12
    assert drawn.std() == pytest.approx(2 * limit * math.sqrt((1 + 16) / 25 * uniform), rel=0.03)
    assert np.mean(np.abs(drawn) < limit / 2) == pytest.approx(0.625, abs=0.02)  # a plain uniform: one half


def naive_colour(image: np.ndarray, offsets: tuple[int, int, int]) -> np.ndarray:
    """Offsets added in HLS, H on 0..180, L and S on 0..255, clipped; in floating point, pixel by pixel."""
    out = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        h, lightness, s = colorsys.rgb_to_hls(*(image[place] / 255))
        h = np.clip(h * 180 + offsets[0], 0, 180) / 180
        lightness = np.clip(lightness * 255 + offsets[1], 0, 255) / 255
        s = np.clip(s * 255 + offsets[2], 0, 255) / 255
        out[place] = np.array(colorsys.hls_to_rgb(h, lightness, s)) * 255
    return out


@pytest.mark.parametrize("seed", range(8))
def test_colour_is_an_offset_in_hls(seed: int) -> None:
    image = generator(100 + seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    random = generator(seed)
    hue, lightness, saturation = (augmenting._biased(limit, random) for limit in (36, 50, 50))
    found = augmenting.random_colour(image, generator(seed)).astype(float)
    difference = np.abs(found - naive_colour(image, (hue, lightness, saturation)))
    assert np.median(difference) <= 2  # hues are whole numbers in 0..180 there
    assert difference.max() <= 16


def test_black_and_white_stay_in_range() -> None:
    for value in (0, 255):
        image = np.full((4, 4, 3), value, np.uint8)
        drawn = [augmenting.random_colour(image, generator(seed)) for seed in range(50)]
        assert all(abs(int(transform.mean()) - value) <= 51 for transform in drawn)
        assert len({transform.tobytes() for transform in drawn}) > 10


# Rotation, shear, aspect


def matrix_of(transform: np.ndarray) -> np.ndarray:
    """The 2x2 matrix by which the picture was changed, from where the middle of the view got its pixels."""
    middle = slice(20, 43)
    rows, columns = np.mgrid[middle, middle] - 31.0
    places = np.column_stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    sources = transform[middle, middle, :2].reshape(-1, 2) / 4.0 - 31
    back, *_ = np.linalg.lstsq(places, sources, rcond=None)
    assert np.abs(back[2]).max() < 0.3  # no shift: the centre stays
    return np.linalg.inv(back[:2].T)


def parts_of(matrix: np.ndarray) -> tuple[float, float, float]:
    """Angle in degrees, shear and aspect: the matrix is stretch x rotation x shear, of determinant 1."""
    a, c = matrix[0, 0], matrix[1, 0]
    # (a / sqrt(aspect))^2 + (c sqrt(aspect))^2 = 1
    aspect = a * a if abs(c) < 1e-6 else (1 - math.sqrt(max(0.0, 1 - 4 * c * c * a * a))) / (2 * c * c)
    turned = matrix / np.array([[math.sqrt(aspect)], [1 / math.sqrt(aspect)]])
    angle = math.atan2(turned[1, 0], turned[0, 0])
    shear = math.cos(angle) * turned[0, 1] + math.sin(angle) * turned[1, 1]
    return math.degrees(angle), shear, aspect


def test_affine_goes_as_far_as_said_and_no_further() -> None:
    found = np.array([parts_of(matrix_of(augmenting.random_affine(ramp(), generator(seed)))) for seed in range(300)])
    limits = np.array([(-10, 10), (-0.1, 0.1), (0.75, 1.25)])
    slack = np.array([0.4, 0.01, 0.02])
    low, high = found.min(axis=0), found.max(axis=0)
    assert (low >= limits[:, 0] - slack).all()
    assert (high <= limits[:, 1] + slack).all()
    reach = (high - low) / (limits[:, 1] - limits[:, 0])
    assert (reach > 0.95).all()
    assert found.mean(axis=0) == pytest.approx([0, 0, 1], abs=0.7)
    angles = found[:, 0]
    assert np.abs(angles - np.round(angles)).mean() < 0.15  # whole degrees


def test_affine_fills_the_borders_with_one_gray() -> None:
    image = np.full((40, 40, 3), 250, np.uint8)
    corners = [augmenting.random_affine(image, generator(seed))[0, 0] for seed in range(30)]
    assert (127, 127, 127) in {tuple(corner) for corner in corners}


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_affine_keeps_size_and_a_plain_middle(height: int, width: int, seed: int) -> None:
    image = np.full((2 * height + 1, 2 * width + 1, 3), 200, np.uint8)
    found = augmenting.random_affine(image, generator(seed))
    assert found.shape == image.shape
    assert tuple(found[height, width]) == (200, 200, 200)


# Resized crop


def test_resized_crop_takes_the_area_and_aspect_said() -> None:
    areas, aspects = [], []
    for seed in range(300):
        transform = augmenting.random_resized_crop(ramp(), 32, 32, generator(seed)) / 4.0
        width = (transform[16, -1, 0] - transform[16, 0, 0]) * 32 / 31
        height = (transform[-1, 16, 1] - transform[0, 16, 1]) * 32 / 31
        areas.append(width * height / 63**2)
        aspects.append(width / height)
    assert 0.36 < min(areas) < 0.45
    assert 0.9 < max(areas) < 1.06
    assert 0.7 < min(aspects) < 0.8
    assert 1.25 < max(aspects) < 1.4


@pytest.mark.parametrize("size", [(1, 200), (200, 1), (2, 90)])
def test_resized_crop_of_a_strip_falls_back_to_the_centre(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 90, np.uint8)
    assert np.array_equal(augmenting.random_resized_crop(image, 8, 8, generator(1)), np.full((8, 8, 3), 90, np.uint8))


def test_light_changes_brightness_and_contrast_by_a_fifth() -> None:
    plain = np.full((4, 4, 3), 100, np.uint8)
    levels = [int(augmenting.random_light(plain, generator(seed))[0, 0, 0]) for seed in range(400)]
    assert 78 <= min(levels) < 83
    assert 117 < max(levels) <= 120
    halves = plain.copy()
    halves[:2] = 140
    steps = []
    for seed in range(400):
        found = augmenting.random_light(halves, generator(seed)).astype(int)
        steps.append((found[0, 0, 0] - found[3, 0, 0]) / (found.mean() / halves.mean()) / 40)
    assert 0.75 <= min(steps) < 0.85
    assert 1.15 < max(steps) <= 1.25
