"""What stands and hangs in a room: each piece is painted before a wall that ends at row ``floor``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clary.drawn.painter import Painter
from clary.drawn.palette import Colour, darker, hsv, lighter, mix, some_colour
from clary.drawn.shapes import blob, circle, ellipse, rectangle, trapezoid

__all__ = ["FURNITURE", "paint_cushion"]

_WHITE: Colour = (246, 242, 234)


def _window(painter: Painter, floor: float) -> None:
    rng = painter.rng
    wide, high, top = rng.uniform(0.3, 0.46), floor * rng.uniform(0.5, 0.75), floor * 0.06
    left = rng.uniform(0.02, max(0.03, painter.aspect - wide))
    right, bottom = left + wide, top + high
    painter.box(left - 0.02, top - 0.02, right + 0.02, bottom + 0.02, _WHITE)
    painter.box(left, top, right, bottom, hsv(0.56, rng.uniform(0.15, 0.5), rng.uniform(0.75, 1.0)))
    painter.box(left, top + high * 0.7, right, bottom, hsv(0.3, 0.4, 0.65))
    painter.box(left + wide / 2 - 0.01, top, left + wide / 2 + 0.01, bottom, _WHITE)
    painter.box(left, top + high / 2 - 0.01, right, top + high / 2 + 0.01, _WHITE)


def _images(painter: Painter, floor: float) -> None:
    rng = painter.rng
    for _ in range(int(rng.integers(1, 4))):
        left, top = rng.uniform(0.02, max(0.03, painter.aspect - 0.2)), rng.uniform(0.03, floor * 0.45)
        right, bottom = left + rng.uniform(0.13, 0.26), top + rng.uniform(0.12, 0.24)
        wood = darker(some_colour(rng, (0.2, 0.5), (0.4, 0.8)), 0.2)
        for inset, tone in ((0.0, wood), (0.016, _WHITE), (0.035, some_colour(rng))):
            painter.box(left + inset, top + inset, right - inset, bottom - inset, tone)
        middle = ((left + right) / 2, top + (bottom - top) * 0.55)
        painter.shape(ellipse(*middle, (right - left) * 0.2, (bottom - top) * 0.2), some_colour(rng))


def _shelf(painter: Painter, floor: float) -> None:
    rng = painter.rng
    wide = rng.uniform(0.32, 0.6)
    left = rng.uniform(0.0, max(0.01, painter.aspect - wide))
    wood = hsv(0.07, rng.uniform(0.3, 0.6), rng.uniform(0.4, 0.75))
    painter.box(left, floor * 0.12, left + wide, floor, darker(wood, 0.35))
    high = floor * 0.28
    for top in np.linspace(floor * 0.12, floor * 0.98, 4)[:-1]:
        for x in np.arange(left + 0.015, left + wide - 0.05, 0.036) + rng.uniform(0, 0.012):
            if rng.random() < 0.85:
                book = (x, top + high * rng.uniform(0.2, 0.45), x + rng.uniform(0.02, 0.032), top + high - 0.02)
                painter.box(*book, some_colour(rng))
        painter.box(left, top + high - 0.02, left + wide, top + high, wood)


def _plant(painter: Painter, floor: float) -> None:
    rng = painter.rng
    x, foot = rng.choice([0.1, 0.9]) * painter.aspect + rng.normal(0, 0.05), floor + 0.04
    root = np.array([x, foot - 0.14])
    green = hsv(rng.uniform(0.27, 0.4), rng.uniform(0.4, 0.7), rng.uniform(0.4, 0.7))
    for angle in np.linspace(-1.2, 1.2, 9) + rng.normal(0, 0.1, 9):
        tip = root + np.array([np.sin(angle), -np.cos(angle)]) * rng.uniform(0.18, 0.34)
        side = np.array([np.cos(angle), np.sin(angle)]) * 0.035
        middle = (root + tip) / 2
        leaf = np.stack([root, middle + side, tip, middle - side])
        painter.shape(blob(leaf, 4), mix(green, lighter(green, 0.4), float(rng.random())))
    pot = some_colour(rng)
    painter.shape(trapezoid(foot - 0.16, 0.08, foot, 0.06, x), pot)
    painter.shape(rectangle(x - 0.09, foot - 0.17, x + 0.09, foot - 0.13), lighter(pot, 0.2))


def paint_cushion(painter: Painter, x: float, y: float, size: float) -> None:
    """A cushion leaning against the back of a sofa, its foot at (x, y): striped, dotted or plain."""
    rng = painter.rng
    colour, second = some_colour(rng), some_colour(rng, (0.1, 0.5), (0.8, 1.0))
    turn = rng.normal(0, 0.25)
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * size
    middle = np.array([x, y - size * 0.8])
    corners = np.array([(-1, -1), (0, -0.86), (1, -1), (0.86, 0), (1, 1), (0, 0.86), (-1, 1), (-0.86, 0)])
    painter.shape(blob(corners @ spin + middle, 4), colour)
    kind = int(rng.integers(3))
    for a in (-0.5, 0.0, 0.5):
        if kind == 0:
            painter.shape(rectangle(a - 0.12, -0.88, a + 0.12, 0.88) @ spin + middle, second)
        elif kind == 1:
            for b in (-0.5, 0.0, 0.5):
                painter.shape(circle(a, b, 0.14, 10) @ spin + middle, second)


FURNITURE: tuple[Callable[[Painter, float], None], ...] = (_window, _images, _shelf, _plant)
