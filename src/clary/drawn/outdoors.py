"""Places under the sky. Each paints itself and returns where its ground begins to bear an animal (share of height)."""

from __future__ import annotations

import numpy as np

from clary.drawn.painter import Painter
from clary.drawn.palette import Colour, darker, hsv, lighter, mix, some_colour
from clary.drawn.shapes import circle, ellipse, trapezoid

__all__ = ["beach", "forest", "meadow", "street", "winter"]


def meadow(painter: Painter) -> float:
    """Hills, grass, often flowers."""
    rng = painter.rng
    horizon = float(rng.uniform(0.3, 0.62))
    green = hsv(rng.uniform(0.2, 0.36), rng.uniform(0.4, 0.7), rng.uniform(0.5, 0.78))
    _sky(painter, horizon + 0.05)
    _hills(painter, horizon, mix(green, (90, 130, 120), 0.4))
    _grass(painter, horizon, green)
    for _ in range(int(rng.integers(0, 22))):
        x, y = rng.uniform(0, painter.aspect), rng.uniform(horizon + 0.04, 1.0)
        _flower(painter, x, y, 0.006 + 0.012 * (y - horizon))
    return horizon + 0.22


def _flower(painter: Painter, x: float, y: float, size: float) -> None:
    petal = some_colour(painter.rng, (0.1, 0.7), (0.85, 1.0))
    for angle in np.arange(5) * (2 * np.pi / 5):
        painter.shape(circle(x + np.cos(angle) * size, y + np.sin(angle) * size, size * 0.8, 8), petal)
    painter.shape(circle(x, y, size * 0.6, 8), (250, 206, 70))


def _sky(painter: Painter, bottom: float) -> None:
    """Blue, of the evening, or gray; with up to three clouds."""
    rng = painter.rng
    kind = rng.random()
    if kind < 0.65:
        painter.blend(0, bottom, hsv(0.56, rng.uniform(0.35, 0.6), 0.95), hsv(0.54, 0.12, 1.0))
    elif kind < 0.85:
        painter.blend(0, bottom, hsv(0.62, 0.4, 0.72), hsv(0.07, rng.uniform(0.3, 0.5), 1.0))
    else:
        painter.blend(0, bottom, hsv(0.6, 0.1, 0.72), hsv(0.6, 0.05, 0.88))
    for _ in range(int(rng.integers(0, 4))):
        x, y, size = rng.uniform(0, painter.aspect), rng.uniform(0.02, bottom * 0.7), rng.uniform(0.03, 0.08)
        for dx, dy, share in ((-1.3, 0.2, 0.7), (0, 0, 1.0), (1.2, 0.25, 0.75), (0.1, 0.4, 0.9)):
            puff = ellipse(x + dx * size, y + dy * size, size * share * 1.3, size * share * 0.8)
            painter.shape(puff, (252, 252, 252))


def _hills(painter: Painter, horizon: float, colour: Colour) -> None:
    rng = painter.rng
    x = np.linspace(-0.1, painter.aspect + 0.1, 9)
    for layer in range(int(rng.integers(1, 4))):
        y = horizon + 0.02 - rng.uniform(0.02, 0.12) * (1 + np.sin(x * rng.uniform(2, 5) + rng.uniform(0, 6)))
        under = [(painter.aspect + 0.1, horizon + 0.1), (-0.1, horizon + 0.1)]
        ridge = np.concatenate([np.stack([x, y], axis=1), under])
        painter.shape(ridge, mix(colour, (196, 214, 226), 0.55 - 0.2 * layer))


def _grass(painter: Painter, top: float, colour: Colour) -> None:
    rng = painter.rng
    painter.blend(top, 1, lighter(colour, 0.25), darker(colour, 0.12))
    painter.grain(top, 1, 0.25, 2.0)
    count = 90
    for tone in (darker(colour, 0.25), lighter(colour, 0.2), mix(colour, (220, 220, 90), 0.3)):
        depth = rng.random(count) ** 0.8
        foot = np.stack([rng.uniform(0, painter.aspect, count), top + depth * (1.02 - top)], axis=1)
        lean = np.stack([rng.normal(0, 0.02, count), -(0.02 + 0.05 * depth) * rng.uniform(0.5, 1.4, count)], axis=1)
        painter.strokes(np.stack([foot, foot + lean * (0.4, 0.6), foot + lean], axis=1), tone, 0.005)


def forest(painter: Painter) -> float:
    """Trees in the haze."""
    rng = painter.rng
    horizon = float(rng.uniform(0.45, 0.65))
    green = hsv(rng.uniform(0.24, 0.42), rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.6))
    painter.blend(0, horizon + 0.02, mix(green, (210, 230, 220), 0.6), mix(green, (210, 230, 220), 0.25))
    for layer in range(3):
        tone = mix(darker(green, 0.2), (190, 214, 206), 0.5 - 0.22 * layer)
        for _ in range(int(rng.integers(3, 8))):
            x, wide = rng.uniform(0, painter.aspect), rng.uniform(0.012, 0.03) * (1 + layer * 0.5)
            trunk = trapezoid(-0.05, wide, horizon + 0.03 * layer, wide * 1.3, x)
            painter.shape(trunk, mix(tone, (96, 70, 52), 0.4))
            painter.shape(ellipse(x, rng.uniform(-0.05, 0.25), wide * 7, wide * 6), tone)
    _grass(painter, horizon, darker(green, 0.05))
    return horizon + 0.2


def beach(painter: Painter) -> float:
    """Sea, a few waves, sand."""
    rng = painter.rng
    horizon = float(rng.uniform(0.28, 0.42))
    shore = horizon + float(rng.uniform(0.08, 0.2))
    _sky(painter, horizon)
    painter.blend(horizon, shore, hsv(0.53, rng.uniform(0.4, 0.7), 0.72), hsv(0.48, 0.35, 0.9))
    sand = hsv(rng.uniform(0.09, 0.13), rng.uniform(0.2, 0.42), rng.uniform(0.8, 0.95))
    painter.blend(shore, 1, lighter(sand, 0.15), darker(sand, 0.1))
    painter.grain(shore, 1, 0.16, 2.5)
    x = np.linspace(-0.05, painter.aspect + 0.05, 12)
    for y in rng.uniform(horizon, shore, int(rng.integers(2, 5))):
        wave = np.stack([x, y + 0.006 * np.sin(x * 18 + y * 90)], axis=1)
        painter.strokes(wave[None], (244, 250, 250), 0.006)
    return shore + 0.16


def winter(painter: Painter) -> float:
    """Snow, by day or under the moon."""
    rng = painter.rng
    horizon = float(rng.uniform(0.35, 0.55))
    night = rng.random() < 0.4
    if night:
        painter.blend(0, horizon, hsv(0.65, 0.6, 0.25), hsv(0.62, 0.45, 0.5))
        _dots(painter, 40, horizon, 0.004, (250, 248, 226))
        painter.shape(circle(rng.uniform(0.1, painter.aspect), 0.14, 0.06), (250, 244, 214))
    else:
        _sky(painter, horizon)
    snow = hsv(0.6, 0.16, 0.72) if night else hsv(0.6, 0.05, 0.97)
    _hills(painter, horizon, darker(snow, 0.15))
    painter.blend(horizon, 1, snow, darker(snow, 0.12))
    painter.grain(horizon, 1, 0.08, 2.5)
    _dots(painter, 50, 1, 0.006, (252, 252, 255))
    return horizon + 0.2


def _dots(painter: Painter, count: int, bottom: float, size: float, colour: Colour) -> None:
    """Stars, or flakes of snow."""
    for x, y in painter.rng.random((count, 2)):
        painter.shape(circle(x * painter.aspect, y * bottom, size, 6), colour)


def street(painter: Painter) -> float:
    """A wall of bricks and the pavement before it."""
    rng = painter.rng
    ground = float(rng.uniform(0.55, 0.72))
    brick = hsv(float(rng.choice([0.02, 0.05, 0.08, 0.6])), rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.8))
    painter.box(0, 0, painter.aspect, ground, darker(brick, 0.25))
    high = rng.uniform(0.05, 0.08)
    wide = high * 2.3
    for row, top in enumerate(np.arange(0, ground, high)):
        for left in np.arange(-0.5 * (row % 2) * wide, painter.aspect, wide):
            tone = mix(brick, darker(brick, 0.35), float(rng.random()) * 0.5)
            painter.box(left + 0.005, top + 0.006, left + wide - 0.005, min(top + high, ground) - 0.004, tone)
    stone = hsv(0.08, rng.uniform(0.02, 0.12), rng.uniform(0.5, 0.75))
    painter.blend(ground, 1, stone, darker(stone, 0.15))
    painter.grain(ground, 1, 0.15, 1.5)
    painter.box(0, ground - 0.01, painter.aspect, ground + 0.02, darker(stone, 0.3))
    return ground + 0.1
