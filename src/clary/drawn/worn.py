"""What an animal wears, and what it hides in."""

from __future__ import annotations

import numpy as np

from clary.drawn.canvas import Mark, Pen
from clary.drawn.palette import Colour, darker, lighter, mix, some_colour
from clary.drawn.shapes import blob, circle, curve, ellipse, limb, rectangle, symmetric, trapezoid
from clary.drawn.things import some_pattern

__all__ = ["draw_collar", "draw_hiding_place"]

_BRASS: Colour = (236, 190, 76)


def draw_collar(pen: Pen, rng: np.random.Generator) -> None:
    """A neckerchief, a collar with a bell, or one with a bow; the pen's origin is the middle of the head."""
    colour, second = some_colour(rng, (0.5, 0.9), (0.5, 0.95)), some_colour(rng, (0.0, 0.5), (0.85, 1.0))
    kind = int(rng.integers(3))
    if kind == 0:
        cloth = blob(symmetric([(0.3, 0.86), (0.66, 0.6), (0.5, 1.15), (0.0, 1.75)]), 5)
        pen.part(cloth, colour, some_pattern(cloth, second, 0.06, rng), shadow=0.1, volume=0.7)
        return
    pen.part(
        limb([(-0.62, 0.66), (-0.3, 0.96), (0, 1.04), (0.3, 0.96), (0.62, 0.66)], (0.09, 0.09)), colour, shadow=0.06
    )
    if kind == 1:
        pen.part(circle(0, 1.2, 0.13), _BRASS, shadow=0.05)
        pen.stroke([(-0.05, 1.25), (0.05, 1.25)], darker(_BRASS, 0.5), 0.03)
        return
    for side in (-1, 1):
        loop = blob([(0, 1.08), (side * 0.34, 0.88), (side * 0.4, 1.1), (side * 0.34, 1.32)], 4)
        pen.part(loop, second, shadow=0.04)
    pen.part(circle(0, 1.09, 0.09), darker(second, 0.15))


def draw_hiding_place(pen: Pen, wide: float, rng: np.random.Generator) -> None:
    """A box, a basket or a blanket before the lower part of an animal, ``wide`` units to each side of the pen."""
    high = float(rng.uniform(0.6, 1.15))
    (_carton, _basket, _blanket)[int(rng.integers(3))](pen, wide, high, rng)


def _carton(pen: Pen, wide: float, high: float, rng: np.random.Generator) -> None:
    brown = mix((196, 150, 100), some_colour(rng), float(rng.random()) * 0.35)
    for side in (-wide, wide):
        flap = [(side, -high), (side * 1.28, -high - 0.35), (side * 1.22, -high - 0.5), (side * 0.93, -high)]
        pen.part(np.array(flap), darker(brown, 0.12), volume=0.3)
    pen.part(trapezoid(-high, wide, 0.12, wide * 0.97), brown, volume=0.35, shadow=0.2)
    pen.fill(rectangle(-0.16, -high, 0.16, -high * 0.62), lighter(brown, 0.35))
    pen.stroke([(-wide, -high), (wide, -high)], darker(brown, 0.3), 0.04)


def _basket(pen: Pen, wide: float, high: float, rng: np.random.Generator) -> None:
    straw = mix((206, 164, 106), some_colour(rng), float(rng.random()) * 0.4)
    tones = (lighter(straw, 0.15), darker(straw, 0.25))
    half = [(0, -high * 0.92), (wide, -high), (wide * 0.9, -high * 0.3), (wide * 0.75, 0.1)]
    weave: list[Mark] = []
    for row, y in enumerate(np.arange(-high, 0.2, 0.2)):
        for x in np.arange(-wide - 0.3 + 0.16 * (row % 2), wide, 0.32):
            weave.append((ellipse(x, y, 0.13, 0.07, 0, 8), tones[row % 2]))
    pen.part(blob(symmetric(half), 5), straw, weave, shadow=0.2)
    rim = [(-wide * 1.03, -high), (0, -high * 0.92), (wide * 1.03, -high)]
    pen.part(limb(rim, (0.12, 0.12)), lighter(straw, 0.12), shadow=0.06)


def _blanket(pen: Pen, wide: float, high: float, rng: np.random.Generator) -> None:
    hem = [(x, -high * (0.75 + 0.35 * float(rng.random()))) for x in np.linspace(-wide, wide, 6)]
    outline = np.concatenate([curve(hem), [(wide * 1.1, 0.14), (-wide * 1.1, 0.14)]])
    marks = some_pattern(outline, some_colour(rng, (0.1, 0.6), (0.7, 1.0)), 0.13, rng)
    pen.part(outline, some_colour(rng), marks, volume=0.7, shadow=0.15)
