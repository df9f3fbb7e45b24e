"""Serving speed: SSD-300 on ResNet-50, a 127 kB JPEG in, boxes out, eight clients, against LitServe and the limit.

    python benchmarks/serve_detection.py [--rounds 3] [--seconds 10]

Contestants and clients are those of ``_serving.py``. LitServe has the same network and weights in eager torch,
Pillow's decoding and resizing, and torchvision's suppression; both answer with the boxes of scores above 0.01, out of
the best 400, that no better one of their class overlaps by 0.45.

Random weights would give every anchor about the same score, thousands of boxes in no order. So the last layers are
scaled until scores differ as those of a trained detector do, and the background's bias is set so that CANDIDATES
scores of the picture are above 0.01, which is what a detector trained on pets gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _serving import Contest, main, photographs, settle, squeezed, write_artifact

if TYPE_CHECKING:
    from torch import Tensor, nn

    from clary.vision.models.detector import BoxScores

SIDE = 300
LABELS = ("cat", "dog")
JPEG_BYTES = 127_000
LEAST = 0.01  # score of a box that is answered
CANDIDATES = 200  # scores of the picture above it, before suppression
GOAL = "goal: 5x LitServe"

SURE = 0.1  # boxes of that score must be in both answers:
NEAR = 0.5  # of the same class, overlapping by that
AGREEING = 0.9  # so many of them


def image() -> bytes:
    """A photograph of 1024 x 768 pixels, at the quality that makes it 127 kB."""
    return squeezed(photographs(1, 1024, 768)[0], JPEG_BYTES)


def write(folder: Path) -> None:
    """SSD-300 on ResNet-50 with random weights, scaled as the module says."""
    import torch

    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.preprocessing import Preprocess, prepare
    from clary.vision.models.anchors import ssd_levels
    from clary.vision.models.detector import build_detector, describe_detector, grids_of
    from clary.vision.tasks import TASKS

    torch.manual_seed(0)
    shape = (SIDE, SIDE)
    levels = ssd_levels(grids_of("timm:resnet50", shape), *shape)
    description = describe_detector("timm:resnet50", len(LABELS), shape, levels)
    network = build_detector(description)
    how = Preprocess(SIDE, SIDE, None, "squash")
    own = prepare((folder / "picture.jpg").read_bytes(), how)
    example = np.stack([own, *(np.asarray(image) for image in photographs(8, SIDE, SIDE)[1:])])
    images = torch.from_numpy(example)
    settle(network, images)
    heads: list[Any] = list(network.detector.head["predict"])  # type: ignore[call-overload]
    _spread_out(network, (head.scores for head in heads), images, 2.0)
    _spread_out(network, (head.offsets for head in heads), images, 1.0)
    _set_background(network, images[:1])
    manifest = Manifest(
        task="detection",
        algorithm="object-detection",
        labels=LABELS,
        network=description,
        input=Input(how),
        outputs=TASKS.get("detection").outputs,
        provenance=Provenance(clary="benchmark", created="2026-01-01T00:00:00Z"),
    )
    write_artifact(folder, network, example[:4], manifest)


def _spread_out(network: nn.Module, layers: Iterable[nn.Conv2d], images: Tensor, deviation: float) -> None:
    """Scale last convolutions so that each channel has mean 0 and about that deviation over ``images``: random scores
    are all alike otherwise, and which of them is the highest is a matter of rounding."""
    import torch

    for layer in layers:
        seen: list[Tensor] = []
        handle = layer.register_forward_hook(lambda *told, seen=seen: seen.append(told[2]))
        with torch.no_grad():
            network(images)
            handle.remove()
            outputs = torch.cat(seen)
            mean, own = outputs.mean(dim=(0, 2, 3)), outputs.std(dim=(0, 2, 3))
            scale = deviation / own.clamp(min=0.1 * float(outputs.std()))
            layer.weight.mul_(scale[:, None, None, None])
            if layer.bias is not None:
                layer.bias.sub_(mean).mul_(scale)


def _set_background(network: BoxScores, image: Tensor) -> None:
    """Raise the background's bias until CANDIDATES scores are left above LEAST."""
    import torch

    with torch.no_grad():
        logits = network.detector(image)[0][0]
        low, high = 0.0, 50.0
        for _ in range(40):
            middle = (low + high) / 2
            raised = logits + torch.tensor([middle] + [0.0] * len(LABELS))
            many = int((raised.softmax(dim=1)[:, 1:] > LEAST).sum()) > CANDIDATES
            low, high = (middle, high) if many else (low, middle)
        heads: list[Any] = list(network.detector.head["predict"])  # type: ignore[call-overload]
        for head in heads:
            head.scores.bias.view(-1, len(LABELS) + 1)[:, 0] += high


def compare(ours: bytes, peers: bytes) -> str:
    """How many sure boxes of either answer are in the other, too. Raises ValueError for less than AGREEING."""
    mine, other = (np.array(json.loads(answer)["prediction"]).reshape(-1, 6) for answer in (ours, peers))
    found, gaps = zip(_found(mine, other), _found(other, mine), strict=True)
    share = min(float(one.mean()) if one.size else 0.0 for one in found)
    gap = float(np.concatenate(gaps).mean()) if share else float("nan")
    said = f"{len(mine)} and {len(other)} boxes; of those of score {SURE} and more {100 * share:.0f} % are in both, "
    said += f"their scores differ by {gap:.4f} in the mean"
    if share < AGREEING:
        raise ValueError(said)
    return said


def _found(rows: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which sure boxes of ``rows`` are among the others, and how far the scores of those found are apart."""
    from clary.vision.base.boxes import iou

    sure = rows[rows[:, 1] >= SURE]
    if not len(sure) or not len(among):
        return np.zeros(len(sure), bool), np.empty(0)
    shared = iou(sure[:, 2:], among[:, 2:]) * (sure[:, None, 0] == among[None, :, 0])
    nearest = shared.argmax(axis=1)
    found = shared.max(axis=1) >= NEAR
    return found, np.abs(sure[:, 1] - among[nearest, 1])[found]


if __name__ == "__main__":
    main(__doc__, {"ssd": Contest(f"SSD-{SIDE} on ResNet-50", GOAL, image, write, compare)})
