"""Geometry of boxes, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.vision.base.boxes import areas, centred, clip, corners, decode, detect, encode, iou, suppress

fractions = st.integers(0, 40).map(lambda number: number / 40)


@st.composite
def boxes(draw: st.DrawFn, least: int = 0, most: int = 12) -> np.ndarray:
    """(n, 4) boxes with an area, on a coarse grid so that equal sides and equal boxes are common."""
    count = draw(st.integers(least, most))
    rows = []
    for _ in range(count):
        x, y = (
            sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True))),
            sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True))),
        )
        rows.append([x[0], y[0], x[1], y[1]])
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def plain_suppress(found: np.ndarray, scores: np.ndarray, overlap: float, classes: np.ndarray) -> list[int]:
    """The rule in words: best first, and each goes if one that was kept is too near."""
    kept: list[int] = []
    for one in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
        if all(classes[k] != classes[one] or iou(found[[k]], found[[one]])[0, 0] < overlap for k in kept):
            kept.append(one)
    return kept


@given(boxes(), boxes())
def test_overlaps_are_those_of_each_pair(first: np.ndarray, second: np.ndarray) -> None:
    found = iou(first, second)
    assert found.shape == (len(first), len(second))
    assert ((found >= 0) & (found <= 1)).all()
    expected = np.array([[plain_iou(a, b) for b in second] for a in first]).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(boxes(least=1))
def test_box_overlaps_itself_wholly_and_nothing_beside_it(some: np.ndarray) -> None:
    np.testing.assert_allclose(np.diag(iou(some, some)), 1)
    assert not iou(some, some + 2).any()


def test_boxes_without_area_overlap_nothing() -> None:
    flat = np.array([[0.2, 0.2, 0.2, 0.8], [0.5, 0.5, 0.5, 0.5], [0.6, 0.6, 0.4, 0.4]])
    assert not areas(flat).any()
    assert not iou(flat, flat).any()


@given(boxes())
def test_corners_and_centres_are_two_ways_to_say_the_same(some: np.ndarray) -> None:
    np.testing.assert_allclose(corners(centred(some)), some, atol=1e-12)
    np.testing.assert_allclose(centred(some)[:, 2:].prod(axis=1), areas(some), atol=1e-12)


@given(boxes(least=1), st.integers(0, 2**32 - 1))
def test_offsets_lead_back_to_the_box(some: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    anchors = np.column_stack([random.random((len(some), 2)), random.uniform(0.02, 1, (len(some), 2))])
    np.testing.assert_allclose(decode(encode(some, anchors), anchors), some, atol=1e-9)


def test_offsets_are_divided_by_the_variances() -> None:
    anchor = np.array([[0.5, 0.5, 0.2, 0.4]])
    box = corners(np.array([[0.52, 0.46, 0.2 * np.e, 0.4 / np.e]]))
    np.testing.assert_allclose(encode(box, anchor), [[1.0, -1.0, 5.0, -5.0]])
    assert np.abs(encode(corners(anchor), anchor)).max() < 1e-12


def test_huge_offsets_give_a_box_all_the_same() -> None:
    found = clip(decode(np.array([[0.0, 0, 1e6, 1e6]]), np.array([[0.5, 0.5, 0.1, 0.1]])))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1]])


@given(boxes(most=14), st.data(), st.sampled_from([0.01, 0.3, 0.45, 0.5, 1.0]))
def test_suppression_follows_the_rule(some: np.ndarray, data: st.DataObject, overlap: float) -> None:
    n = len(some)
    scores = np.array(data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)), np.float64)  # ties are common
    classes = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), np.int64)
    expected = plain_suppress(some, scores, overlap, classes)
    assert suppress(some, scores, overlap, classes).tolist() == expected
    alone = plain_suppress(some, scores, overlap, np.zeros(len(some)))
    assert suppress(some, scores, overlap).tolist() == alone


def test_overlap_of_exactly_the_threshold_is_suppressed() -> None:
    pair = np.array([[0.0, 0, 1, 1], [0, 0, 1, 0.5]])
    assert suppress(pair, np.array([0.9, 0.8]), 0.5).tolist() == [0]
    assert suppress(pair, np.array([0.9, 0.8]), 0.5 + 1e-9).tolist() == [0, 1]


def test_suppression_agrees_with_torchvision() -> None:
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    random = np.random.default_rng(0)
    some = corners(np.column_stack([random.random((300, 2)), random.uniform(0.05, 0.5, (300, 2))])).astype(np.float32)
    scores = random.random(300, dtype=np.float32)
    classes = random.integers(0, 3, 300)
    expected = [
        index
        for c in range(3)
        for index in np.flatnonzero(classes == c)[
            ops.nms(torch.from_numpy(some[classes == c]), torch.from_numpy(scores[classes == c]), 0.45).numpy()
        ]
    ]
    assert sorted(suppress(some, scores, 0.45, classes)) == sorted(expected)


class TestDetect:
    def test_rows_are_class_score_and_box_best_first(self) -> None:
        some = np.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0, 0.5, 0.45]], np.float32)
        scores = np.array([[0.2, 0.3], [0.9, 0.005], [0.0, 0.25]], np.float32)
        found = detect(some, scores)
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, [[0, 0.9, 0.5, 0.5, 1, 1], [1, 0.3, 0, 0, 0.5, 0.5], [0, 0.2, 0, 0, 0.5, 0.5]], atol=1e-7
        )

    def test_nothing_above_the_threshold_is_no_rows(self) -> None:
        assert detect(np.zeros((3, 4), np.float32), np.full((3, 2), 0.01, np.float32), least=0.01).shape == (0, 6)

    @given(st.integers(0, 2**32 - 1), st.integers(1, 30))
    def test_only_the_best_are_looked_at(self, seed: int, most: int) -> None:
        random = np.random.default_rng(seed)
        some = corners(np.column_stack([random.random((40, 2)), random.uniform(0.05, 0.5, (40, 2))]))
        scores = random.random((40, 3))
        found = detect(some, scores, most=most)
        assert len(found) <= most
        assert found[:, 1].min() >= np.sort(scores.ravel())[-most] - 1e-6
        assert (np.diff(found[:, 1]) <= 0).all()
        for c in range(3):
            own = found[found[:, 0] == c, 2:]
            assert np.triu(iou(own, own), 1).max(initial=0) < 0.45 + 1e-6
