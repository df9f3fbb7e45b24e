"""Detection: cross-entropy with hard negatives, smooth L1 of the offsets, mAP, and which epoch's weights are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clary.vision.base.average_precision import AveragePrecision
from clary.vision.base.boxes import MOST, VARIANCES, detect
from clary.vision.models.anchors import IGNORED, Anchors
from clary.vision.models.detector import decoded
from clary.vision.tasks.detection import TASK
from clary.vision.training.objectives.base import MetricAccumulator, Tally, TaskObjective, add, as_good

__all__ = ["DetectionObjective"]

Outputs = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class _Parts:
    """Sums over a batch, all scalars: ``kept`` anchors with a class loss, ``found`` of them with an object."""

    cross_entropy: Tensor
    smooth_l1: Tensor
    kept: Tensor
    found: Tensor

    @property
    def sums(self) -> Tensor:
        """What is counted, without the graph."""
        return torch.stack([self.cross_entropy, self.smooth_l1, self.kept]).detach()


class DetectionObjective(TaskObjective):
    """Liu 2016, *SSD*, as MXNet trains it. Outputs are logits (N, A, classes + 1), background first, and offsets (N, A,
    4). Targets are float32 (N, 5 * slots + A), rows of ``Anchors.target``.

    The class loss is the mean over the anchors with an object and, of each picture, ``negatives`` times as many of
    background: those the network is least sure of. The other loss is ``box_weight`` times the mean smooth L1 over the
    offsets of anchors with an object. ``smaller`` are the anchors of smaller pictures that are trained on as well; how
    many boxes a network gave tells which they are of. ``overlap`` is what a hit of the validation must overlap by,
    ``suppression`` the threshold of non-maximum suppression, ``most`` the boxes of a picture that go into it. With
    ``late_objects``, how many are validated on, the latest epoch is kept whose mAP is as good as the best: mAP at 0.5
    is 1 long before the boxes are as exact as they will be.
    """

    task = TASK

    def __init__(
        self,
        anchors: Anchors,
        num_classes: int,
        *,
        smaller: Sequence[Anchors] = (),
        negatives: float = 3.0,
        least_negatives: int = 0,
        box_weight: float = 1.0,
        overlap: float = 0.5,
        suppression: float = 0.45,
        most: int = MOST,
        late_objects: int = 0,
    ) -> None:
        self.num_classes = num_classes
        self.overlap = overlap
        self._count = len(anchors)
        # Larger pictures have larger maps: no two sizes have as many anchors and other ones.
        self._anchors = {len(one): torch.from_numpy(one.centred) for one in (*smaller, anchors)}
        self._negatives = negatives
        self._least = least_negatives
        self._box_weight = box_weight
        self._suppression = suppression
        self._most = most
        self._late_objects = late_objects
        self._latest: tuple[Tensor, Tensor] | None = None

    def loss(self, outputs: Outputs, targets: Tensor) -> Tensor:
        """float32 scalar; 0 where no picture has an object."""
        parts = self._parts(outputs, targets)
        self._latest = (targets, parts.sums)
        offsets = parts.smooth_l1 / (4 * parts.found).clamp(min=1)
        # Each by its own count, as MXNet has it; the 4 are the offsets of a box.
        return parts.cross_entropy / parts.kept.clamp(min=1) + self._box_weight * offsets

    def count(self, tally: Tally, outputs: Outputs, targets: Tensor, loss: float) -> None:
        """What was summed for the loss of the same targets is counted, not computed again."""
        latest, self._latest = self._latest, None
        # By identity: the same tensor is the same batch; to compute the parts again takes as long as the loss.
        sums = latest[1] if latest and latest[0] is targets else self._parts(outputs, targets).sums
        cross_entropy, smooth_l1, kept = sums.tolist()
        add(tally, cross_entropy=cross_entropy, smooth_l1=smooth_l1, kept=kept)
        add(tally, loss=loss * len(targets), samples=len(targets))

    def metrics(self, tally: Mapping[str, float]) -> dict[str, float]:
        """``loss``, and ``cross_entropy`` and ``smooth_l1`` as the original prints them: sums by kept anchor."""
        kept = max(tally.get("kept", 0.0), 1)
        return {
            "loss": tally.get("loss", 0.0) / max(tally.get("samples", 0.0), 1),
            "cross_entropy": tally.get("cross_entropy", 0.0) / kept,
            "smooth_l1": tally.get("smooth_l1", 0.0) / kept,
        }

    def accumulator(self) -> MetricAccumulator:
        return _DetectionAccumulator(self)

    def keeps(self, new: Mapping[str, float], earlier: Sequence[Mapping[str, float]]) -> bool:
        best = max((epoch["mAP"] for epoch in earlier), default=-1.0)
        if not self._late_objects or best < 0:
            return super().keeps(new, earlier)
        return as_good(new["mAP"], best, self._late_objects)

    def objects(self, targets: Tensor, anchors: int | None = None) -> Tensor:
        """What targets tell of the pictures: (N, slots, 5), class id and box; -1 where a slot is free. ``anchors`` is
        how many there are of the pictures' size, unless that is the full one."""
        return targets[:, : targets.shape[1] - (anchors or self._count)].view(len(targets), -1, 5)

    def detections(self, outputs: Outputs) -> list[np.ndarray]:
        """Rows of ``base.boxes.detect`` for each picture, float32 (n, 6)."""
        logits, offsets = outputs
        scores = logits.float().softmax(dim=2)[..., 1:].cpu().numpy()
        boxes = decoded(offsets.float(), self._on(offsets)).cpu().numpy()
        pairs = zip(boxes, scores, strict=True)
        return [detect(*pair, overlap=self._suppression, most=self._most) for pair in pairs]

    def _parts(self, outputs: Outputs, targets: Tensor) -> _Parts:
        logits, offsets = outputs
        anchors = logits.shape[1]
        answers = targets[:, targets.shape[1] - anchors :].long()
        objects = self.objects(targets, anchors)
        image, anchor = torch.nonzero(answers >= 0, as_tuple=True)
        own = objects[image, answers[image, anchor]]
        # 0 is the background; classes count from 1 here, as the outputs do.
        classes = torch.where(answers == IGNORED, IGNORED, 0)
        classes[image, anchor] = own[:, 0].long() + 1
        smooth = F.smooth_l1_loss(
            offsets[image, anchor].float(), _offsets(own[:, 1:], self._on(offsets)[anchor]), reduction="sum"
        )
        losses = F.cross_entropy(
            logits.float().flatten(0, 1), classes.flatten(), ignore_index=IGNORED, reduction="none"
        ).view(classes.shape)
        kept = (classes > 0) | self._hardest(losses.detach(), classes)
        return _Parts((losses * kept).sum(), smooth, kept.sum(), (classes > 0).sum())

    def _hardest(self, losses: Tensor, classes: Tensor) -> Tensor:
        """(N, A) booleans: of each picture the anchors of background with the largest losses."""
        background = classes == 0
        wanted = (self._negatives * (classes > 0).sum(dim=1)).long()
        if self._least:
            wanted = torch.where((classes != IGNORED).any(dim=1), wanted.clamp(min=self._least), wanted)
        wanted = torch.minimum(wanted, background.sum(dim=1))
        # One topk for the batch, cut picture by picture below: topk takes one number for all rows.
        most = int(wanted.max())
        # -1 is below any cross-entropy, so what is no background comes last.
        hardest = losses.masked_fill(~background, -1.0).topk(most, dim=1).indices
        chosen = torch.arange(most, device=losses.device) < wanted[:, None]
        return torch.zeros_like(background).scatter_(1, hardest, chosen)

    def _on(self, like: Tensor) -> Tensor:
        """The anchors of outputs (N, A, 4), where they are."""
        anchors = self._anchors[like.shape[1]]
        if anchors.device != like.device:
            anchors = self._anchors[like.shape[1]] = anchors.to(like.device)
        return anchors


class _DetectionAccumulator:
    """``loss``, ``cross_entropy``, ``smooth_l1`` and ``mAP``."""

    def __init__(self, objective: DetectionObjective) -> None:
        self._objective = objective
        self._tally: Tally = {}
        self._detections = AveragePrecision(objective.num_classes)

    def add(self, outputs: Outputs, targets: Tensor, loss: float) -> None:
        self._objective.count(self._tally, outputs, targets, loss)
        truth = self._objective.objects(targets).cpu().numpy()
        for true, found in zip(truth, self._objective.detections(outputs), strict=True):
            self._detections.add(true, found)

    def metrics(self) -> dict[str, float]:
        found = self._detections.mean_average_precision(self._objective.overlap)
        return self._objective.metrics(self._tally) | {"mAP": found}


def _offsets(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Offsets (K, 4) of boxes from centred anchors (K, 4); ``base.boxes.encode`` as tensors."""
    low, high = boxes[:, :2], boxes[:, 2:]
    centre = ((low + high) / 2 - anchors[:, :2]) / anchors[:, 2:] / VARIANCES[0]
    return torch.cat([centre, torch.log((high - low) / anchors[:, 2:]) / VARIANCES[1]], dim=1)
