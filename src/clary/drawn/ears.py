"""Ears: pricked ones of cats, hanging ones of dogs."""

from __future__ import annotations

import numpy as np

from clary.drawn.canvas import Mark
from clary.drawn.coats import spots
from clary.drawn.face import INK, Face
from clary.drawn.palette import mix
from clary.drawn.shapes import blob, curve, stripe

__all__ = ["draw_ear", "lies_behind"]

# height, how far apart, width
_PRICKED = {"pricked": (1.0, 0.0, 1.0), "large": (1.16, 0.12, 1.12), "small": (0.8, 0.06, 1.0)}

_LONG = ((0.5, -0.74), (0.86, -0.68), (1.1, -0.3), (1.24, 0.3), (1.08, 0.78), (0.8, 0.66), (0.72, 0.1))
_DROP = ((0.44, -0.8), (0.84, -0.82), (1.18, -0.5), (1.22, 0.02), (1.0, 0.34), (0.8, 0.05), (0.66, -0.36))
_BUTTON = ((0.3, -0.78), (0.5, -1.12), (0.86, -1.12), (1.1, -0.78), (1.04, -0.38), (0.86, -0.28), (0.62, -0.62))
_HANGING = {"long": _LONG, "drop": _DROP, "button": _BUTTON}


def lies_behind(face: Face, side: float) -> bool:
    """Whether the ear at ``side`` (-1 left, 1 right) is drawn before the head: pricked, or turned away."""
    return face.breed.ears in _PRICKED or side * face.aside > 0.2


def draw_ear(face: Face, side: float) -> np.ndarray:
    """Draw the ear at ``side`` and return its outline."""
    return _pricked_ear(face, side) if face.breed.ears in _PRICKED else _hanging_ear(face, side)


def _at(face: Face, points: np.ndarray, side: float) -> np.ndarray:
    """A right ear at ``side``. Ears move little as the head turns, and the one turned away grows narrow."""
    nearer = 1.0 - 0.28 * side * face.aside
    middle = 0.6 * side
    x = middle + (points[:, 0] * side - middle) * nearer + 0.12 * face.aside
    return np.stack([x, points[:, 1] - 0.25 * face.down], axis=1)


def _pricked_ear(face: Face, side: float) -> np.ndarray:
    high, apart, wide = _PRICKED[face.breed.ears]
    coat = face.coat
    tip = (0.78 + apart, -0.62 - 0.78 * high)
    outer, inner = (0.62 + 0.36 * wide, -0.18), (0.62 - 0.42 * wide, -0.66)
    outward = (outer[0] + 0.02 + apart * 0.4, -0.72 * high)
    inward = ((inner[0] + tip[0]) / 2 - 0.08, (inner[1] + tip[1]) / 2 - 0.08)
    shell = np.concatenate([curve([outer, outward, tip]), curve([tip, inward, inner])])
    outline = _at(face, shell, side)
    face.pen.part(outline, coat.ear, roundness=0.2)
    middle = np.array([0.62, -0.52])
    hollow = (shell - middle) * (0.62, 0.66) + middle + np.array([0.02, 0.0])
    face.pen.fill(
        _at(face, hollow, side), mix((240, 166, 156), coat.ear, 0.62 if face.breed.pattern == "points" else 0.25)
    )
    for start in (0.42, 0.52, 0.62):
        tuft = stripe((start, -0.42), (start + 0.14, -0.84 + 0.06 * start), 0.09)
        face.pen.fill(_at(face, tuft, side), mix(coat.pale, coat.ear, 0.2))
    return outline


def _hanging_ear(face: Face, side: float) -> np.ndarray:
    shape = np.array(_HANGING[face.breed.ears])
    shape[3:5, 0] += float(face.rng.normal(0, 0.05))  # its lower end swings
    outline = _at(face, blob(shape), side)
    face.pen.part(outline, face.coat.ear, _ear_spots(face, outline), shadow=0.14, volume=0.8)
    if face.breed.shag:
        face.pen.hairs(outline, face.tones(face.coat.ear), 0.1, face.rng)
    if face.breed.ears == "button":
        fold = _at(face, curve([(0.34, -0.78), (0.62, -0.96), (1.02, -0.8)]), side)
        face.pen.stroke(fold, mix(face.coat.ear, INK, 0.35), 0.035)
    return outline


def _ear_spots(face: Face, outline: np.ndarray) -> list[Mark]:
    """Dark spots on a light ear, light ones on a dark ear."""
    if face.breed.pattern != "spots":
        return []
    coat = face.coat
    colour = coat.mark if sum(coat.ear) > 500 else mix(coat.base, coat.ear, 0.3)
    return spots(outline, colour, 0.1, 7, face.rng)
