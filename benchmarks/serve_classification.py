"""Serving speed: ResNet-50, a 127 kB JPEG in, eight clients, against LitServe with eager torch and the limit.

    python benchmarks/serve_classification.py [--rounds 3] [--seconds 10]

Contestants and clients are those of ``_serving.py``. LitServe has torchvision's transforms and a network of the same
kind with random weights of its own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from _serving import Contest, main, photographs, squeezed, write_artifact

CLASSES = 37
SIZE = 224
JPEG_BYTES = 127_000
GOAL = "goal: 120 requests/s, p99 under 150 ms, 5x LitServe, under 1024 MiB"


def image() -> bytes:
    """A photograph of 1024 x 768 pixels, at the quality that makes it 127 kB."""
    return squeezed(photographs(1, 1024, 768)[0], JPEG_BYTES)


def write(folder: Path) -> None:
    """ResNet-50 with random weights."""
    import torch

    from clary.vision.artifact.manifest import Input, Manifest, Provenance
    from clary.vision.base.preprocessing import Preprocess
    from clary.vision.models.classifier import build, describe

    torch.manual_seed(0)
    description = describe("timm:resnet50", CLASSES)
    manifest = Manifest(
        task="classification",
        algorithm="image-classification",
        labels=tuple(f"class {i}" for i in range(CLASSES)),
        network=description,
        input=Input(Preprocess(SIZE, SIZE, resize=256, crop="center")),
        provenance=Provenance(clary="benchmark", created="2026-01-01T00:00:00Z"),
    )
    example = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    write_artifact(folder, build(description), example, manifest)


if __name__ == "__main__":
    main(__doc__, {"resnet-50": Contest(f"ResNet-50, {SIZE} px", GOAL, image, write)})
