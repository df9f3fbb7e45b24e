"""Loss and counting, against naive arithmetic in numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from clary.vision.training.objectives.classification import ClassificationObjective, positive_weights

logits = hn.arrays(
    np.float32,
    hn.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6),
    elements=st.floats(-20, 20, width=32).map(lambda score: round(score, 2)),  # not so near to 0 that sigmoid gives 1/2
)
smoothings = st.sampled_from([0.0, 0.1, 0.5])


def softmax_loss(scores: np.ndarray, ids: np.ndarray, smoothing: float) -> float:
    """Cross-entropy with ``smoothing`` of the target spread over all classes (Szegedy 2015, section 7)."""
    total = 0.0
    for row, true in zip(scores.astype(np.float64), ids, strict=True):
        log_sum = math.log(sum(math.exp(score - row.max()) for score in row)) + row.max()
        for number, score in enumerate(row):
            target = smoothing / len(row) + (1 - smoothing) * (number == true)
            total -= target * (score - log_sum)
    return total / len(scores)


def sigmoid_loss(scores: np.ndarray, hot: np.ndarray, smoothing: float, weights: np.ndarray) -> float:
    """Mean over all cells; the "yes" part of a cell is weighed."""
    total = 0.0
    for row, targets in zip(scores.astype(np.float64), hot, strict=True):
        for score, target, weight in zip(row, targets, weights, strict=True):
            y = target * (1 - smoothing) + smoothing / 2
            total += weight * y * np.logaddexp(0, -score) + (1 - y) * np.logaddexp(0, score)
    return total / scores.size


def tallied(objective: ClassificationObjective, batches: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    tally: dict[str, float] = {}
    for scores, targets in batches:
        outputs, wanted = torch.from_numpy(scores), torch.from_numpy(targets)
        objective.count(tally, outputs, wanted, objective.loss(outputs, wanted).item())
    return objective.metrics(tally)


@given(logits, st.integers(0, 10**6), smoothings)
@settings(max_examples=60, deadline=None)
def test_single_label_loss_and_accuracy(scores: np.ndarray, seed: int, smoothing: float) -> None:
    ids = np.random.default_rng(seed).integers(0, scores.shape[1], len(scores))
    found = tallied(ClassificationObjective(label_smoothing=smoothing), [(scores, ids)])
    assert found["loss"] == pytest.approx(softmax_loss(scores, ids, smoothing), rel=1e-4, abs=1e-5)
    assert found["accuracy"] == np.mean([row.argmax() == true for row, true in zip(scores, ids, strict=True)])


@given(logits, st.integers(0, 10**6), smoothings, st.booleans())
@settings(max_examples=60, deadline=None)
def test_multi_label_loss_and_cell_accuracy(scores: np.ndarray, seed: int, smoothing: float, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    hot = random.integers(0, 2, scores.shape).astype(np.float32)
    weights: np.ndarray = random.uniform(0.2, 5, scores.shape[1:]) if weighted else np.ones(scores.shape[1:])
    weights = weights.astype(np.float32)
    objective = ClassificationObjective(
        multi_label=True, label_smoothing=smoothing, positive_weights=torch.from_numpy(weights) if weighted else None
    )
    found = tallied(objective, [(scores, hot)])
    assert found["loss"] == pytest.approx(sigmoid_loss(scores, hot, smoothing, weights), rel=1e-4, abs=1e-5)
    probabilities = np.array([[1 / (1 + math.exp(-score)) for score in row] for row in scores])
    assert found["accuracy"] == np.mean((probabilities > 0.5) == (hot == 1))


def test_cell_accuracy_is_that_of_the_log() -> None:
    """1979 of 2560 cells, seen as 0.773047; a network that says no to everything scores high."""
    hot = np.zeros((512, 5), dtype=np.float32)
    hot.flat[: 2560 - 1979] = 1
    found = tallied(ClassificationObjective(multi_label=True), [(np.full((512, 5), -1, dtype=np.float32), hot)])
    assert f"{found['accuracy']:.6f}" == "0.773047"


@given(logits, st.integers(0, 10**6), st.data())
@settings(max_examples=60, deadline=None)
def test_top_k(scores: np.ndarray, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    order = np.lexsort((random.permutation(scores.size), scores.ravel()))
    scores = np.argsort(order).astype(np.float32).reshape(len(scores), -1)  # no ties
    k = data.draw(st.integers(2, scores.shape[1]))
    ids = random.integers(0, scores.shape[1], len(scores))
    found = tallied(ClassificationObjective(top_k=k), [(scores, ids)])
    best = np.argsort(-scores, axis=1)[:, :k]
    assert found[f"top_k_accuracy_{k}"] == np.mean([true in row for true, row in zip(ids, best, strict=True)])
    assert found[f"top_k_accuracy_{k}"] >= found["accuracy"]


def test_top_k_is_for_one_label_a_picture() -> None:
    found = tallied(ClassificationObjective(multi_label=True, top_k=2), [(np.ones((2, 3), np.float32),) * 2])
    assert set(found) == {"loss", "accuracy"}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.booleans(), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_tally_over_batches_equals_one_large_batch(sizes: list[int], multi_label: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    objective = ClassificationObjective(multi_label=multi_label, top_k=2)
    scores = random.normal(size=(sum(sizes), 4)).astype(np.float32)
    targets: np.ndarray = random.integers(0, 2 if multi_label else 4, (len(scores), 4) if multi_label else len(scores))
    targets = targets.astype(np.float32) if multi_label else targets
    ends = np.cumsum(sizes)
    parts = [(scores[end - size : end], targets[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    assert tallied(objective, parts) == pytest.approx(tallied(objective, [(scores, targets)]), rel=1e-5)


def test_loss_of_bf16_outputs_is_computed_in_fp32() -> None:
    outputs = torch.tensor([[3.0, 0.1, -2.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = ClassificationObjective().loss(outputs, torch.tensor([0]))
    assert loss.dtype == torch.float32
    assert loss.item() == ClassificationObjective().loss(outputs.float(), torch.tensor([0])).item()


@pytest.mark.parametrize(
    ("new", "earlier", "kept"),
    [(0.5, [], True), (0.5, [0.4], True), (0.5, [0.5], False), (0.4, [0.5], False), (0.45, [0.5, 0.4], False)],
)
def test_the_original_keeps_strictly_higher_accuracy_only(new: float, earlier: list[float], kept: bool) -> None:
    history = [{"accuracy": value, "loss": 0.0} for value in earlier]
    assert ClassificationObjective().keeps({"accuracy": new, "loss": 9.0}, history) is kept
    assert ClassificationObjective().watched == "accuracy"


@pytest.mark.parametrize(
    ("new", "earlier", "kept"),
    # One standard error of 0.9 on 100 pictures is 0.03, of 1 it is 0.013; it is counted from the best epoch, not from
    # the one kept.
    [(0.88, [0.9], True), (0.86, [0.9], False), (0.86, [0.9, 0.88], False), (0.99, [1.0], True), (0.98, [1.0], False)],
)
def test_late_epochs_are_kept_within_one_standard_error(new: float, earlier: list[float], kept: bool) -> None:
    history = [{"accuracy": value} for value in earlier]
    assert ClassificationObjective(late_samples=100).keeps({"accuracy": new}, history) is kept


def test_empty_tally_has_metrics_of_zero() -> None:
    assert ClassificationObjective().metrics({}) == {"loss": 0.0, "accuracy": 0.0}


@given(hn.arrays(np.int8, hn.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=st.integers(0, 1)))
@settings(max_examples=60, deadline=None)
def test_positive_weights_are_negatives_by_positives(hot: np.ndarray) -> None:
    found = positive_weights(torch.from_numpy(hot.astype(np.float32)))
    for weight, column in zip(found.tolist(), hot.T, strict=True):
        yes = int(column.sum())
        assert weight == (pytest.approx((len(column) - yes) / yes) if yes else 1.0)
        assert math.isfinite(weight)


def test_weighted_loss_makes_a_rare_class_count_as_much_as_its_absence() -> None:
    """With one "yes" in ten, a network that always says 0 logits is pushed neither way."""
    hot = torch.zeros(10, 1)
    hot[0] = 1
    outputs = torch.zeros(10, 1, requires_grad=True)
    objective: Any = ClassificationObjective(multi_label=True, positive_weights=positive_weights(hot))
    objective.loss(outputs, hot).backward()
    assert outputs.grad is not None
    assert outputs.grad.sum().item() == pytest.approx(0, abs=1e-7)
