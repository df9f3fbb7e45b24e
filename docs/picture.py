"""Writes the picture at the head of the README: what the models of a quickstart say of pictures they have not seen.

clary quickstart --task all
python -m docs.picture quickstart
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import clary
from clary.vision import formats
from clary.vision.base import decoding, preprocessing
from clary.vision.base.types import Detections, Prediction, Segmentation
from clary.vision.plots import samples
from clary.vision.plots.overlay import draw_boxes, draw_mask

FILE = Path(__file__).parent / "images" / "tasks.jpg"
WIDTH, HEIGHT = 1100, 150  # pixels of the picture, and of one in it
ROWS, OF_EACH = 2, 2
LANDSCAPE = (1.2, 1.4)  # width / height of pictures that make rows of six

Shown = tuple[np.ndarray, str]


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
    columns = [_said(out / task, number) for number, task in enumerate(SHOWS)]
    rows = [[one for column in columns for one in column[row * OF_EACH : (row + 1) * OF_EACH]] for row in range(ROWS)]
    sizes = samples.justified([one.image.shape[1::-1] for row in rows for one in row], width=WIDTH, height=HEIGHT)
    assert [len(row) for row in sizes] == [len(row) for row in rows], "choose pictures of like shapes"
    fitted = [[one.shown(*size) for one, size in zip(*pair, strict=True)] for pair in zip(rows, sizes, strict=True)]
    samples.rows(fitted, width=WIDTH).save(FILE, quality=88)
    print(FILE)
    return 0


@dataclass(frozen=True, slots=True)
class Said:
    """A picture, and what was predicted of it."""

    task: str
    image: np.ndarray
    prediction: Any

    def shown(self, width: int, height: int) -> Shown:
        return SHOWS[self.task](preprocessing.resize(self.image, height, width), self.prediction)


def _said(run: Path, number: int) -> list[Said]:
    """Pictures of the test split, others for each task, with what the model of ``run`` says of them."""
    found = formats.read(run.parent / "pets").splits["test"]
    paths = [one.image.path for breed in range(6) for one in found[breed * len(found) // 6 + 2 * number :][:2]]
    images = ((path, decoding.load(path)) for path in paths)
    fit = [one for one in images if LANDSCAPE[0] < one[1].shape[1] / one[1].shape[0] < LANDSCAPE[1]]
    chosen = list(islice(fit, ROWS * OF_EACH))
    with clary.load(run) as model:
        return [Said(run.name, image, model.predict([path])[0]) for path, image in chosen]


def _class(image: np.ndarray, found: Prediction) -> Shown:
    return image, f"{found.label} {found.score:.2f}"


def _boxes(image: np.ndarray, found: Detections) -> Shown:
    sure = found.above(0.4)
    boxed = draw_boxes(image, sure.as_boxes(), sure.class_names, (found.width, found.height), labels=False)
    said = [f"{label} {score:.2f}" for label, score in zip(sure.labels, sure.scores, strict=True)]
    return boxed, ", ".join(said)


def _mask(image: np.ndarray, found: Segmentation) -> Shown:
    return draw_mask(image, found.classes), f"pet {dict(found.shares()).get('pet', 0):.0%}"


SHOWS: dict[str, Callable[[np.ndarray, Any], Shown]] = {
    "classification": _class,
    "detection": _boxes,
    "segmentation": _mask,
}

if __name__ == "__main__":
    sys.exit(main())
