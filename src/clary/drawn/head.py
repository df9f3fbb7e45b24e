"""A whole head, from the ears behind it to those in front."""

from __future__ import annotations

import numpy as np

from clary.drawn.breeds import Breed, Coat
from clary.drawn.canvas import Pen
from clary.drawn.ears import draw_ear, lies_behind
from clary.drawn.eyes import draw_eyes
from clary.drawn.face import SIDES, Face, Mood
from clary.drawn.markings import head_dress
from clary.drawn.muzzles import draw_muzzle
from clary.drawn.palette import Colour
from clary.drawn.shapes import blob, symmetric

__all__ = ["draw_head"]

_BLUSH: Colour = (244, 138, 128)


def draw_head(pen: Pen, breed: Breed, coat: Coat, mood: Mood, rng: np.random.Generator) -> np.ndarray:
    """Draw a head around the pen's origin.

    Returns points that bound it, ears and tongue included and whiskers not, float64 of shape (n, 2), in pixels of
    the picture.
    """
    face = Face(pen, breed, coat, mood, rng)
    outlines = [draw_ear(face, side) for side in SIDES if lies_behind(face, side)]
    outlines.append(_draw_skull(face))
    for side in SIDES:
        pen.glow(*face.spot(side * 0.62, 0.34), 0.3, _BLUSH, mood.blush)
    draw_eyes(face)
    outlines.append(draw_muzzle(face))
    outlines += [draw_ear(face, side) for side in SIDES if not lies_behind(face, side)]
    return pen.in_image(np.concatenate(outlines))


def _draw_skull(face: Face) -> np.ndarray:
    outline: np.ndarray = blob(symmetric(face.breed.skull)) * (0.98, 1.0)
    outline = outline + np.array([0.06 * face.aside, 0.06 * face.down])
    if face.breed.cheeks:
        outline = _with_cheeks(outline)
    dress = head_dress(face)
    face.pen.part(outline, dress.colour, dress.marks, soft=dress.soft, shadow=0.3, roundness=0.45)
    if face.breed.shag:
        face.pen.hairs(outline, face.tones(dress.colour), face.breed.shag, face.rng)
    return outline


def _with_cheeks(outline: np.ndarray) -> np.ndarray:
    """Three tufts of hair at each cheek."""
    angle = np.arctan2(outline[:, 1], np.abs(outline[:, 0]))
    tuft = np.clip(np.sin((angle - 0.15) * 9), 0, 1) * ((angle > 0.1) & (angle < 0.95))
    tufted: np.ndarray = outline * (1 + 0.09 * tuft[:, None])
    return tufted
