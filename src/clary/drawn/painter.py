"""Painting a background: coordinates are shares of the picture, so that it looks the same at any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from clary.drawn.palette import Colour

__all__ = ["Painter"]

_FRACTION = 3  # bits after the point of the coordinates OpenCV gets


class Painter:
    """A picture on its way: ``pixels``, uint8 RGB of shape (height, width, 3).

    Points are in shares of its *height* in both directions, so that a circle is round: x from 0 to ``aspect``, y from
    0 to 1.
    """

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.height, self.width, self.rng = height, width, rng
        self.pixels = np.zeros((height, width, 3), np.uint8)

    @property
    def aspect(self) -> float:
        return self.width / self.height

    def blend(self, top: float, bottom: float, upper: Colour, lower: Colour) -> None:
        """Rows from ``top`` to ``bottom`` going over from one colour to another."""
        first, last = round(top * self.height), round(bottom * self.height)
        if last > first:
            ramp = np.linspace(0, 1, last - first)[:, None] * (np.asarray(lower) - np.asarray(upper)) + upper
            # One column, widened: the colour is the same along a row.
            column = ramp.astype(np.uint8)[:, None, :]
            self.pixels[first:last] = cv2.resize(column, (self.width, last - first), interpolation=cv2.INTER_NEAREST)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """An upright rectangle, its edges on pixels."""
        x0, y0, x1, y1 = (round(share * self.height) for share in (left, top, right, bottom))
        cv2.rectangle(self.pixels, (x0, y0), (x1, y1), colour, cv2.FILLED)

    def shape(self, points: np.ndarray, colour: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._fixed(points)], colour, cv2.LINE_AA, _FRACTION)

    def strokes(self, lines: np.ndarray, colour: Colour, width: float) -> None:
        """Lines, float of shape (lines, points, 2), ``width`` wide."""
        thickness = max(1, round(width * self.height))
        cv2.polylines(self.pixels, list(self._fixed(lines)), False, colour, thickness, cv2.LINE_AA, _FRACTION)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float) -> None:
        self.strokes(np.array([[start, end]]), colour, width)

    def grain(self, top: float, bottom: float, strength: float, stretch: float = 1.0) -> None:
        """Light and dark patches over some rows; ``stretch`` above 1 draws them out sideways."""
        part = self.pixels[round(top * self.height) : round(bottom * self.height)]
        if not part.size:
            return
        size = (max(2, part.shape[0] // 14), max(2, round(self.width / 14 / stretch)))
        coarse = self.rng.integers(0, 256, size, dtype=np.uint8)
        field = cv2.resize(coarse, part.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        factor = cv2.convertScaleAbs(field, alpha=strength, beta=128 - 128 * strength)
        part[:] = cv2.multiply(part, cv2.merge([factor, factor, factor]), scale=1 / 128)

    @contextmanager
    def translucent(self, share: float) -> Iterator[None]:
        """What is painted meanwhile covers only by ``share``."""
        before = self.pixels.copy()
        yield
        # The whole picture, not what was painted: shapes over one another then count once.
        self.pixels = cv2.addWeighted(before, 1 - share, self.pixels, share, 0)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        placed: np.ndarray = np.rint(points * (self.height << _FRACTION))
        return placed.astype(np.int32)
