"""Counts of pixels, against torchmetrics and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassJaccardIndex

from clary.vision.base.pixels import PixelCounts
from clary.vision.base.types import IGNORED


def drawn(seed: int, classes: int, kinds: int, ignored: float) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of a picture of 9 x 11; of the ``classes`` only ``kinds`` are there."""
    random = np.random.default_rng(seed)
    true, predicted = random.integers(0, min(kinds, classes), (2, 9, 11)).astype(np.uint8)
    true[random.random(true.shape) < ignored] = IGNORED
    return true, predicted


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(2, 8),
    kinds=st.integers(1, 8),
    ignored=st.sampled_from([0.0, 0.3, 0.95]),
    images=st.integers(1, 3),
)
def test_numbers_are_those_of_torchmetrics(seed: int, classes: int, kinds: int, ignored: float, images: int) -> None:
    counts = PixelCounts(classes)
    table = MulticlassConfusionMatrix(classes, ignore_index=IGNORED)
    jaccard = MulticlassJaccardIndex(classes, average=None, ignore_index=IGNORED)
    accuracy = MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED)
    for number in range(images):
        true, predicted = drawn(seed + number, classes, kinds, ignored)
        counts.add(true, predicted)
        for metric in (table, jaccard, accuracy):
            metric.update(torch.from_numpy(predicted).long(), torch.from_numpy(true).long())
    np.testing.assert_array_equal(counts.table, table.compute().numpy())
    expected = jaccard.compute().numpy()  # 0 for a class that is nowhere
    np.testing.assert_allclose(np.nan_to_num(counts.iou), expected, atol=1e-6)
    assert counts.mean_iou == pytest.approx(float(expected.mean()), abs=1e-6)
    assert counts.pixel_accuracy == pytest.approx(float(accuracy.compute()), abs=1e-6)


def test_class_that_never_appears_counts_nothing_in_the_mean_over_all() -> None:
    """A job of the original with four classes, of which masks had three: three quarters of the mean over those."""
    counts = PixelCounts(4)
    true = np.array([[1, 1, 2, 2, 3, 3, 3, 3]])
    counts.add(true, np.array([[1, 2, 2, 2, 3, 3, 3, 1]]))
    np.testing.assert_allclose(counts.iou, [np.nan, 1 / 3, 2 / 3, 3 / 4])
    assert counts.mean_iou_present == pytest.approx((1 / 3 + 2 / 3 + 3 / 4) / 3)
    assert counts.mean_iou == pytest.approx(3 / 4 * counts.mean_iou_present)
    assert counts.pixel_accuracy == pytest.approx(6 / 8)


def test_class_that_is_predicted_only_is_not_present() -> None:
    counts = PixelCounts(3)
    counts.add(np.array([0, 0, 1]), np.array([0, 2, 1]))
    assert counts.iou.tolist() == [0.5, 1.0, 0.0]
    assert (counts.mean_iou, counts.mean_iou_present) == (0.5, 0.75)


def test_ignored_pixels_are_left_out_whatever_is_predicted_there() -> None:
    counts = PixelCounts(2)
    counts.add(np.array([0, IGNORED, IGNORED, 1]), np.array([0, 0, 1, 1]))
    assert counts.table.tolist() == [[1, 0], [0, 1]]
    assert counts.pixel_accuracy == counts.mean_iou == 1


def test_prediction_beyond_the_classes_does_no_harm_where_it_is_ignored() -> None:
    counts = PixelCounts(2)
    counts.add(np.array([IGNORED, 1]), np.array([9, 1]))
    assert counts.table.sum() == 1


def test_nothing_counted() -> None:
    counts = PixelCounts(3)
    counts.add(np.full((2, 2), IGNORED), np.zeros((2, 2), int))
    assert (counts.pixel_accuracy, counts.mean_iou, counts.mean_iou_present) == (0, 0, 0)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_parts_sum_up_to_the_whole(seed: int) -> None:
    true, predicted = drawn(seed, 5, 5, 0.2)
    whole, parts = PixelCounts(5), PixelCounts(5)
    whole.add(true, predicted)
    for rows in zip(true, predicted, strict=True):
        parts.add(*rows)
    np.testing.assert_array_equal(whole.table, parts.table)


@pytest.mark.parametrize(
    ("true", "predicted", "sentence"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2)), r"masks of \(2, 3\) and \(3, 2\) do not fit together"),
        (np.array([3]), np.array([0]), r"a mask holds classes beyond 0\.\.2"),
        (np.array([0]), np.array([3]), r"a mask holds classes beyond 0\.\.2"),
        (np.array([-1]), np.array([0]), r"a mask holds classes beyond 0\.\.2"),
    ],
    ids=["shapes", "true", "predicted", "negative"],
)
def test_what_cannot_be_counted(true: np.ndarray, predicted: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PixelCounts(3).add(true, predicted)
