"""Loss and mAP of detectors, against naive arithmetic in numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clary.vision.base.average_precision import AveragePrecision
from clary.vision.base.boxes import corners, encode
from clary.vision.models.anchors import IGNORED, Anchors, Level
from clary.vision.training.objectives.base import Tally
from clary.vision.training.objectives.detection import DetectionObjective

pytestmark = pytest.mark.usefixtures("one_thread")

ANCHORS = Anchors([Level.even((6, 6), [(0.2, 0.2), (0.3, 0.15)]), Level.even((3, 3), [(0.5, 0.5)])])
CLASSES, SLOTS = 3, 5


def objects(random: np.random.Generator, count: int) -> np.ndarray:
    boxes = corners(np.column_stack([random.uniform(0.2, 0.8, (count, 2)), random.uniform(0.1, 0.5, (count, 2))]))
    return np.column_stack([random.integers(0, CLASSES, count), boxes]).astype(np.float32)


def batch(seed: int, counts: tuple[int, ...]) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor, Any]:
    random = np.random.default_rng(seed)
    truth = [objects(random, count) for count in counts]
    targets = torch.from_numpy(np.stack([ANCHORS.target(one, SLOTS) for one in truth]))
    logits = torch.from_numpy(random.normal(0, 2, (len(counts), len(ANCHORS), CLASSES + 1)).astype(np.float32))
    offsets = torch.from_numpy(random.normal(0, 1, (len(counts), len(ANCHORS), 4)).astype(np.float32))
    return (logits.requires_grad_(), offsets.requires_grad_()), targets, truth


def plain_sums(outputs: Any, truth: Any, negatives: float, least: int) -> tuple[float, float, int, int]:
    """Cross-entropy and smooth L1 summed, anchors kept, anchors with an object: the rule in words."""
    cross_entropy, smooth, kept, found = 0.0, 0.0, 0, 0
    for logits, offsets, own in zip(*(one.detach().double().numpy() for one in outputs), truth, strict=True):
        answers = ANCHORS.assign(own[:, 1:])
        lost = []
        for anchor, answer in enumerate(answers):
            log_sum = math.log(sum(math.exp(x) for x in logits[anchor]))
            if answer >= 0:
                found += 1
                cross_entropy += log_sum - logits[anchor][int(own[answer, 0]) + 1]
                wanted = encode(own[answer, 1:].astype(float), ANCHORS.centred[anchor].astype(float))
                for distance in np.abs(offsets[anchor] - wanted):
                    smooth += 0.5 * distance**2 if distance < 1 else distance - 0.5
            elif answer != IGNORED:
                lost.append(log_sum - logits[anchor][0])
        positive = int((answers >= 0).sum())
        hardest = sorted(lost, reverse=True)[: max(int(negatives * positive), least if len(own) else 0)]
        cross_entropy += sum(hardest)
        kept += positive + len(hardest)
    return cross_entropy, smooth, kept, found


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 5), min_size=1, max_size=3).map(tuple),
    st.sampled_from([3.0, 1.5, 1000.0]),
    st.sampled_from([0, 8]),
    st.sampled_from([1.0, 2.0]),
)
def test_loss_and_metrics_follow_the_rule(
    seed: int, counts: tuple[int, ...], negatives: float, least: int, weight: float
) -> None:
    outputs, targets, truth = batch(seed, counts)
    objective = DetectionObjective(ANCHORS, CLASSES, negatives=negatives, least_negatives=least, box_weight=weight)
    cross_entropy, smooth, kept, found = plain_sums(outputs, truth, negatives, least)
    loss = objective.loss(outputs, targets)
    expected = cross_entropy / max(kept, 1) + weight * smooth / max(4 * found, 1)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    tally: Tally = {}
    objective.count(tally, outputs, targets, loss.item())
    metrics = objective.metrics(tally)
    assert metrics["cross_entropy"] == pytest.approx(cross_entropy / max(kept, 1), rel=1e-4, abs=1e-5)
    assert metrics["smooth_l1"] == pytest.approx(smooth / max(kept, 1), rel=1e-4, abs=1e-5)
    assert metrics["loss"] == pytest.approx(loss.item())


def test_metrics_are_means_over_all_anchors_kept_in_the_epoch() -> None:
    objective, tally, sums = DetectionObjective(ANCHORS, CLASSES), Tally(), np.zeros(4)
    for seed, counts in enumerate([(1, 4), (2, 0), (5, 3)]):
        outputs, targets, truth = batch(seed, counts)
        sums += plain_sums(outputs, truth, 3.0, 0)
        objective.count(tally, outputs, targets, objective.loss(outputs, targets).item())
    metrics = objective.metrics(tally)
    assert metrics["cross_entropy"] == pytest.approx(sums[0] / sums[2], rel=1e-4)
    assert metrics["smooth_l1"] == pytest.approx(sums[1] / sums[2], rel=1e-4)


def test_counting_alone_gives_the_same_as_after_the_loss() -> None:
    objective = DetectionObjective(ANCHORS, CLASSES)
    outputs, targets, _ = batch(0, (3, 1))
    after: Tally = {}
    alone: Tally = {}
    objective.loss(outputs, targets)
    objective.count(after, outputs, targets, 1.0)
    objective.count(alone, outputs, targets, 1.0)
    assert alone == pytest.approx(after)


def test_picture_without_objects_gives_no_loss_and_no_gradient() -> None:
    objective = DetectionObjective(ANCHORS, CLASSES, least_negatives=8)
    (logits, offsets), targets, _ = batch(0, (0, 0))
    loss = objective.loss((logits, offsets), targets)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert offsets.grad is not None
    assert not logits.grad.any()
    assert not offsets.grad.any()


def test_gradient_falls_on_objects_and_the_hardest_background_only() -> None:
    objective = DetectionObjective(ANCHORS, CLASSES)
    (logits, offsets), targets, truth = batch(1, (2,))
    objective.loss((logits, offsets), targets).backward()
    assert logits.grad is not None
    assert offsets.grad is not None
    positive = torch.from_numpy(ANCHORS.assign(truth[0][:, 1:]) >= 0)
    touched = logits.grad[0].any(dim=1)
    assert touched[positive].all()
    assert int(touched.sum()) == 4 * int(positive.sum())
    assert torch.equal(offsets.grad[0].any(dim=1), positive)
    background = logits.detach()[0].log_softmax(1)[:, 0]
    left_out = ~touched & torch.from_numpy(ANCHORS.assign(truth[0][:, 1:]) == -1)
    assert background[touched & ~positive].max() <= background[left_out].min()


def test_smaller_pictures_are_judged_by_their_own_anchors() -> None:
    """Of a batch of another size as of a detector that knows no other."""
    larger = Anchors([Level.even((12, 12), [(0.2, 0.2), (0.3, 0.15)]), Level.even((6, 6), [(0.5, 0.5)])])
    both, alone = DetectionObjective(larger, CLASSES, smaller=[ANCHORS]), DetectionObjective(ANCHORS, CLASSES)
    outputs, targets, truth = batch(5, (2, 0, 3))
    tallies: list[Tally] = [{}, {}]
    for objective, tally in zip((both, alone), tallies, strict=True):
        loss = objective.loss(outputs, targets)
        objective.count(tally, outputs, targets, loss.item())
    assert tallies[0] == tallies[1]
    assert both.loss(outputs, targets) == alone.loss(outputs, targets)
    np.testing.assert_array_equal(both.objects(targets, len(ANCHORS))[0, :2], truth[0])
    found = (outputs[0].detach(), outputs[1].detach())
    for one, other in zip(both.detections(found), alone.detections(found), strict=True):
        np.testing.assert_array_equal(one, other)


def test_half_precision_outputs_give_a_float32_loss() -> None:
    outputs, targets, _ = batch(2, (2, 3))
    objective = DetectionObjective(ANCHORS, CLASSES)
    low = tuple(one.detach().bfloat16() for one in outputs)
    loss = objective.loss((low[0], low[1]), targets)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(objective.loss(outputs, targets).item(), rel=0.05)


# Judging


def perfect(truth: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs that say exactly what is true."""
    logits = torch.zeros(len(truth), len(ANCHORS), CLASSES + 1)
    logits[..., 0] = 10
    offsets = torch.zeros(len(truth), len(ANCHORS), 4)
    for image, own in enumerate(truth):
        answers = ANCHORS.assign(own[:, 1:])
        for anchor in np.flatnonzero(answers >= 0).tolist():
            row = own[answers[anchor]]
            logits[image, anchor, int(row[0]) + 1] = 20
            offsets[image, anchor] = torch.from_numpy(encode(row[1:], ANCHORS.centred[anchor]))
    return logits, offsets


def test_perfect_outputs_have_a_map_of_one() -> None:
    apart = np.array([[0, 0.05, 0.05, 0.3, 0.3], [2, 0.6, 0.1, 0.9, 0.3], [1, 0.2, 0.5, 0.7, 0.95]], np.float32)
    truth = [apart, apart[:1], apart[:0]]
    objective = DetectionObjective(ANCHORS, CLASSES)
    accumulator = objective.accumulator()
    targets = torch.from_numpy(np.stack([ANCHORS.target(one, SLOTS) for one in truth]))
    accumulator.add(perfect(truth), targets, 0.25)
    metrics = accumulator.metrics()
    assert metrics.keys() == {"loss", "cross_entropy", "smooth_l1", "mAP"}
    assert metrics["mAP"] == 1.0
    assert metrics["loss"] == 0.25
    assert metrics["smooth_l1"] == pytest.approx(0, abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_judge_counts_the_same_in_one_batch_or_many(seed: int) -> None:
    outputs, targets, truth = batch(seed, (2, 0, 4))
    objective = DetectionObjective(ANCHORS, CLASSES, overlap=0.3, suppression=0.4, most=30)
    whole, parts, plain = objective.accumulator(), objective.accumulator(), AveragePrecision(CLASSES)
    detached = (outputs[0].detach(), outputs[1].detach())
    whole.add(detached, targets, 1.0)
    for n in range(3):
        parts.add((detached[0][n : n + 1], detached[1][n : n + 1]), targets[n : n + 1], 1.0)
    for own, found in zip(truth, objective.detections(detached), strict=True):
        assert len(found) <= 30
        plain.add(own, found)
    assert whole.metrics() == pytest.approx(parts.metrics())
    assert whole.metrics()["mAP"] == pytest.approx(plain.mean_average_precision(0.3))


def test_only_a_strictly_higher_map_is_kept() -> None:
    objective = DetectionObjective(ANCHORS, CLASSES)
    history = [{"mAP": 0.2}, {"mAP": 0.5}, {"mAP": 0.4}]
    assert [objective.keeps({"mAP": value}, history) for value in (0.4, 0.5, 0.51)] == [False, False, True]
    assert objective.keeps({"mAP": 0.0}, [])
    assert objective.watched == "mAP"


def test_late_epochs_are_kept_within_one_standard_error() -> None:
    objective = DetectionObjective(ANCHORS, CLASSES, late_objects=58)
    history = [{"mAP": 0.5}, {"mAP": 1.0}]
    assert [objective.keeps({"mAP": value}, history) for value in (0.96, 0.98, 1.0)] == [False, True, True]
    assert objective.keeps({"mAP": 0.0}, [])
