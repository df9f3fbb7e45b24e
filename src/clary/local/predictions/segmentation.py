"""Segmentation: the share of each class, and the mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clary.local.predictions._base import PredictionView, save
from clary.vision.base import decoding
from clary.vision.base.colours import MASK_PALETTE
from clary.vision.base.types import Segmentation
from clary.vision.plots.overlay import draw_mask

__all__ = ["VIEW", "MaskPredictions"]


class MaskPredictions(PredictionView):
    """Shares of the picture by class; the mask's values are class ids."""

    name = "segmentation"
    draws = True
    columns = ("class", "share")

    def lines(self, prediction: Segmentation) -> list[tuple[Any, ...]]:
        return [(label, f"{share:.4f}") for label, share in prediction.shares()[: self.top]]

    def as_json(self, prediction: Segmentation) -> dict[str, Any]:
        height, width = prediction.classes.shape
        shares = [{"label": label, "share": share} for label, share in prediction.shares()]
        return {"width": width, "height": height, "shares": shares}

    def drawn(self, prediction: Segmentation, pixels: np.ndarray) -> np.ndarray:
        return draw_mask(pixels, prediction.classes, prediction.class_names)

    def write(self, prediction: Segmentation, image: Path, place: Path) -> None:
        mask = Image.fromarray(prediction.classes)
        mask.putpalette(MASK_PALETTE)
        save(mask, Path(f"{place}.mask.png"), "PNG")
        drawn = self.drawn(prediction, decoding.load(image))
        save(Image.fromarray(drawn), Path(f"{place}.jpg"), "JPEG", quality=90)


VIEW = MaskPredictions
