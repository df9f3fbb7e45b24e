"""Boxes as SageMaker's JSON has them, in annotation files and in augmented manifests.

    {"image_size": [{"width": 640, "height": 480, "depth": 3}],
     "annotations": [{"class_id": 2, "left": 80, "top": 98, "width": 232, "height": 291}]}

Pixels from the upper left corner. Source: SageMaker developer guide, "Object Detection Algorithm", input interface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clary.vision.base.types import Box
from clary.vision.formats._boxes import box_or_fault, class_fault, is_number
from clary.vision.formats._wording import typed

__all__ = ["annotation_of", "boxes_in", "size_in"]

_SIDES = ("left", "top", "width", "height")


def boxes_in(value: object) -> tuple[tuple[Box, ...], list[str]]:
    """The boxes of an annotation, and what is wrong with it or with those left out."""
    if not isinstance(value, dict):
        return (), [f"is a JSON {_kind(value)}, not an object with `image_size` and `annotations`"]
    found = value.get("annotations")
    if not isinstance(found, list):
        return (), ["has no list `annotations`"]
    size = size_in(value)
    faults = [size] if isinstance(size, str) else []
    boxes = []
    for number, entry in enumerate(found):
        box = _box(entry, None if isinstance(size, str) else size)
        if isinstance(box, str):
            faults.append(f"annotation {number} {box}")
        else:
            boxes.append(box)
    return tuple(boxes), faults


def size_in(value: dict[str, Any]) -> tuple[float, float] | str | None:
    """Width and height in pixels, None where ``image_size`` is missing, or what is wrong with it."""
    found = value.get("image_size")
    if found is None:
        return None
    # A list of one in the guide; tools write the object alone as well.
    size = found[0] if isinstance(found, list) and found else found
    if not isinstance(size, dict) or not all(is_number(size.get(side)) for side in ("width", "height")):
        return "has an `image_size` that is no list of one object with `width` and `height`"
    if min(size["width"], size["height"]) <= 0:
        return f"has an `image_size` of {size['width']}x{size['height']} pixels"
    return float(size["width"]), float(size["height"])


def annotation_of(boxes: Sequence[Box], width: int, height: int) -> dict[str, Any]:
    """The annotation of a picture of that size; whole numbers stay whole."""
    return {
        # Depth is always 3: the original takes pictures of three channels only (guide, input interface).
        "image_size": [{"width": width, "height": height, "depth": 3}],
        "annotations": [
            {
                "class_id": box.class_id,
                "left": _plain(box.xmin),
                "top": _plain(box.ymin),
                "width": _plain(box.xmax - box.xmin),
                "height": _plain(box.ymax - box.ymin),
            }
            for box in boxes
        ],
    }


def _box(entry: object, size: tuple[float, float] | None) -> Box | str:
    if not isinstance(entry, dict):
        return f"is a JSON {_kind(entry)}, not an object"
    if "class_id" not in entry:
        return "has no `class_id`"
    if fault := class_fault(entry["class_id"]):
        return fault
    for side in _SIDES:
        if not is_number(entry.get(side)):
            found = f"{side} {typed(entry[side])}, which is not a number" if side in entry else f"no `{side}`"
            return f"has {found}"
    left, top, width, height = (float(entry[side]) for side in _SIDES)
    return box_or_fault(int(entry["class_id"]), (left, top, left + width, top + height), size)


def _plain(value: float) -> float:
    # A millionth of a pixel: 79.99999999999999, what is left of 80 in binary, would not come back equal.
    value = round(value, 6)
    return int(value) if value == int(value) else value


def _kind(value: object) -> str:
    return {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
