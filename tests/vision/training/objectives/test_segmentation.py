"""Loss and mIOU of segmenters, against naive arithmetic and torchmetrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from clary.vision.base.types import IGNORED
from clary.vision.training.objectives.base import Tally
from clary.vision.training.objectives.segmentation import SegmentationObjective

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 4


def batch(seed: int, count: int = 2, ignored: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, auxiliary logits and masks of pictures of 5 x 6."""
    random = np.random.default_rng(seed)
    logits, auxiliary = (torch.from_numpy(random.normal(0, 2, (count, CLASSES, 5, 6)).astype("f4")) for _ in range(2))
    masks = random.integers(0, CLASSES, (count, 5, 6)).astype(np.uint8)
    masks[random.random(masks.shape) < ignored] = IGNORED
    return logits.requires_grad_(), auxiliary.requires_grad_(), torch.from_numpy(masks)


def plain_mean(logits: Tensor, masks: Tensor) -> float:
    """Cross-entropy of every pixel with a class, one after the other."""
    values, losses = logits.detach().double().numpy(), []
    for (image, row, column), true in np.ndenumerate(masks.numpy()):
        if true != IGNORED:
            scores = values[image, :, row, column]
            losses.append(math.log(sum(math.exp(one) for one in scores)) - scores[true])
    return float(sum(losses) / max(len(losses), 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.sampled_from([0.5, 0.2]))
def test_loss_is_the_mean_over_pixels_and_half_the_auxiliary(seed: int, ignored: float, weight: float) -> None:
    logits, auxiliary, masks = batch(seed, ignored=ignored)
    objective = SegmentationObjective(CLASSES, weight)
    alone, both = objective.loss(logits, masks).item(), objective.loss((logits, auxiliary), masks).item()
    assert alone == pytest.approx(plain_mean(logits, masks), rel=1e-4, abs=1e-6)
    assert both == pytest.approx(alone + weight * plain_mean(auxiliary, masks), rel=1e-4, abs=1e-6)


def test_auxiliary_logits_weigh_half_by_default() -> None:
    logits, auxiliary, masks = batch(0)
    objective = SegmentationObjective(CLASSES)
    rest = objective.loss((logits, auxiliary), masks) - objective.loss(logits, masks)
    assert rest.item() == pytest.approx(0.5 * plain_mean(auxiliary, masks), rel=1e-4)


def test_pixels_without_a_class_have_no_gradient() -> None:
    logits, auxiliary, masks = batch(1, ignored=0.4)
    SegmentationObjective(CLASSES).loss((logits, auxiliary), masks).backward()
    for one in (logits, auxiliary):
        assert one.grad is not None
        touched = one.grad.abs().sum(dim=1) > 0
        assert torch.equal(touched, masks != IGNORED)


def test_batch_without_any_class_gives_no_loss_and_gradients_of_zero() -> None:
    logits, auxiliary, masks = batch(2, ignored=1.0)
    loss = SegmentationObjective(CLASSES).loss((logits, auxiliary), masks)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_half_precision_logits_give_a_float32_loss() -> None:
    logits, _, masks = batch(3)
    loss = SegmentationObjective(CLASSES).loss(logits.detach().bfloat16(), masks)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain_mean(logits, masks), rel=0.02)


def test_loss_of_an_epoch_is_the_mean_over_its_pictures() -> None:
    objective, tally = SegmentationObjective(CLASSES), Tally()
    for count, loss in ((4, 2.0), (1, 1.0)):
        logits, _, masks = batch(count, count)
        objective.count(tally, logits, masks, loss)
    assert objective.metrics(tally) == {"loss": pytest.approx(9 / 5)}
    assert objective.metrics({}) == {"loss": 0}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_judge_agrees_with_torchmetrics(seed: int) -> None:
    accumulator = SegmentationObjective(CLASSES).accumulator()
    jaccard = MulticlassJaccardIndex(CLASSES, ignore_index=IGNORED)
    accuracy = MulticlassAccuracy(CLASSES, average="micro", ignore_index=IGNORED)
    for place in range(2):
        logits, _, masks = batch(seed + place)
        accumulator.add(logits.detach(), masks, 0.5)
        jaccard.update(logits.detach(), masks.long())
        accuracy.update(logits.detach(), masks.long())
    metrics = accumulator.metrics()
    assert metrics.keys() == {"loss", "pixel_accuracy", "mIOU", "mIOU_present"}
    assert metrics["mIOU"] == pytest.approx(jaccard.compute().item(), abs=1e-6)
    assert metrics["pixel_accuracy"] == pytest.approx(accuracy.compute().item(), abs=1e-6)
    assert metrics["loss"] == 0.5


def test_sums_run_over_the_whole_set_not_over_pictures() -> None:
    """One picture all right, one all wrong: 0.5 by pixels; the classes' unions are of both."""
    accumulator = SegmentationObjective(2).accumulator()
    sure = torch.tensor([[10.0, 0.0], [0.0, 10.0]])
    for true, said in ((0, 0), (1, 0)):
        logits = sure[said].view(1, 2, 1, 1).expand(1, 2, 3, 3)
        accumulator.add(logits, torch.full((1, 3, 3), true, dtype=torch.uint8), 0.0)
    metrics = accumulator.metrics()
    assert metrics["pixel_accuracy"] == 0.5
    assert metrics["mIOU"] == pytest.approx((9 / 18 + 0) / 2)


def test_class_that_is_nowhere_lowers_the_printed_mean_only() -> None:
    accumulator = SegmentationObjective(CLASSES).accumulator()
    masks = torch.tensor([[[0, 1, 2, IGNORED]]], dtype=torch.uint8)
    logits = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 2, 3]]]), CLASSES).permute(0, 3, 1, 2).float()
    accumulator.add(logits, masks, 0.0)
    metrics = accumulator.metrics()
    assert (metrics["mIOU"], metrics["mIOU_present"], metrics["pixel_accuracy"]) == (0.75, 1.0, 1.0)


def test_only_a_strictly_higher_miou_is_kept() -> None:
    objective = SegmentationObjective(CLASSES)
    history = [{"mIOU": 0.2}, {"mIOU": 0.5}, {"mIOU": 0.4}]
    assert [objective.keeps({"mIOU": value}, history) for value in (0.4, 0.5, 0.51)] == [False, False, True]
    assert objective.keeps({"mIOU": 0.0}, [])
    assert objective.watched == "mIOU"
