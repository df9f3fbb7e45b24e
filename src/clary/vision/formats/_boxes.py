"""Boxes as files have them: which are sound, and how those that are not are named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from clary.vision.base.types import Box
from clary.vision.formats._classes import MAX_CLASSES

__all__ = ["SLACK", "box_or_fault", "class_fault", "classes_of", "is_number"]

# Pixels a box may stick out and be cut: tools count from 1, or round. More is a box of another picture or size.
SLACK = 1.0


def box_or_fault(
    class_id: int, corners: Sequence[float], size: tuple[float, float] | None, difficult: bool = False
) -> Box | str:
    """A box of corners xmin, ymin, xmax, ymax in pixels, or what is wrong with it.

    ``size`` is width and height of the upright picture, None where nobody says.
    """
    xmin, ymin, xmax, ymax = corners
    if not all(map(math.isfinite, corners)):
        return f"has a box of numbers that are not finite, {spelled(corners)}"
    # Before the edges: who mixes up corners with width and height is to read that, not where the box ends.
    if xmax < xmin or ymax < ymin:
        return f"has an inverted box, {spelled(corners)}"
    width, height = size or (math.inf, math.inf)
    if min(xmin, ymin) < -SLACK or xmax > width + SLACK or ymax > height + SLACK:
        pixels = f" of {width:g}x{height:g} pixels" if size else ""
        return f"has a box outside its picture{pixels}, {spelled(corners)}"
    cut = max(xmin, 0.0), max(ymin, 0.0), min(xmax, width), min(ymax, height)
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        return f"has a box of zero area, {spelled(corners)}"
    return Box(class_id, *cut, difficult)


def class_fault(class_id: object, count: int | None = None) -> str:
    """What is wrong with a class id out of a file, empty if nothing; ``count`` classes are known where it is given."""
    if not is_number(class_id) or class_id != int(class_id):
        return f"has the class id {class_id!r}, which is not a whole number"
    if class_id < 0:
        return f"has the class id {class_id:g}, which is negative"
    # Bounded even where nobody says how many: class ids count up to the highest, and a typing error would make a
    # network of billions of outputs.
    most = MAX_CLASSES if count is None else count
    if class_id >= most:
        return f"has the class id {class_id:g}, which is unknown: class ids run from 0 to {most - 1}"
    return ""


def is_number(value: object) -> TypeGuard[float]:
    """Whether JSON has a finite number here, and one that fits into a float."""
    # JSON's true is an int in Python.
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    # JSON has whole numbers of any length; a float has not.
    except OverflowError:
        return False


def classes_of(boxes: Iterable[Box]) -> tuple[int, ...]:
    """The classes of a picture's boxes, in order of their ids."""
    return tuple(sorted({box.class_id for box in boxes}))


def spelled(corners: Sequence[float]) -> str:
    return "xmin {:.6g} ymin {:.6g} xmax {:.6g} ymax {:.6g}".format(*corners)
