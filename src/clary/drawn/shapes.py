"""Outlines as arrays of points: float64 of shape (n, 2), x to the right, y down, in units of the drawing.

Curves are uniform Catmull-Rom splines: they pass through the points they are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import TypeAlias

import numpy as np

__all__ = [
    "Points",
    "blob",
    "circle",
    "curve",
    "ellipse",
    "limb",
    "mirrored",
    "outward",
    "rectangle",
    "stripe",
    "symmetric",
    "trapezoid",
]

Points: TypeAlias = "np.ndarray | Sequence[tuple[float, float]]"

_SPLINE = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
# Shares of start, end, bend and width in each point of a stripe.
_STRIPE = np.array(
    [
        (1.0, 0.0, 0.0, -0.45),
        (0.775, 0.225, 0.45, -0.5),
        (0.5, 0.5, 1.0, -0.34),
        (0.0, 1.0, 0.0, 0.0),
        (0.5, 0.5, 1.0, 0.34),
        (0.775, 0.225, 0.45, 0.5),
        (1.0, 0.0, 0.0, 0.45),
    ]
)
_HALF_CIRCLE = np.stack([np.cos(np.linspace(0, np.pi, 7)), np.sin(np.linspace(0, np.pi, 7))], axis=1)[1:-1]


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, steps: int = 28) -> np.ndarray:
    """An ellipse around (x, y), turned by ``turn`` radians clockwise."""
    unit = _unit_circle(steps)
    if turn == 0.0:
        return unit * (rx, ry) + (x, y)
    cos, sin = np.cos(turn), np.sin(turn)
    turned: np.ndarray = unit @ np.array([[rx * cos, rx * sin], [-ry * sin, ry * cos]]) + (x, y)
    return turned


def circle(x: float, y: float, radius: float, steps: int = 20) -> np.ndarray:
    return _unit_circle(steps) * radius + (x, y)


def blob(points: Points, steps: int = 6) -> np.ndarray:
    """The closed curve through ``points``, ``steps`` points for each of them."""
    given = np.asarray(points, dtype=np.float64)
    return _spline(np.concatenate([given[-1:], given, given[:2]]), steps)


def curve(points: Points, steps: int = 6) -> np.ndarray:
    """The open curve from the first of ``points`` to the last."""
    given = np.asarray(points, dtype=np.float64)
    # Ends are continued straight: a spline needs a neighbour on either side.
    inner = _spline(np.concatenate([2 * given[:1] - given[1:2], given, 2 * given[-1:] - given[-2:-1]]), steps)
    return np.concatenate([inner, given[-1:]])


def limb(points: Points, widths: Sequence[float], steps: int = 6) -> np.ndarray:
    """The outline of a round-ended limb along a curve; ``widths`` are its half widths at ``points``."""
    middle = curve(points, steps)
    places = np.arange(len(middle)) * ((len(widths) - 1) / (len(middle) - 1))
    normal = outward(middle) * np.interp(places, np.arange(len(widths)), widths)[:, None]
    start = _cap(middle[0], normal[0])
    end = _cap(middle[-1], -normal[-1])
    return np.concatenate([middle + normal, end, (middle - normal)[::-1], start])


def stripe(start: tuple[float, float], end: tuple[float, float], width: float, bend: float = 0.0) -> np.ndarray:
    """A stroke that is ``width`` wide near its start and runs out into a point; ``bend`` bows it sideways."""
    (x, y), (right, down) = start, (end[0] - start[0], end[1] - start[1])
    length = math.hypot(right, down) + 1e-9
    side = (-down / length, right / length)
    frame = np.array([(x, y), end, (side[0] * bend, side[1] * bend), (side[0] * width, side[1] * width)])
    outline: np.ndarray = _STRIPE @ frame
    return outline


def mirrored(points: Points) -> np.ndarray:
    """Left and right exchanged."""
    return np.asarray(points, dtype=np.float64) * (-1.0, 1.0)


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def trapezoid(top: float, upper: float, bottom: float, lower: float, middle: float = 0.0) -> np.ndarray:
    """A symmetric shape that is ``upper`` half wide at ``top`` and ``lower`` at ``bottom``."""
    return np.array([(middle - upper, top), (middle + upper, top), (middle + lower, bottom), (middle - lower, bottom)])


def symmetric(half: Points) -> np.ndarray:
    """A whole outline from the points of its right half, top to bottom; those on the axis are taken once."""
    right = np.asarray(half, dtype=np.float64)
    return np.concatenate([right, mirrored(right[right[:, 0] != 0])[::-1]])


def outward(points: np.ndarray, *, closed: bool = False) -> np.ndarray:
    """Unit normals to the left of the way; they point out of an outline that goes clockwise on the screen."""
    if closed:
        around = np.concatenate([points[-1:], points, points[:1]])
    else:
        around = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    along = around[2:] - around[:-2]
    # 1e-9: two equal points have no direction.
    unit: np.ndarray = along[:, ::-1] * (1.0, -1.0) / (np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9)
    return unit


@cache
def _unit_circle(steps: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


@cache
def _weights(steps: int) -> np.ndarray:
    # Without its end, which is the beginning of the next segment.
    t = np.linspace(0, 1, steps, endpoint=False)
    weights: np.ndarray = np.stack([np.ones_like(t), t, t**2, t**3], axis=1) @ _SPLINE
    return weights


@cache
def _fours(count: int) -> np.ndarray:
    """Indices of every four points in a row."""
    return np.arange(count - 3)[:, None] + np.arange(4)


def _spline(points: np.ndarray, steps: int) -> np.ndarray:
    """Points of the segments between the second and the last but one of ``points``."""
    between: np.ndarray = _weights(steps) @ points[_fours(len(points))]
    return between.reshape(-1, 2)


def _cap(end: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Half a circle around ``end``, from minus ``normal`` over to ``normal``."""
    along = np.array([-normal[1], normal[0]])
    cap: np.ndarray = end - _HALF_CIRCLE[:, :1] * normal - _HALF_CIRCLE[:, 1:] * along
    return cap
