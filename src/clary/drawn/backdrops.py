"""No place at all: cloth, paper and patches of light.

Each paints itself and returns where an animal may stand, as a share of the height.
"""

from __future__ import annotations

import cv2
import numpy as np

from clary.drawn.painter import Painter
from clary.drawn.palette import Colour, darker, hsv, lighter, some_colour
from clary.drawn.shapes import circle, rectangle

__all__ = ["blanket", "blur", "studio"]


def studio(painter: Painter) -> float:
    """Paper that goes round from wall to floor, often with lights out of focus."""
    rng = painter.rng
    colour = some_colour(rng, (0.05, 0.55), (0.45, 0.97))
    painter.blend(0, 0.72, darker(colour, 0.05), lighter(colour, 0.2))
    painter.blend(0.72, 1, lighter(colour, 0.15), darker(colour, 0.2))
    if rng.random() < 0.5:
        with painter.translucent(0.45):
            for _ in range(int(rng.integers(6, 16))):
                x, y = rng.uniform(0, painter.aspect), rng.uniform(0, 0.9)
                painter.shape(circle(x, y, rng.uniform(0.03, 0.1)), hsv(rng.normal(0.1, 0.12), 0.35, 1.0))
    return float(rng.uniform(0.74, 0.85))


def blanket(painter: Painter) -> float:
    """Plaid, stripes, dots, or plain cloth."""
    rng = painter.rng
    cloth, second, third = (some_colour(rng, (0.15, 0.6), (0.45, 0.95)) for _ in range(3))
    painter.blend(0, 1, darker(cloth, 0.1), lighter(cloth, 0.1))
    step = float(rng.uniform(0.1, 0.22))
    kind = int(rng.integers(4))
    if kind == 0:
        with painter.translucent(0.5):
            _bands(painter, step, second, upright=True)
        with painter.translucent(0.5):
            _bands(painter, step, third, upright=False)
    elif kind == 1:
        _bands(painter, step, second, upright=False)
    elif kind == 2:
        for row, y in enumerate(np.arange(0, 1.1, step)):
            for x in np.arange(step / 2 * (row % 2), painter.aspect, step):
                painter.shape(circle(x, y, step * 0.2, 12), second if row % 2 else third)
    painter.grain(0, 1, 0.12)
    return float(rng.uniform(0.7, 0.9))


def _bands(painter: Painter, step: float, colour: Colour, *, upright: bool) -> None:
    for at in np.arange(0, painter.aspect if upright else 1, step):
        end = at + step * 0.45
        band = rectangle(at, 0, end, 1) if upright else rectangle(0, at, painter.aspect, end)
        painter.shape(band, colour)


def blur(painter: Painter) -> float:
    """Patches of any colours that run into each other."""
    rng = painter.rng
    rows, columns = int(rng.integers(2, 6)), int(rng.integers(2, 7))
    colours = [some_colour(rng, (0.1, 0.6), (0.25, 0.95)) for _ in range(rows * columns)]
    coarse = np.array(colours).reshape(rows, columns, 3).astype(np.uint8)
    painter.pixels = cv2.resize(coarse, (painter.width, painter.height), interpolation=cv2.INTER_CUBIC)
    painter.grain(0, 1, 0.2)
    return float(rng.uniform(0.72, 0.9))
