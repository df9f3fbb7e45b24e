"""Anchors: numbers of the original, fitting, and which anchor answers for which object."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import UsageError
from clary.vision.base.boxes import corners, iou
from clary.vision.models.anchors import BACKGROUND, IGNORED, Anchors, Level, fit_sizes, spread, ssd_levels

RESNET_300 = [(n, n) for n in (19, 10, 5, 3, 2, 1)]
RESNET_512 = [(n, n) for n in (32, 16, 8, 4, 2, 1)]
VGG_300 = [(n, n) for n in (38, 19, 10, 5, 3, 1)]
VGG_512 = [(n, n) for n in (64, 32, 16, 8, 4, 2, 2)]
SMALL = Anchors(ssd_levels([(n, n) for n in (7, 4, 2, 1, 1, 1)], 100, 100))


# SSD's own


@pytest.mark.parametrize(
    ("grids", "size", "vgg", "count"),
    [
        (RESNET_300, 300, False, 2268),
        (RESNET_512, 512, False, 6132),
        (VGG_300, 300, True, 8732),
        (VGG_512, 512, True, 24576),
    ],
)
def test_numbers_of_anchors_are_the_original_ones(
    grids: list[tuple[int, int]], size: int, vgg: bool, count: int
) -> None:
    assert len(Anchors(ssd_levels(grids, size, size, vgg=vgg))) == count


def test_anchors_of_a_cell_come_sizes_first_then_ratios() -> None:
    """MXNet's MultiBoxPrior: all sizes at ratio 1, then the first size at the other ratios."""
    anchors = Anchors(ssd_levels(RESNET_300, 300, 300)).centred
    first = anchors[:4]
    np.testing.assert_allclose(first[:, :2], 0.5 / 19, rtol=1e-6)
    root = 2**0.5
    expected = [[0.1, 0.1], [0.141421, 0.141421], [0.1 * root, 0.1 / root], [0.1 / root, 0.1 * root]]
    np.testing.assert_allclose(first[:, 2:], expected, rtol=1e-6)
    second = anchors[4 * 19 * 19 :][:6]
    np.testing.assert_allclose(second[:, :2], 0.05, rtol=1e-6)
    thrice = 3**0.5
    expected = [
        [0.2, 0.2], [0.272029, 0.272029], [0.2 * root, 0.2 / root], [0.2 / root, 0.2 * root],
        [0.2 * thrice, 0.2 / thrice], [0.2 / thrice, 0.2 * thrice],
    ]  # fmt: skip
    np.testing.assert_allclose(second[:, 2:], expected, rtol=1e-6)


def test_cells_go_row_by_row() -> None:
    centres = Anchors([Level.even((2, 3), [(0.1, 0.1), (0.2, 0.2)])]).centred[::2, :2]
    expected = [[1 / 6, 1 / 4], [3 / 6, 1 / 4], [5 / 6, 1 / 4], [1 / 6, 3 / 4], [3 / 6, 3 / 4], [5 / 6, 3 / 4]]
    np.testing.assert_allclose(centres, expected, rtol=1e-6)


def test_steps_of_vgg_hold_at_the_published_sizes_only() -> None:
    published, other = (ssd_levels(VGG_300, size, size, vgg=True) for size in (300, 308))
    assert [round(level.step[0] * 300) for level in published] == [8, 16, 32, 64, 100, 300]
    assert [level.step[0] for level in other] == [1 / rows for rows, _ in VGG_300]
    large = ssd_levels(VGG_512, 512, 512, vgg=True)
    assert [round(level.step[0] * 512) for level in large] == [8, 16, 32, 64, 128, 256, 512]
    assert large[0].sizes[:2] == ((0.07, 0.07), (0.1025, 0.1025))


def test_another_number_of_maps_is_refused() -> None:
    with pytest.raises(UsageError, match="6 or 7 maps, not 3"):
        ssd_levels([(4, 4)] * 3, 300, 300)


def test_description_survives_json() -> None:
    anchors = Anchors(ssd_levels(VGG_300, 300, 300, vgg=True))
    again = Anchors.from_description(json.loads(json.dumps(anchors.describe())))
    assert again.levels == anchors.levels
    np.testing.assert_array_equal(again.centred, anchors.centred)


# Fitted ones


def test_fitted_sizes_find_the_groups_of_boxes() -> None:
    random = np.random.default_rng(1)
    groups = np.array([[0.05, 0.1], [0.3, 0.3], [0.9, 0.5]])
    sizes = np.concatenate([group * random.normal(1, 0.02, (50, 2)) for group in groups])
    found = fit_sizes(sizes, 3, scales=(0.999, 1.001))
    np.testing.assert_allclose(found, groups, rtol=0.02)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 9))
def test_fitted_sizes_are_sound_and_repeatable(seed: int, boxes: int, count: int) -> None:
    sizes = np.random.default_rng(seed).uniform(0.01, 1, (boxes, 2))
    found = fit_sizes(sizes, count, seed=seed)
    assert found.shape == (count, 2)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found.prod(axis=1)) >= -1e-12).all()
    np.testing.assert_array_equal(found, fit_sizes(sizes, count, seed=seed))


def test_no_boxes_to_fit_are_told() -> None:
    with pytest.raises(UsageError, match="no boxes"):
        fit_sizes(np.zeros((3, 2)), 3)


def test_sizes_are_spread_from_fine_to_coarse() -> None:
    sizes = np.array([[0.1, 0.1], [0.2, 0.2], [0.4, 0.4], [0.8, 0.8]])
    levels = spread(sizes, [(8, 8), (4, 4)])
    assert [level.grid for level in levels] == [(8, 8), (4, 4)]
    assert [level.sizes for level in levels] == [((0.1, 0.1), (0.2, 0.2)), ((0.4, 0.4), (0.8, 0.8))]
    with pytest.raises(UsageError, match="do not share out"):
        spread(sizes, [(8, 8), (4, 4), (2, 2)])


# Who answers for what


@st.composite
def objects(draw: st.DrawFn) -> np.ndarray:
    """(n, 4) float32 boxes; some of them the same."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 8))
    boxes = corners(np.column_stack([random.uniform(0.2, 0.8, (count, 2)), random.uniform(0.05, 0.4, (count, 2))]))
    copies = draw(st.integers(0, 2))
    return np.concatenate([boxes, boxes[:copies]]).astype(np.float32)


def plain_assign(boxes: np.ndarray, overlap: float, background: float) -> np.ndarray:
    """MXNet's rule in words."""
    shared = iou(boxes, corners(SMALL.centred))
    found = np.full(len(SMALL), IGNORED)
    for anchor in range(len(SMALL)):
        best = int(shared[:, anchor].argmax())
        if shared[best, anchor] > overlap:
            found[anchor] = best
        elif shared[best, anchor] < background:
            found[anchor] = BACKGROUND
    left = shared.copy()
    while left.max() > 0:  # the best pair of all, then the best of the others
        pair = np.unravel_index(left.argmax(), left.shape)
        found[pair[1]] = pair[0]
        left[pair[0]], left[:, pair[1]] = 0, 0
    return found


@given(objects(), st.sampled_from([(0.5, 0.5), (0.5, 0.4), (0.35, 0.3)]))
def test_assignment_follows_the_rule(boxes: np.ndarray, thresholds: tuple[float, float]) -> None:
    found = SMALL.assign(boxes, *thresholds)
    np.testing.assert_array_equal(found, plain_assign(boxes, *thresholds))
    assert set(range(len(boxes))) <= set(found.tolist())  # every object has an anchor


def test_object_that_no_anchor_reaches_has_none() -> None:
    away = np.array([[3, 3, 4, 4.0]], np.float32)
    assert set(SMALL.assign(away).tolist()) == {BACKGROUND}


def test_picture_without_objects_gives_no_signal() -> None:
    assert set(SMALL.assign(np.empty((0, 4), np.float32)).tolist()) == {IGNORED}


def test_target_holds_the_objects_and_the_answers() -> None:
    two = np.array([[1, 0.1, 0.1, 0.4, 0.5], [0, 0.5, 0.5, 0.9, 0.9]], np.float32)
    target = SMALL.target(two, 4)
    assert target.dtype == np.float32
    assert target.shape == (20 + len(SMALL),)
    np.testing.assert_array_equal(target[:10].reshape(2, 5), two)
    assert (target[10:20] == -1).all()
    np.testing.assert_array_equal(target[20:], SMALL.assign(two[:, 1:]))
    with pytest.raises(ValueError, match="2 objects do not fit into 1 slots"):
        SMALL.target(two, 1)
