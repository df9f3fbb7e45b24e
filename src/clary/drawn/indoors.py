"""Places in a house. Each paints itself and returns where its floor begins to bear an animal (share of height)."""

from __future__ import annotations

import numpy as np

from clary.drawn.furniture import FURNITURE, paint_cushion
from clary.drawn.painter import Painter
from clary.drawn.palette import Colour, darker, hsv, lighter, mix, some_colour
from clary.drawn.shapes import blob, circle, ellipse, trapezoid

__all__ = ["kitchen", "room", "sofa"]


def room(painter: Painter) -> float:
    """A wall with a piece of furniture or two, and a floor, often with a rug."""
    rng = painter.rng
    floor = float(rng.uniform(0.55, 0.75))
    _wall(painter, floor)
    _floor(painter, floor)
    for piece in rng.permutation(len(FURNITURE))[: int(rng.integers(1, 3))]:
        FURNITURE[int(piece)](painter, floor)
    if rng.random() < 0.5:
        rug = some_colour(rng, (0.25, 0.7), (0.45, 0.85))
        x, wide = rng.uniform(0.3, 0.7) * painter.aspect, rng.uniform(0.4, 0.7)
        for share, tone in ((1.0, rug), (0.86, lighter(rug, 0.4)), (0.78, rug), (0.4, darker(rug, 0.15))):
            painter.shape(ellipse(x, (floor + 1.05) / 2, wide * share, (1.0 - floor) * 0.52 * share), tone)
    return floor + 0.12


def _wall(painter: Painter, bottom: float) -> None:
    """Plain, striped or dotted paper."""
    rng = painter.rng
    colour = some_colour(rng, (0.06, 0.4), (0.6, 0.95))
    painter.blend(0, bottom, lighter(colour, 0.1), darker(colour, 0.08))
    second = lighter(colour, 0.3) if rng.random() < 0.6 else darker(colour, 0.14)
    kind = int(rng.integers(4))
    step = rng.uniform(0.06, 0.14)
    if kind == 0:
        for x in np.arange(0, painter.aspect, step):
            painter.box(x, 0, x + step * 0.45, bottom, second)
    elif kind == 1:
        for row, y in enumerate(np.arange(step / 2, bottom, step)):
            for x in np.arange(step / 2 * (row % 2), painter.aspect, step):
                painter.shape(circle(x, y, step * 0.16, 10), second)


def _floor(painter: Painter, top: float) -> None:
    """Boards that lie across or go away from the eye, or a carpet; and the skirting board."""
    rng = painter.rng
    kind = int(rng.integers(3))
    colour = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.6), rng.uniform(0.45, 0.85))
    if kind == 2:
        colour = some_colour(rng, (0.1, 0.5), (0.5, 0.85))
    painter.blend(top, 1, lighter(colour, 0.12), darker(colour, 0.12))
    painter.grain(top, 1, *((0.22, 1.0) if kind == 2 else (0.14, 6.0)))
    if kind == 0:
        _boards_across(painter, top, darker(colour, 0.3))
    elif kind == 1:
        middle = painter.aspect / 2
        for x in np.linspace(-2, 2 + painter.aspect, 18):
            painter.line((middle + (x - middle) * 0.45, top), (x, 1.05), darker(colour, 0.3), 0.004)
    painter.box(0, top - 0.03, painter.aspect, top, lighter(colour, 0.55))
    painter.box(0, top, painter.aspect, top + 0.008, darker(colour, 0.35))


def _boards_across(painter: Painter, top: float, dark: Colour) -> None:
    for number, y in enumerate(np.linspace(top, 1, 6)[1:]):
        painter.line((0, y), (painter.aspect, y), dark, 0.004)
        x = (number * 0.37 + painter.rng.random()) % 1 * painter.aspect
        painter.line((x, y), (x, y - (1 - top) / 5), dark, 0.004)


def sofa(painter: Painter) -> float:
    """The seat of a sofa, its back, and cushions."""
    rng = painter.rng
    _wall(painter, 0.6)
    cloth = some_colour(rng, (0.12, 0.6), (0.4, 0.85))
    seat, top, wide = float(rng.uniform(0.62, 0.78)), float(rng.uniform(0.08, 0.3)), painter.aspect
    back = [(-0.1, top + 0.06), (wide * 0.25, top), (wide * 0.75, top), (wide + 0.1, top + 0.06)]
    painter.shape(blob([*back, (wide + 0.1, 1.1), (-0.1, 1.1)], 8), darker(cloth, 0.12))
    parts = int(rng.integers(2, 4))
    for number in range(parts):
        middle, right = wide * (number + 0.5) / parts, wide * (number + 1) / parts
        half = wide / parts / 2
        painter.shape(blob(trapezoid(top + 0.05, half - 0.02, seat, half - 0.012, middle), 8), cloth)
        painter.line((right, top + 0.05), (right, seat), darker(cloth, 0.3), 0.008)
    for _ in range(int(rng.integers(0, 4))):
        paint_cushion(painter, rng.uniform(0, wide), seat - 0.02, rng.uniform(0.11, 0.17))
    painter.blend(seat, 1, lighter(cloth, 0.15), darker(cloth, 0.18))
    painter.grain(seat, 1, 0.05, 1.5)
    painter.line((0, seat), (wide, seat), darker(cloth, 0.35), 0.012)
    return seat + 0.1


def kitchen(painter: Painter) -> float:
    """Tiles on the wall and a chequered floor."""
    rng = painter.rng
    floor = float(rng.uniform(0.5, 0.68))
    tile = some_colour(rng, (0.05, 0.35), (0.75, 0.97))
    painter.box(0, 0, painter.aspect, floor, darker(tile, 0.2))
    step = rng.uniform(0.09, 0.15)
    for y in np.arange(0, floor, step):
        for x in np.arange(0, painter.aspect, step):
            tone = mix(tile, lighter(tile, 0.5), float(rng.random()) * 0.5)
            painter.box(x + 0.005, y + 0.005, x + step - 0.004, min(y + step, floor) - 0.004, tone)
    _chequers(painter, floor, (darker(some_colour(rng, (0.1, 0.5), (0.3, 0.7)), 0.2), (236, 230, 220)))
    return floor + 0.14


def _chequers(painter: Painter, floor: float, tones: tuple[Colour, Colour]) -> None:
    rows = np.array([0.0, 0.16, 0.38, 0.66, 1.05]) * (1 - floor) + floor
    wide = 0.24 * (1 + (rows - floor) * 3)
    middle = painter.aspect / 2
    for row in range(4):
        for column in range(-8, 9):
            upper = [(middle + step * wide[row], rows[row]) for step in (column, column + 1)]
            lower = [(middle + step * wide[row + 1], rows[row + 1]) for step in (column + 1, column)]
            painter.shape(np.array(upper + lower), tones[(row + column + 1) % 2])
