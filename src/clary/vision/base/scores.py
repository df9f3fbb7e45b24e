"""How good predictions are: numbers in, numbers out, numpy only.

Two kinds of truth. Single-label: ``true`` holds class ids, integers of shape (N,). Multi-label: ``true`` holds cells,
booleans of shape (N, classes). ``scores`` is always (N, classes), each in 0..1. A ratio whose denominator is zero (the
precision of a class that was never predicted) is NaN, not 0: nothing was measured. Shapes that do not fit together, and
no samples at all, raise ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "ClassScores",
    "accuracy",
    "average_precision",
    "cell_accuracy",
    "cell_log_loss",
    "cells",
    "class_scores",
    "confusion",
    "expected_calibration_error",
    "label_scores",
    "log_loss",
    "macro_f1",
    "mean_average_precision",
    "top_k_accuracy",
    "wilson_interval",
]

SMALLEST = 1e-15  # a probability below it counts as this much, so that the logarithm stays finite


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Numbers by class, each of shape (classes,): the first three in 0..1 or NaN, ``support`` true samples."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    """Share of samples whose predicted class id is the true one, in 0..1. Both of shape (N,)."""
    true, predicted = _same_shape(true, predicted, dimensions=1)
    return float((true == predicted).mean())


def top_k_accuracy(true: np.ndarray, scores: np.ndarray, k: int) -> float:
    """Share of samples whose true class is among the ``k`` best scores, in 0..1.

    Equal scores rank in class id order, as in ``Prediction.top``. ``k`` beyond the number of classes gives 1.
    """
    true, scores = _ids_and_scores(true, scores)
    own = scores[np.arange(len(true)), true][:, None]
    # Ties by class id: else a network that gives all classes the same score would be right in its top k each time.
    before = np.arange(scores.shape[1]) < true[:, None]
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float((rank < k).mean())


def wilson_interval(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Where a share of ``hits`` in ``count`` lies with 95 % confidence, both ends in 0..1 (Wilson 1927)."""
    if not 0 <= hits <= count or not count:
        raise ValueError(f"{hits} hits of {count}")
    share, extra = hits / count, z * z / count
    # Not share +- 1.96 standard errors, which is no interval at all where every picture is right, as on small sets.
    middle = (share + extra / 2) / (1 + extra)
    reach = z / (1 + extra) * math.sqrt(share * (1 - share) / count + extra / (4 * count))
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts of shape (classes, classes), int64: row is the true class, column the predicted one."""
    true, predicted = _same_shape(true, predicted, dimensions=1)
    for ids in (true, predicted):
        if ids.min() < 0 or ids.max() >= classes:
            raise ValueError(f"class ids run from {ids.min()} to {ids.max()}, not within 0..{classes - 1}")
    # int64: uint8 ids would wrap round in the product.
    cell = true.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: np.ndarray) -> ClassScores:
    """Precision, recall and F1 of every class of a confusion matrix (van Rijsbergen, Information Retrieval, ch. 7)."""
    matrix = np.asarray(matrix)
    hits = np.diag(matrix)
    return _from_counts(hits, predicted=matrix.sum(axis=0), actual=matrix.sum(axis=1))


def label_scores(true: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> ClassScores:
    """Precision, recall and F1 of every label of a multi-label set; a score above ``threshold`` says yes."""
    true, scores = _cells_and_scores(true, scores)
    predicted = scores > threshold
    return _from_counts((true & predicted).sum(axis=0), predicted.sum(axis=0), true.sum(axis=0))


def macro_f1(numbers: ClassScores) -> float:
    """Mean F1 of the classes that occur, in the truth or among the predictions; in 0..1, NaN when none does."""
    known = numbers.f1[~np.isnan(numbers.f1)]
    return float(known.mean()) if known.size else float("nan")


def cells(classes: Sequence[Sequence[int]], count: int) -> np.ndarray:
    """Class ids of each sample as booleans of shape (N, count)."""
    table = np.zeros((len(classes), count), dtype=bool)
    for row, ids in zip(table, classes, strict=True):
        row[list(ids)] = True
    return table


def cell_accuracy(true: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> float:
    """Share of sample-class cells that are right, in 0..1; a score above ``threshold`` says yes.

    It is what SageMaker's image classification logs as accuracy of a multi-label set (algorithm log, 1979 of 2560
    cells = 0.773047). It is not subset accuracy: saying no to everything scores high where labels are rare.
    """
    true, scores = _cells_and_scores(true, scores)
    return float(((scores > threshold) == true).mean())


def average_precision(true: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall steps of one label, in 0..1; NaN when no sample has it.

    ``true`` booleans, ``scores`` numbers, both (N,). Sum over thresholds of (recall gained) x precision, without
    interpolation; equal scores are one threshold (Manning, Introduction to Information Retrieval, 8.4).
    """
    true, scores = _same_shape(true, scores, dimensions=1)
    true = true.astype(bool)
    if not true.any():
        return float("nan")
    # Equal scores are one threshold, so the order among them must not matter: hence ``ends``.
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)  # the last of each run of equal scores
    hits = np.cumsum(true[order])[ends]
    gained = np.diff(hits, prepend=0) / true.sum()
    return float((gained * hits / (ends + 1)).sum())


def mean_average_precision(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean average precision over the labels that some sample has, in 0..1; NaN when none has any."""
    true, scores = _cells_and_scores(true, scores)
    found = [average_precision(true[:, c], scores[:, c]) for c in np.flatnonzero(true.any(axis=0))]
    return float(np.mean(found)) if found else float("nan")


def expected_calibration_error(true: np.ndarray, scores: np.ndarray, bins: int = 15) -> float:
    """Mean gap between the highest score and how often it is right, in 0..1; 0 is perfectly calibrated.

    Bins of equal width ((m - 1) / bins, m / bins], weighted by their samples (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", equation 3).
    """
    true, scores = _ids_and_scores(true, scores)
    sure = scores.max(axis=1).astype(np.float64)
    right = scores.argmax(axis=1) == true
    # Bins are open below, so ceil - 1; a score of 0 goes into the first.
    bin_of = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / len(true))


def log_loss(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean of -ln(score of the true class), at least 0; scores are not normalised first, and clipped at 1e-15."""
    true, scores = _ids_and_scores(true, scores)
    own = scores[np.arange(len(true)), true].astype(np.float64)
    return float(-np.log(np.clip(own, SMALLEST, 1)).mean() + 0.0)


def cell_log_loss(true: np.ndarray, scores: np.ndarray) -> float:
    """Mean binary cross-entropy of all cells, at least 0; scores are clipped at 1e-15 from both ends."""
    true, scores = _cells_and_scores(true, scores)
    own = np.where(true, scores.astype(np.float64), 1 - scores.astype(np.float64))
    return float(-np.log(np.clip(own, SMALLEST, 1)).mean() + 0.0)


def _from_counts(hits: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> ClassScores:
    return ClassScores(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, actual),
        f1=_ratio(2 * hits, predicted + actual),
        support=actual,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _same_shape(first: np.ndarray, second: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != dimensions:
        raise ValueError(f"shapes {first.shape} and {second.shape} are not the same with {dimensions} axes")
    if not len(first):
        raise ValueError("there are no samples to score")
    return first, second


def _ids_and_scores(true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, scores = np.asarray(true), np.asarray(scores)
    if scores.ndim != 2 or true.shape != scores.shape[:1]:
        raise ValueError(f"shapes {true.shape} and {scores.shape} are not (N,) and (N, classes)")
    if not len(true):
        raise ValueError("there are no samples to score")
    return true.astype(np.int64), scores


def _cells_and_scores(true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, scores = _same_shape(true, scores, dimensions=2)
    return true.astype(bool), scores
