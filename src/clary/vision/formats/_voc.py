"""Boxes in Pascal VOC XML. There pixel coordinates start at 1 and both ends belong to the box; Box starts at 0 and
leaves the upper end out, so 1 is taken from xmin and ymin (0, as some tools write it, stays 0).
Source: VOC2007 development kit, section 4."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clary.errors import DataError
from clary.vision.base.files import read_file
from clary.vision.base.types import Box, Problem
from clary.vision.formats._wording import several, shown

__all__ = ["annotation", "read_boxes", "read_objects"]

# An annotation is about a kilobyte; far more is none and would only cost memory. (Bombs of entities expat refuses by
# itself, from 2.4 on.)
MAX_BYTES = 1 << 20

_HINT = "mend the annotation or remove it"


def read_boxes(path: Path, where: str, class_ids: Mapping[str, int]) -> tuple[tuple[Box, ...], list[Problem]]:
    """The boxes in ``path``, and what was wrong with the others; ``class_ids`` maps the names of objects. Raises as
    ``read_objects``."""
    found, problems = read_objects(path, where, class_ids)
    return tuple(replace(box, class_id=class_ids[name]) for name, box in found), problems


def read_objects(
    path: Path, where: str, names: Collection[str] | None = None
) -> tuple[list[tuple[str, Box]], list[Problem]]:
    """Name and box of each object in ``path``, class id 0, and what was wrong with the others.

    ``names`` are those known; None takes any. Raises DataError for a file that is no annotation: it says nothing of its
    picture, where one without objects says that nothing is to be seen.
    """
    tree = _parsed(path, where)
    found: list[tuple[str, Box]] = []
    problems: list[Problem] = []
    # Once: it may stand behind all the objects. A dictionary keeps the order, and is not searched from the start.
    size, known = tree.find("size"), None if names is None else dict.fromkeys(names)
    for number, element in enumerate(tree.iter("object"), start=1):
        name = (element.findtext("name") or "").strip()
        box = _box(element, size, name, known)
        if isinstance(box, str):
            problems.append(Problem(where, f"object {number} {box}", _HINT))
        else:
            found.append((name, box))
    return found, problems


def _parsed(path: Path, where: str) -> ElementTree.Element:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"is above {MAX_BYTES >> 20} MiB, no annotation", where=where, hint=_HINT)
        tree = ElementTree.fromstring(read_file(path))
    except ElementTree.ParseError as error:
        line, column = error.position
        what = f"is no well-formed XML ({error.msg.split(':')[0]})"
        raise DataError(what, where=f"{where}:{line}:{column}", hint=_HINT) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=where, hint="mend its permissions") from error
    # An encoding that expat does not know.
    except (ValueError, LookupError) as error:
        raise DataError(f"is no readable XML ({error})", where=where, hint=_HINT) from error
    # The answer of a server that did not find the file, say, which is XML as well.
    if tree.tag.lower() != "annotation" and next(tree.iter("object"), None) is None:
        raise DataError(f"is XML of {shown(tree.tag)}, no annotation", where=where, hint=_HINT)
    return tree


def annotation(
    filename: str, width: int, height: int, boxes: Sequence[Box], class_names: Sequence[str], folder: str = "images"
) -> bytes:
    """One VOC annotation; ``width`` and ``height`` are those of the picture in pixels."""
    root = ElementTree.Element("annotation")
    _texts(root, {"folder": folder, "filename": filename})
    _texts(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
    _texts(root, {"segmented": 0})
    for box in boxes:
        element = ElementTree.SubElement(root, "object")
        _texts(element, {"name": class_names[box.class_id], "pose": "Unspecified", "truncated": 0})
        corners = {"xmin": box.xmin + 1, "ymin": box.ymin + 1, "xmax": box.xmax, "ymax": box.ymax}
        _texts(ElementTree.SubElement(element, "bndbox"), corners)
        _texts(element, {"difficult": int(box.difficult)})
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root)) + b"\n"


def _box(
    element: ElementTree.Element, size: ElementTree.Element | None, name: str, names: Collection[str] | None
) -> Box | str:
    """The box of an <object>, or what is wrong with it."""
    if not name:
        return "has no name"
    if names is not None and name not in names:
        return f"is called {shown(name)}, none of {several(names, 20)}"
    corners = [_number(element.find("bndbox"), tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
    if any(math.isnan(corner) for corner in corners):
        return "has no bndbox of four numbers"
    # From 1, both ends included, to from 0, upper end left out: only the lower corner moves.
    xmin, ymin, xmax, ymax = max(corners[0] - 1, 0), max(corners[1] - 1, 0), corners[2], corners[3]
    if xmin >= xmax or ymin >= ymax:
        kind = "an inverted box" if xmin > xmax or ymin > ymax else "an empty box"
        return f"has {kind}, {_spelled(corners)}"
    width, height = _number(size, "width"), _number(size, "height")
    # Comparisons with NaN are false: nothing is outside where the file has no size.
    if min(corners) < 0 or xmax > width or ymax > height:
        pixels = "" if math.isnan(width + height) else f" of {width:g}x{height:g} pixels"
        return f"has a box outside its picture{pixels}, {_spelled(corners)}"
    return Box(0, xmin, ymin, xmax, ymax, (element.findtext("difficult") or "").strip() == "1")


def _number(parent: ElementTree.Element | None, tag: str) -> float:
    """The finite number in a child element, else nan."""
    text = parent.findtext(tag) if parent is not None else None
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _spelled(corners: Sequence[float]) -> str:
    return "xmin {:g} ymin {:g} xmax {:g} ymax {:g}".format(*corners)


def _texts(parent: ElementTree.Element, values: Mapping[str, str | float]) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = value if isinstance(value, str) else f"{value:.10g}"
