"""Colours: red, green, blue, each 0..255."""

from __future__ import annotations

import colorsys
from typing import TypeAlias

import numpy as np

__all__ = ["Colour", "darker", "hsv", "lighter", "mix", "some_colour"]

Colour: TypeAlias = tuple[float, float, float]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with ``share`` (0..1) of ``other``."""
    keep = 1.0 - share
    return (
        one[0] * keep + other[0] * share,
        one[1] * keep + other[1] * share,
        one[2] * keep + other[2] * share,
    )


def darker(colour: Colour, share: float) -> Colour:
    return mix(colour, (24.0, 18.0, 30.0), share)


def lighter(colour: Colour, share: float) -> Colour:
    return mix(colour, (255.0, 252.0, 244.0), share)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour of ``hue``, ``saturation`` and ``value``, each 0..1 (hue wraps around)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return red * 255, green * 255, blue * 255


def some_colour(
    rng: np.random.Generator, saturation: tuple[float, float] = (0.3, 0.75), value: tuple[float, float] = (0.55, 0.95)
) -> Colour:
    """Any hue, in the given ranges of saturation and value."""
    return hsv(float(rng.random()), float(rng.uniform(*saturation)), float(rng.uniform(*value)))
