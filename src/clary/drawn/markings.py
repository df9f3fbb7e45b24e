"""What a coat shows on the head: stripes, a mask, a blaze, spots."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from clary.drawn.canvas import Mark
from clary.drawn.coats import Dress, spots
from clary.drawn.face import SIDES, Face
from clary.drawn.palette import mix
from clary.drawn.shapes import blob, ellipse, mirrored, stripe

__all__ = ["head_dress"]


def head_dress(face: Face) -> Dress:
    """Colour and marks of the skull, placed on the turned head."""
    return _MARKINGS[face.breed.pattern](face)


def _tabby(face: Face) -> Dress:
    coat = face.coat
    lines = []
    for x, lean in ((-0.32, -0.12), (-0.11, -0.04), (0.11, 0.04), (0.32, 0.12)):  # the M on the forehead
        lines.append(stripe((x + lean, -1.0), (x * 0.8, -0.42), 0.13, float(face.rng.normal(0, 0.02))))
    for side in SIDES:
        for y, rise in ((0.0, -0.1), (0.24, 0.0), (0.48, 0.1)):
            lines.append(stripe((side * 1.12, y + rise), (side * 0.62, y), 0.12, 0.03 * side))
        lines.append(stripe((side * 0.95, -0.4), (side * 0.62, -0.24), 0.1))
    marks: list[Mark] = [(face.on(line), coat.mark) for line in lines]
    around = mix(coat.base, coat.pale, 0.75)
    marks += [(face.on(ellipse(side * 0.42, -0.02, 0.34, 0.34)), around) for side in SIDES]
    return Dress(coat.base, marks, 0.018)


def _plain(face: Face) -> Dress:
    coat = face.coat
    return Dress(coat.base, [(face.on(ellipse(0, 0.55, 0.62, 0.4)), mix(coat.base, coat.pale, 0.7))], 0.14)


def _points(face: Face) -> Dress:
    coat = face.coat
    size = 1.0 if coat.grown else 0.8
    outer = mix(coat.base, coat.mark, 0.45)
    marks: list[Mark] = [(face.on(ellipse(0, 0.28, 0.66 * size, 0.72 * size)), outer)]
    marks.append((face.on(ellipse(0, 0.34, 0.5 * size, 0.56 * size)), coat.mark))
    marks += [(face.on(ellipse(side * 0.7, -0.75, 0.3, 0.2)), outer) for side in SIDES]
    return Dress(coat.base, marks, 0.1)


def _saddle(face: Face) -> Dress:
    coat = face.coat
    width = 0.05 + 0.16 * coat.bib
    half = blob([(0, -0.95), (width * 0.7, -0.6), (width, -0.1), (0.5, 0.25), (0.55, 0.7), (0, 1.05)], 5)
    marks: list[Mark] = []
    if coat.density > 1.05:
        crown = [(-0.8, -0.95), (0.8, -0.95), (0.9, -0.2), (0.4, -0.45), (-0.4, -0.45), (-0.9, -0.2)]
        marks.append((face.on(crown), mix(coat.base, coat.mark, 0.7)))
    blaze = np.concatenate([half, mirrored(half)[::-1]])
    return Dress(coat.base, [*marks, (face.on(blaze), coat.pale)], 0.03)


def _spots(face: Face) -> Dress:
    forehead = face.on(ellipse(0, -0.3, 0.9, 0.6))
    return Dress(face.coat.base, spots(forehead, face.coat.mark, 0.075, round(11 * face.coat.density), face.rng), 0.012)


def _wiry(face: Face) -> Dress:
    coat = face.coat
    tones = (mix(coat.base, coat.pale, 0.7), mix(coat.base, coat.mark, 0.35))
    marks: list[Mark] = []
    for number, (x, y, lean) in enumerate(face.rng.uniform(-1, 1, (16, 3))):
        wisp = stripe((x * 0.8, y * 0.7 - 0.3), (x * 0.95 + lean * 0.05, y * 0.7), 0.07)
        marks.append((face.on(wisp), tones[number % 2]))
    return Dress(coat.base, marks, 0.03)


_MARKINGS: dict[str, Callable[[Face], Dress]] = {
    "tabby": _tabby,
    "plain": _plain,
    "points": _points,
    "saddle": _saddle,
    "spots": _spots,
    "wiry": _wiry,
}
