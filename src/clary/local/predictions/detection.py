"""Detection: boxes above a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clary.local.predictions._base import PredictionView, save
from clary.vision.base import decoding
from clary.vision.base.types import Detections
from clary.vision.plots.overlay import draw_boxes

__all__ = ["VIEW", "BoxPredictions"]


class BoxPredictions(PredictionView):
    """Boxes in pixels of the picture."""

    name = "detection"
    draws = True
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

    def drawn(self, prediction: Detections, pixels: np.ndarray) -> np.ndarray:
        found = prediction.above(self.least)
        words = [f"{label} {score:.2f}" for label, score in zip(found.labels, found.scores, strict=True)]
        size = (prediction.width, prediction.height)
        return draw_boxes(pixels, found.as_boxes(), found.class_names, size, captions=words)

    def write(self, prediction: Detections, image: Path, place: Path) -> None:
        drawn = self.drawn(prediction, decoding.load(image))
        # JPEG, since what is drawn on is a photograph; a mask's values must stay, and go into a PNG.
        save(Image.fromarray(drawn), Path(f"{place}.jpg"), "JPEG", quality=90)


VIEW = BoxPredictions
