"""Eyes, lids and brows."""

from __future__ import annotations

import numpy as np

from clary.drawn.canvas import Pen
from clary.drawn.face import INK, SIDES, Face
from clary.drawn.palette import Colour, mix
from clary.drawn.shapes import circle, curve, ellipse, stripe

__all__ = ["draw_eyes"]

_HEIGHT = -0.06  # of the eyes above the middle of the head
_PUPIL: Colour = (23, 18, 20)


def draw_eyes(face: Face) -> None:
    """Both eyes, and a dog's brows."""
    size, apart, slant = face.breed.eye
    for side in SIDES:
        eye = face.pen.moved(*face.spot(side * apart, _HEIGHT), turn=side * slant)
        narrow = float(np.clip(1.0 - 0.3 * side * face.aside, 0.7, 1.08))
        if face.mood.lids > 0.8:
            wide = size * narrow
            eye.stroke(curve([(-wide, -0.02), (0, size * 0.5), (wide, -0.02)]), _rim(face), 0.06)
        else:
            _open(face, eye, size * narrow, size * (1.06 - 0.5 * face.mood.lids))
        if not face.is_cat:
            _brow(face, side, apart, size)


def _rim(face: Face) -> Colour:
    return mix(INK, face.coat.mark, 0.15)


def _open(face: Face, pen: Pen, wide: float, high: float) -> None:
    iris = face.coat.iris if face.is_cat else mix(face.coat.iris, INK, 0.35)
    pen.fill(ellipse(0, 0, wide * 1.2, high * 1.17), _rim(face), lit=False)
    pen.fill(ellipse(0, 0, wide, high), mix(iris, INK, 0.3), lit=False)
    pen.fill(ellipse(0, high * 0.16, wide * 0.9, high * 0.8), iris, lit=False)
    pen.fill(ellipse(0, high * 0.48, wide * 0.6, high * 0.4), mix(iris, (255, 255, 230), 0.3), lit=False)
    pupil = (0.22 + 0.5 * face.mood.pupil, 0.88) if face.is_cat else (0.68, 0.72)
    pen.fill(ellipse(0.2 * face.aside * wide, 0, wide * pupil[0], high * pupil[1]), _PUPIL, lit=False)
    pen.fill(circle(-wide * 0.32, -high * 0.36, wide * 0.3), (255, 255, 255), lit=False)
    pen.fill(circle(wide * 0.32, high * 0.38, wide * 0.14), (250, 250, 250), lit=False)
    if face.mood.lids > 0.1:
        _upper_lid(face, pen, wide * 1.22, high * 1.2)


def _upper_lid(face: Face, pen: Pen, wide: float, high: float) -> None:
    """An arch that comes down over the eye."""
    drop = -high + 1.5 * high * face.mood.lids
    side = [(wide, high * 0.05), (wide * 0.6, drop - 0.1 * high)]
    arch = curve([*((-x, y) for x, y in side), (0, drop - 0.3 * high), *reversed(side)])
    over = np.concatenate([arch, [(wide * 1.02, -high * 0.6), (0.0, -high * 1.1), (-wide * 1.02, -high * 0.6)]])
    skin = face.coat.mark if face.breed.pattern == "points" else face.coat.base
    pen.fill(over, mix(skin, INK, 0.1))
    pen.stroke(arch, _rim(face), 0.05)


def _brow(face: Face, side: float, apart: float, size: float) -> None:
    brow = face.pen.moved(*face.spot(side * (apart - 0.02), _HEIGHT - size * 1.75), turn=side * 0.3)
    if face.breed.shag:
        for lean in (-0.16, -0.05, 0.06, 0.17):
            brow.fill(stripe((lean, -0.1), (lean * 1.5 + side * 0.08, 0.2), 0.11), face.coat.pale)
    elif face.breed.pattern != "spots":
        brow.fill(ellipse(0, 0, 0.13, 0.06), mix(face.coat.base, face.coat.pale, 0.6))
