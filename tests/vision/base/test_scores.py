"""Every score against the same definition written as a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.vision.base import scores

MANY = settings(max_examples=80, deadline=None)


@st.composite
def single(draw):
    """Class ids (N,) and scores (N, C), with ties: scores are tenths."""
    classes = draw(st.integers(2, 6))
    count = draw(st.integers(1, 25))
    true = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    tenths = draw(st.lists(st.integers(0, 10), min_size=count * classes, max_size=count * classes))
    return np.array(true), np.array(tenths, dtype=np.float32).reshape(count, classes) / 10


@st.composite
def multi(draw):
    """Cells (N, C) and scores (N, C)."""
    _, numbers = draw(single())
    flags = draw(st.lists(st.booleans(), min_size=numbers.size, max_size=numbers.size))
    return np.array(flags).reshape(numbers.shape), numbers


def same(left: float, right: float) -> bool:
    return (math.isnan(left) and math.isnan(right)) or left == pytest.approx(right, abs=1e-6)


@MANY
@given(single())
def test_accuracy_is_the_share_of_equal_ids(case):
    true, numbers = case
    predicted = numbers.argmax(axis=1)
    assert scores.accuracy(true, predicted) == pytest.approx(sum(true == predicted) / len(true))


@MANY
@given(single(), st.integers(1, 7))
def test_top_k_agrees_with_sorting(case, k):
    true, numbers = case
    hits = 0
    for one, row in zip(true, numbers, strict=True):
        ranked = sorted(range(len(row)), key=lambda c: (-row[c], c))
        hits += one in ranked[:k]
    assert scores.top_k_accuracy(true, numbers, k) == pytest.approx(hits / len(true))


@MANY
@given(single())
def test_confusion_counts_pairs(case):
    true, numbers = case
    predicted, classes = numbers.argmax(axis=1), numbers.shape[1]
    matrix = scores.confusion(true, predicted, classes)
    expected = [[sum((true == r) & (predicted == c)) for c in range(classes)] for r in range(classes)]
    assert matrix.dtype == np.int64
    assert matrix.tolist() == expected


@MANY
@given(single())
def test_class_scores_count_hits(case):
    true, numbers = case
    predicted, classes = numbers.argmax(axis=1), numbers.shape[1]
    found = scores.class_scores(scores.confusion(true, predicted, classes))
    f1 = []
    for c in range(classes):
        hit = sum((true == c) & (predicted == c))
        said, actual = sum(predicted == c), sum(true == c)
        assert same(found.precision[c], hit / said if said else math.nan)
        assert same(found.recall[c], hit / actual if actual else math.nan)
        if said or actual:
            f1.append(2 * hit / (said + actual))
        assert same(found.f1[c], f1[-1] if said or actual else math.nan)
        assert found.support[c] == actual
    assert same(scores.macro_f1(found), sum(f1) / len(f1))


@MANY
@given(multi())
def test_cells_are_scored_one_by_one(case):
    true, numbers = case
    right, loss = 0, 0.0
    for row, line in zip(true, numbers, strict=True):
        for flag, score in zip(row, line, strict=True):
            right += (score > 0.5) == flag
            p = float(score) if flag else 1 - float(score)
            loss -= math.log(max(p, 1e-15))
    assert scores.cell_accuracy(true, numbers) == pytest.approx(right / true.size)
    assert scores.cell_log_loss(true, numbers) == pytest.approx(loss / true.size, abs=1e-9)


@MANY
@given(multi())
def test_label_scores_count_cells(case):
    true, numbers = case
    found = scores.label_scores(true, numbers)
    for c in range(true.shape[1]):
        said, actual = numbers[:, c] > 0.5, true[:, c]
        hit = sum(said & actual)
        assert same(found.precision[c], hit / sum(said) if any(said) else math.nan)
        assert same(found.recall[c], hit / sum(actual) if any(actual) else math.nan)


def naive_average_precision(true, numbers):
    """Walk down the thresholds; add precision x recall gained."""
    if not any(true):
        return math.nan
    area, recall = 0.0, 0.0
    for threshold in sorted(set(numbers), reverse=True):
        said = numbers >= threshold
        hit = sum(said & true)
        area += (hit / sum(true) - recall) * hit / sum(said)
        recall = hit / sum(true)
    return area


@MANY
@given(multi())
def test_average_precision_is_the_area_under_the_steps(case):
    true, numbers = case
    naive = [naive_average_precision(true[:, c], numbers[:, c]) for c in range(true.shape[1])]
    for c, expected in enumerate(naive):
        assert same(scores.average_precision(true[:, c], numbers[:, c]), expected)
    known = [value for value in naive if not math.isnan(value)]
    assert same(scores.mean_average_precision(true, numbers), sum(known) / len(known) if known else math.nan)


@MANY
@given(single(), st.integers(1, 20))
def test_calibration_error_walks_the_bins(case, bins):
    true, numbers = case
    total = 0.0
    for m in range(1, bins + 1):
        rows = [i for i, row in enumerate(numbers) if _bin(row.max(), bins) == m]
        if rows:
            sure = sum(float(numbers[i].max()) for i in rows) / len(rows)
            right = sum(int(numbers[i].argmax()) == true[i] for i in rows) / len(rows)
            total += len(rows) / len(true) * abs(right - sure)
    assert scores.expected_calibration_error(true, numbers, bins) == pytest.approx(total, abs=1e-6)


def _bin(score, bins):
    return next((m for m in range(1, bins + 1) if float(score) * bins <= m), bins)


@MANY
@given(single())
def test_log_loss_is_the_mean_surprise(case):
    true, numbers = case
    surprise = [-math.log(max(float(row[one]), 1e-15)) for one, row in zip(true, numbers, strict=True)]
    assert scores.log_loss(true, numbers) == pytest.approx(sum(surprise) / len(surprise), abs=1e-6)


def test_sure_and_right_scores_perfectly():
    true, numbers = np.array([0, 1]), np.eye(2, dtype=np.float32)
    assert scores.log_loss(true, numbers) == 0
    assert scores.expected_calibration_error(true, numbers) == 0
    assert scores.top_k_accuracy(true, numbers, 1) == 1


def test_the_example_of_the_algorithm_log():
    """1979 of 2560 cells, logged as 0.773047."""
    true = np.zeros((512, 5), dtype=bool)
    wrong = np.arange(2560).reshape(512, 5) < 2560 - 1979
    assert f"{scores.cell_accuracy(true, wrong.astype(np.float32)):.6f}" == "0.773047"


@MANY
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_ends_where_the_score_test_rejects(case):
    """Its ends p solve |share - p| = z sqrt(p (1 - p) / n)."""
    hits, count = case
    low, high = scores.wilson_interval(hits, count)
    assert 0 <= low <= hits / count <= high <= 1
    for p in (low, high):
        assert abs(hits / count - p) == pytest.approx(1.96 * math.sqrt(p * (1 - p) / count), abs=1e-7)


def test_cells_of_class_ids():
    assert scores.cells([(0, 2), (), (1,)], 3).tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_a_class_never_predicted_has_no_precision():
    found = scores.class_scores(np.array([[3, 0], [2, 0]]))
    assert found.precision[0] == pytest.approx(0.6)
    assert math.isnan(found.precision[1])
    assert found.recall.tolist() == [1.0, 0.0]
    assert found.f1[1] == 0


def test_labels_nobody_has_or_says_have_no_f1():
    none = np.zeros((3, 2), dtype=bool)
    assert math.isnan(scores.macro_f1(scores.label_scores(none, none.astype(np.float32))))
    assert math.isnan(scores.mean_average_precision(none, none.astype(np.float32)))


@pytest.mark.parametrize(
    "call",
    [
        lambda: scores.accuracy(np.array([]), np.array([])),
        lambda: scores.accuracy(np.array([0, 1]), np.array([0])),
        lambda: scores.confusion(np.array([0, 2]), np.array([0, 1]), 2),
        lambda: scores.confusion(np.array([0, -1]), np.array([0, 1]), 2),
        lambda: scores.log_loss(np.array([0]), np.zeros((2, 2))),
        lambda: scores.cell_accuracy(np.zeros(3, dtype=bool), np.zeros(3)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call):
    with pytest.raises(ValueError):
        call()
