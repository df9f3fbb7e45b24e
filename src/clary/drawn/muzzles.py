"""Nose, mouth and what is around them: a cat's pads and whiskers, a dog's snout and beard."""

from __future__ import annotations

import numpy as np

from clary.drawn.coats import spots
from clary.drawn.face import INK, SIDES, Face
from clary.drawn.palette import Colour, mix
from clary.drawn.shapes import blob, circle, curve, ellipse, symmetric

__all__ = ["draw_muzzle"]

_TONGUE: Colour = (232, 116, 124)
_THROAT: Colour = (116, 44, 52)
_WHISKER: Colour = (250, 250, 248)


def draw_muzzle(face: Face) -> np.ndarray:
    """Draw it and return the outline of its lowest part, chin or tongue."""
    return _cat_muzzle(face) if face.is_cat else _dog_muzzle(face)


def _mouth(face: Face, y: float, wide: float, high: float) -> np.ndarray:
    face.pen.part(face.on(ellipse(0, y, wide, high), 0.22), _THROAT, volume=0.4)
    tongue = face.on(ellipse(0, y + high * 0.5, wide * 0.66, high * 0.7), 0.26)
    face.pen.part(tongue, _TONGUE, volume=0.5)
    return tongue


# Cats


def _cat_muzzle(face: Face) -> np.ndarray:
    wide, high, down = face.breed.muzzle
    pale, bridge = _cat_colours(face)
    lowest = face.on(ellipse(0, down + high * 0.9, wide * 0.5, high * 0.55), 0.06)
    face.pen.part(lowest, mix(pale, INK, 0.05), volume=0.5)
    if face.mood.pants:
        lowest = _mouth(face, down + high * 0.55, wide * 0.34, high * 0.75)
    for side in SIDES:
        face.pen.part(face.on(ellipse(side * wide * 0.46, down, wide * 0.56, high * 0.78), 0.12), pale, volume=0.55)
    face.pen.part(face.on(ellipse(0, down - high * 0.95, wide * 0.3, high * 0.9), 0.1), bridge, volume=0.15)
    top, low = down - high * 0.86, down - high * 0.42
    nose = blob(face.on([(-0.13, top), (0.13, top), (0.05, low), (-0.05, low)], 0.18))
    face.pen.fill(nose, face.coat.nose)
    _cat_smile(face, high, down, mix(INK, pale, 0.15))
    for side in SIDES:
        _whiskers(face, side, wide, down)
    return lowest


def _cat_colours(face: Face) -> tuple[Colour, Colour]:
    """Of the pads and of the bridge of the nose."""
    coat = face.coat
    if face.breed.pattern == "points":
        pale = mix(coat.mark, coat.base, 0.2)
        return pale, pale
    pale = mix(coat.base, coat.pale, 0.25 + 0.75 * coat.bib)
    return pale, mix(pale, coat.base, 0.35)


def _cat_smile(face: Face, high: float, down: float, line: Colour) -> None:
    face.pen.stroke(face.on([(0, down - high * 0.45), (0, down - high * 0.05)], 0.16), line, 0.032)
    for side in SIDES:
        smile = [(0, down - high * 0.08), (side * 0.12, down + high * 0.26), (side * 0.27, down + high * 0.12)]
        face.pen.stroke(face.on(curve(smile), 0.14), line, 0.034)


def _whiskers(face: Face, side: float, wide: float, down: float) -> None:
    for rise in (-0.14, 0.02, 0.18):
        x, y = face.spot(side * wide * 0.62, down + rise * 0.5, 0.12)
        end = (x + side * 0.85, y + rise * 1.6 - 0.08)
        bow = ((x + end[0]) / 2, (y + end[1]) / 2 - 0.06)
        face.pen.stroke(curve([(x, y), bow, end]), _WHISKER, 0.014, covers=True)


# Dogs


def _dog_muzzle(face: Face) -> np.ndarray:
    wide, high, down = face.breed.muzzle
    pale = face.coat.second if face.breed.shag else face.coat.pale
    lowest = face.on(ellipse(0, down + high * 0.86, wide * 0.5, high * 0.34), 0.2)
    if not face.mood.pants:
        face.pen.part(lowest, mix(pale, INK, 0.1), volume=0.6)
    elif not face.breed.shag:
        lowest = _mouth(face, down + high * 0.72, wide * 0.62, high * 0.75)
    snout = _snout(face, wide, high, down)
    marks = spots(snout, face.coat.mark, 0.035, 7, face.rng) if face.breed.pattern == "spots" else []
    face.pen.part(snout, pale, marks, volume=0.7, soft=0.015, shadow=0.08, roundness=0.4)
    if face.breed.shag:
        _beard(face, snout, pale)
        if face.mood.pants:
            lowest = _mouth(face, down + high * 0.72, wide * 0.3, high * 0.4)
    _dog_nose(face, down - high * 0.62)
    _dog_lips(face, mix(INK, pale, 0.1))
    if not face.breed.shag:
        _freckles(face, mix(pale, INK, 0.5))
    return lowest


def _snout(face: Face, wide: float, high: float, down: float) -> np.ndarray:
    half = [(0, -1.05), (0.5, -0.7), (1.0, 0.2), (0.72, 0.84), (0, 0.6)]
    return face.on(blob(symmetric(half)) * (wide, high) + np.array([0, down]), 0.3)


def _beard(face: Face, snout: np.ndarray, pale: Colour) -> None:
    """A moustache that falls to both sides, and a beard below."""
    tones = (mix(pale, face.coat.base, 0.45), mix(pale, face.coat.base, 0.15), pale)
    face.pen.hairs(snout, tones, 0.16, face.rng)
    middle = snout.mean(axis=0)
    lower = snout[snout[:, 1] > np.percentile(snout[:, 1], 35)]
    for share in (1.0, 0.75, 0.5):
        face.pen.hairs(middle + (lower - middle) * share, tones, 0.22, face.rng)


def _dog_nose(face: Face, y: float) -> None:
    nose = blob(symmetric([(0, -0.13), (0.17, -0.12), (0.24, 0.0), (0.12, 0.13), (0, 0.16)]), 4)
    face.pen.fill(face.on(nose + np.array([0, y]), 0.46), face.coat.nose, lit=False)
    shine = mix(face.coat.nose, (255, 255, 255), 0.55)
    face.pen.fill(face.on(ellipse(-0.06, y - 0.06, 0.09, 0.035), 0.48), shine, lit=False)


def _dog_lips(face: Face, line: Colour) -> None:
    wide, high, down = face.breed.muzzle
    face.pen.stroke(face.on([(0, down - high * 0.3), (0, down + high * 0.42)], 0.42), line, 0.036)
    for side in SIDES:
        corner = (side * wide * 0.85, down + high * 0.36)
        lip = [(0, down + high * 0.42), (side * wide * 0.4, down + high * 0.66), corner]
        face.pen.stroke(face.on(curve(lip), 0.34), line, 0.04)


def _freckles(face: Face, colour: Colour) -> None:
    """Where a dog's whiskers grow."""
    wide, high, down = face.breed.muzzle
    for side in SIDES:
        for x, y in ((0.41, 0.0), (0.6, 0.14), (0.43, 0.28)):
            face.pen.fill(circle(*face.spot(side * wide * x, down + high * y, 0.4), 0.018, 8), colour)
