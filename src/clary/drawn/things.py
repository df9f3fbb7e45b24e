"""Things that lie about: toys, bowls and cushions, beside an animal or before it.

Units as for the animal (head radii), the origin is the middle of the thing's foot on the ground.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clary.drawn.canvas import Mark, Pen
from clary.drawn.coats import spots
from clary.drawn.palette import Colour, darker, hsv, lighter, mix, some_colour
from clary.drawn.shapes import blob, circle, ellipse, limb, rectangle, symmetric, trapezoid

__all__ = ["draw_thing", "some_pattern"]

_IVORY: Colour = (244, 236, 216)


def draw_thing(pen: Pen, rng: np.random.Generator) -> None:
    """Any of the things."""
    _THINGS[int(rng.integers(len(_THINGS)))](pen, rng)


def some_pattern(outline: np.ndarray, colour: Colour, size: float, rng: np.random.Generator) -> list[Mark]:
    """Stripes, dots or nothing on cloth, about ``size`` large: what a breed's pattern must not be mistaken for."""
    kind = int(rng.integers(3))
    if kind == 0:
        (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
        return [(rectangle(x, top, x + 1.6 * size, bottom), colour) for x in np.arange(left, right, 3.4 * size)]
    return spots(outline, colour, size, 14, rng) if kind == 1 else []


def _ball(pen: Pen, rng: np.random.Generator) -> None:
    size = float(rng.uniform(0.35, 0.6))
    outline = circle(0, -size, size, 28)
    colour, second = some_colour(rng), some_colour(rng, (0.0, 0.6), (0.8, 1.0))
    if rng.random() < 0.35:
        marks: list[Mark] = [(ellipse(0, -size, size * 1.1, size * 0.22, float(rng.uniform(-0.6, 0.6))), second)]
    else:
        marks = some_pattern(outline, second, size * 0.2, rng)
    pen.part(outline, colour, marks, roundness=0.5, shadow=0.1)


def _yarn(pen: Pen, rng: np.random.Generator) -> None:
    size, colour = float(rng.uniform(0.4, 0.6)), some_colour(rng, (0.4, 0.8))
    pen.part(limb([(0.2, -0.1), (0.9, -0.06), (1.3, -0.25), (1.7, -0.06)], (0.04, 0.04, 0.04)), colour, volume=0.3)
    pen.part(circle(0, -size, size, 28), colour, roundness=0.5, shadow=0.1)
    for turn in rng.uniform(0, np.pi, 7):
        thread = ellipse(0, -size, size * 0.96, size * rng.uniform(0.2, 0.8), float(turn), 18)[:10]
        pen.stroke(thread, darker(colour, float(rng.uniform(0.05, 0.3))), 0.03)


def _bone(pen: Pen, rng: np.random.Generator) -> None:
    half = [
        (0, -0.1),
        (0.5, -0.1),
        (0.62, -0.28),
        (0.82, -0.2),
        (0.78, 0),
        (0.82, 0.2),
        (0.62, 0.28),
        (0.5, 0.1),
        (0, 0.1),
    ]
    bone = pen.moved(0, -0.25, turn=float(rng.uniform(-0.3, 0.3)))
    bone.part(blob(symmetric(half), 4), _IVORY, volume=0.8, shadow=0.06)


def _bowl(pen: Pen, rng: np.random.Generator) -> None:
    colour = some_colour(rng)
    food = ellipse(0, -0.5, 0.56, 0.16)
    pen.part(ellipse(0, -0.48, 0.68, 0.17), darker(colour, 0.35), volume=0.3)
    pen.part(food, hsv(0.07, 0.6, 0.5), spots(food, (150, 100, 60), 0.06, 9, rng))
    pen.part(blob(symmetric([(0.3, -0.36), (0.68, -0.48), (0.86, 0.0), (0.4, 0.08)]), 4), colour, shadow=0.08)
    pen.stroke([(-0.12, -0.13), (0.12, -0.13)], lighter(colour, 0.6), 0.12)


def _pot(pen: Pen, rng: np.random.Generator) -> None:
    green = hsv(float(rng.uniform(0.25, 0.42)), 0.5, 0.6)
    for angle in np.linspace(-1.1, 1.1, 7) + rng.normal(0, 0.12, 7):
        long = float(rng.uniform(0.9, 1.5))
        x, y = float(np.sin(angle)) * long, -0.7 - float(np.cos(angle)) * long
        leaf = blob([(0, -0.6), (x * 0.5 - 0.16, y * 0.6), (x, y), (x * 0.5 + 0.16, y * 0.6)], 4)
        pen.part(leaf, mix(green, lighter(green, 0.4), float(rng.random())), volume=0.6)
    clay = mix((196, 108, 72), some_colour(rng), float(rng.random()) * 0.7)
    pen.part(trapezoid(-0.72, 0.5, 0.0, 0.38), clay)
    pen.part(trapezoid(-0.86, 0.58, -0.62, 0.56), lighter(clay, 0.12))


def _cushion(pen: Pen, rng: np.random.Generator) -> None:
    colour, second = some_colour(rng), some_colour(rng, (0.1, 0.5), (0.8, 1.0))
    high = float(rng.uniform(0.5, 0.8))
    half = [(0, -1.45 * high), (0.98, -1.5 * high), (0.85, -high), (0.95, -0.05), (0, 0.02)]
    outline = blob(symmetric(half), 5)
    pen.part(outline, colour, some_pattern(outline, second, 0.1, rng), shadow=0.1)


def _mouse(pen: Pen, rng: np.random.Generator) -> None:
    gray = mix((150, 146, 156), some_colour(rng), 0.4)
    body = [(-0.55, -0.08), (-0.2, -0.42), (0.3, -0.44), (0.5, -0.1), (0.2, 0.0), (-0.3, 0.0)]
    pen.part(limb([(0.4, -0.1), (0.8, -0.06), (1.1, -0.2)], (0.05, 0.04, 0.03)), (226, 160, 160))
    pen.part(blob(body, 5), gray, shadow=0.05)
    pen.part(circle(-0.12, -0.42, 0.15), lighter(gray, 0.15), volume=0.6)
    pen.fill(circle(-0.4, -0.18, 0.04), (30, 26, 30), lit=False)
    pen.fill(circle(-0.56, -0.09, 0.05), (226, 140, 140))


def _books(pen: Pen, rng: np.random.Generator) -> None:
    foot = 0.0
    for left, right, high in zip(*rng.uniform([[-0.8], [0.6], [0.16]], [[-0.6], [0.8], [0.26]], (3, 4)), strict=True):
        pen.part(rectangle(left, foot - high, right, foot), some_colour(rng), volume=0.4)
        pen.fill(rectangle(left + 0.06, foot - high * 0.8, right - 0.2, foot - high * 0.2), _IVORY)
        foot -= float(high)


def _mushroom(pen: Pen, rng: np.random.Generator) -> None:
    cap = blob(symmetric([(0, -1.2), (0.45, -1.0), (0.6, -0.6), (0, -0.52)]), 5)
    pen.part(limb([(0, 0.0), (0.02, -0.4), (0, -0.7)], (0.2, 0.16, 0.14)), _IVORY)
    colour = hsv(float(rng.choice([0.0, 0.02, 0.07, 0.1])), 0.75, 0.85)
    pen.part(cap, colour, spots(cap, (250, 246, 238), 0.09, 8, rng), shadow=0.1)


_THINGS: tuple[Callable[[Pen, np.random.Generator], None], ...] = (
    *(_ball, _ball, _yarn, _bone, _bowl),
    *(_pot, _cushion, _mouse, _books, _mushroom),
)
