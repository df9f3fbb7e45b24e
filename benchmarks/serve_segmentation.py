"""Serving speed: FCN and DeepLabV3 on ResNet-50, 240 pixels, masks out, against LitServe and the limit.

    python benchmarks/serve_segmentation.py [--rounds 3] [--seconds 10] [--network fcn]

Contestants and clients are those of ``_serving.py``. LitServe has the same network and weights in eager torch, Pillow's
decoding, the highest of the logits, and Pillow's PNG. Pictures of 240 x 240 pixels go through as they are.

A random network is undecided everywhere: rounding changes the class of every twentieth pixel, and bf16 is refused. So
its last layer is fitted, by least squares, to tell dark, middling and bright places apart. Then bf16 changes the class
of one pixel in 200, as with networks trained on pets.
"""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _serving import Contest, main, photographs, settle, squeezed, write_artifact
from PIL import Image

if TYPE_CHECKING:
    import torch

SIDE = 240
LABELS = ("dark", "middling", "bright")
JPEG_BYTES = 20_000
GOAL = "goal: 5x LitServe"
RIDGE = 0.1  # of the fit, as a share of the mean square of its inputs
SURENESS = 8.0  # scores of the fit, 0 and 1, are multiplied by it to be logits
AGREEING = 0.95  # share of pixels of the same class in both answers


def image() -> bytes:
    """A photograph of 240 x 240 pixels of about 20 kB."""
    return squeezed(photographs(1, SIDE, SIDE)[0], JPEG_BYTES)


def write(algorithm: str, folder: Path) -> None:
    """A network on ResNet-50 at output stride 8 with random weights."""
    import torch

    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.preprocessing import Preprocess
    from clary.vision.models.segmenter import build_segmenter, describe_segmenter
    from clary.vision.tasks import TASKS

    torch.manual_seed(0)
    description = describe_segmenter("timm:resnet50", algorithm, len(LABELS))
    network = build_segmenter(description)
    example = np.stack([np.asarray(image) for image in photographs(4, SIDE, SIDE)])
    images = torch.from_numpy(example)
    settle(network.segmenter, images)
    _fit_last(network.segmenter, images)
    manifest = Manifest(
        task="segmentation",
        algorithm="semantic-segmentation",
        labels=LABELS,
        network=description,
        input=Input(Preprocess.whole()),
        outputs=TASKS.get("segmentation").outputs,
        provenance=Provenance(clary="benchmark", created="2026-01-01T00:00:00Z"),
    )
    write_artifact(folder, network, example, manifest)


def _fit_last(segmenter: Any, images: torch.Tensor) -> None:
    """Give the last convolution the weights that tell the brightness of a place best, a third of all to each class."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d, one_hot

    last, seen = segmenter.head[-1], []
    handle = last.register_forward_hook(lambda *told: seen.append(told[1][0]))
    with torch.no_grad():
        segmenter(images)
        handle.remove()
        features = seen[0]
        brightness = adaptive_avg_pool2d(images.float().mean(dim=3)[:, None], features.shape[2:]).flatten()
        classes = torch.bucketize(brightness, torch.quantile(brightness, torch.tensor([1 / 3, 2 / 3])))
        inputs = features.movedim(1, 3).flatten(0, 2).double()
        mean = inputs.mean(dim=0)
        inputs -= mean
        table = inputs.T @ inputs
        ridge = RIDGE * table.diagonal().mean() * torch.eye(len(table), dtype=table.dtype)
        weights = SURENESS * torch.linalg.solve(table + ridge, inputs.T @ (one_hot(classes).double() - 1 / len(LABELS)))
        last.weight.copy_(weights.T[:, :, None, None])
        last.bias.copy_(-(mean @ weights))


def compare(ours: bytes, peers: bytes) -> str:
    """On how many pixels two masks agree. Raises ValueError for less than AGREEING, or another size."""
    mine, other = (np.asarray(Image.open(io.BytesIO(answer))) for answer in (ours, peers))
    if mine.shape != other.shape:
        raise ValueError(f"masks of {mine.shape} and {other.shape}")
    share = float((mine == other).mean())
    shares = ", ".join(f"{part:.2f}" for part in np.bincount(mine.ravel(), minlength=len(LABELS)) / mine.size)
    said = f"{100 * share:.2f} % of the pixels are of the same class (shares of the classes {shares})"
    if share < AGREEING:
        raise ValueError(said)
    return said


if __name__ == "__main__":
    titles = {"fcn": "FCN", "deeplab": "DeepLabV3"}
    contests = {
        name: Contest(f"{title} on ResNet-50, {SIDE} px", GOAL, image, partial(write, name), compare)
        for name, title in titles.items()
    }
    main(__doc__, contests)
