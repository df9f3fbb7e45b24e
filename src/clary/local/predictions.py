"""How ``clary predict`` shows what each task predicts: lines of a table, JSON, drawn pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from clary.vision.base import imaging
from clary.vision.base.colours import MASK_PALETTE
from clary.vision.base.files import atomic
from clary.vision.base.types import Detections, Prediction, Segmentation, Task
from clary.vision.plots.overlay import draw_boxes, draw_mask

__all__ = ["VIEWS", "PredictionView"]


class PredictionView:
    """``top`` and ``least`` are the options of ``clary predict``; ``draws`` is whether there is anything to draw."""

    columns: ClassVar[tuple[str, ...]]
    draws: ClassVar[bool] = True

    def __init__(self, *, top: int, least: float) -> None:
        self.top = top
        self.least = least

    def lines(self, prediction: Any) -> list[tuple[Any, ...]]:
        """Rows of the table, in the order of ``columns``."""
        raise NotImplementedError

    def as_json(self, prediction: Any) -> dict[str, Any]:
        """What stands beside the picture's path."""
        raise NotImplementedError

    def write(self, prediction: Any, image: Path, place: Path) -> None:
        """Draw ``prediction`` into files called ``place`` and a suffix. Raises UsageError when that cannot be."""


class Classes(PredictionView):
    columns = ("class", "score")
    draws = False

    def lines(self, prediction: Prediction) -> list[tuple[Any, ...]]:
        return [(label, f"{score:.4f}") for label, score in prediction.top(self.top)]

    def as_json(self, prediction: Prediction) -> dict[str, Any]:
        return {"predictions": [{"label": label, "score": score} for label, score in prediction.top(self.top)]}


class Boxes(PredictionView):
    """Boxes in pixels of the picture."""

    columns = ("class", "score", "xmin", "ymin", "xmax", "ymax")

    def lines(self, prediction: Detections) -> list[tuple[Any, ...]]:
        found = prediction.above(self.least)
        rows = zip(found.labels, found.scores, np.rint(found.pixels).astype(int).tolist(), strict=True)
        return [(label, f"{score:.4f}", *corners) for label, score, corners in rows] or [("-", "", "", "", "", "")]

    def as_json(self, prediction: Detections) -> dict[str, Any]:
        found = prediction.above(self.least)
        names = ("xmin", "ymin", "xmax", "ymax")
        boxes = [
            {"label": label, "score": float(score), **dict(zip(names, map(float, corners), strict=True))}
            for label, score, corners in zip(found.labels, found.scores, found.pixels.round(2), strict=True)
        ]
        return {"width": prediction.width, "height": prediction.height, "boxes": boxes}

    def write(self, prediction: Detections, image: Path, place: Path) -> None:
        found = prediction.above(self.least)
        words = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
        size = (prediction.width, prediction.height)
        drawn = draw_boxes(imaging.load(image), found.as_boxes(), found.class_names, size, captions=words)
        _save(Image.fromarray(drawn), Path(f"{place}.jpg"), "JPEG", quality=90)


class Masks(PredictionView):
    """Shares of the picture by class; the mask's values are class ids."""

    columns = ("class", "share")

    def lines(self, prediction: Segmentation) -> list[tuple[Any, ...]]:
        return [(label, f"{share:.4f}") for label, share in prediction.shares()[: self.top]]

    def as_json(self, prediction: Segmentation) -> dict[str, Any]:
        height, width = prediction.classes.shape
        shares = [{"label": label, "share": share} for label, share in prediction.shares()]
        return {"width": width, "height": height, "shares": shares}

    def write(self, prediction: Segmentation, image: Path, place: Path) -> None:
        mask = Image.fromarray(prediction.classes)
        mask.putpalette(MASK_PALETTE)
        _save(mask, Path(f"{place}.mask.png"), "PNG")
        drawn = draw_mask(imaging.load(image), prediction.classes, prediction.class_names)
        _save(Image.fromarray(drawn), Path(f"{place}.jpg"), "JPEG", quality=90)


def _save(image: Image.Image, path: Path, format: str, **options: Any) -> None:
    with atomic(path) as file:
        image.save(file, format, **options)


VIEWS: Mapping[Task, type[PredictionView]] = {"classification": Classes, "detection": Boxes, "segmentation": Masks}
