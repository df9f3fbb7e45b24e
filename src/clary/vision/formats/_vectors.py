"""Detection labels as a row of numbers, in RecordIO files and in lists.

    header size, numbers an object, (rest of the header), then for each object: class id, xmin, ymin, xmax, ymax, ...

The header counts itself, 2 at least; an object has 5 numbers, 6 with "difficult". Corners are fractions 0..1 of width
and height of the upright picture. Source: MXNet ImageDetRecordIter; im2rec --pack-label.
"""

from __future__ import annotations

from collections.abc import Sequence

from clary.errors import DataError
from clary.vision.base.boxes import LABEL_HEADER as HEADER
from clary.vision.base.boxes import LABEL_OBJECT as OBJECT
from clary.vision.base.types import Box
from clary.vision.formats._boxes import box_or_fault, class_fault

__all__ = ["check_vector", "is_vector", "vector_of", "vector_to_boxes"]

# As the original says it; xmax is missing there too.
_FEW = (
    "Not enough annotation packed in the list file or the RecordIO file. Each object requires at least five "
    "numbers [label_id, xmin, ymin, ymax] for annotation."
)


def is_vector(labels: Sequence[float]) -> bool:
    """Whether labels are boxes rather than one class id or a 0 or 1 for each class."""
    # A row of 0 and 1 for each class never begins with 2, and one of counts hardly goes on with 5.
    return len(labels) > 1 and labels[0] >= HEADER and labels[1] >= OBJECT


def check_vector(labels: Sequence[float]) -> tuple[int, int]:
    """Header size and numbers an object. Raises DataError, in the original's words where they are known."""
    if len(labels) < HEADER:
        found = "1 label, a class for the whole picture" if labels else "no label"
        raise DataError(f"{_FEW} Found {found}", hint="pack boxes")
    header, wide = labels[:HEADER]
    if not (HEADER <= header <= len(labels) and header == int(header)):
        hint = f"it counts itself and is {HEADER} at least"
        raise DataError(f"has a label of {len(labels)} numbers whose header size is {header:g}", hint=hint)
    # 1e6 before int(), which infinity would make raise; NaN fails each comparison.
    if not (wide >= OBJECT and wide < 1e6 and wide == int(wide)):
        raise DataError(f"{_FEW} Found {wide:g}", hint="the second number of a label is the numbers an object: 5 or 6")
    rest = len(labels) - int(header)
    if rest % int(wide):
        what = f"has {rest} numbers after its header, not a multiple of the {int(wide)} each object has"
        raise DataError(what, hint="pack it again")
    return int(header), int(wide)


def vector_to_boxes(labels: Sequence[float], size: tuple[int, int]) -> tuple[tuple[Box, ...], list[tuple[str, str]]]:
    """The boxes of a label vector; ``size`` is width and height of the upright picture in pixels.

    Of those that are not sound: what is wrong, and how to mend it. Raises DataError as ``check_vector`` does.
    """
    header, wide = check_vector(labels)
    width, height = size
    boxes: list[Box] = []
    faults: list[tuple[str, str]] = []
    for number, start in enumerate(range(header, len(labels), wide)):
        class_id, xmin, ymin, xmax, ymax, *more = labels[start : start + wide]
        corners = (xmin * width, ymin * height, xmax * width, ymax * height)
        # Fractions are of the upright picture, and faults are told in pixels, where people can look.
        box = class_fault(class_id) or box_or_fault(int(class_id), corners, size, bool(more and more[0]))
        if isinstance(box, Box):
            boxes.append(box)
        else:
            # The most frequent mistake; a corner a little beyond 1 is rounding.
            pixels = max(xmin, ymin, xmax, ymax) > 1.5
            hint = "corners are fractions 0..1, not pixels" if pixels else "mend its label and pack it again"
            faults.append((f"object {number} {box}", hint))
    return tuple(boxes), faults


def vector_of(boxes: Sequence[Box], width: int, height: int) -> tuple[float, ...]:
    """The label vector of a picture of that size; objects have 6 numbers where one of them is difficult."""
    wide = OBJECT + any(box.difficult for box in boxes)
    numbers: list[float] = [HEADER, wide]
    for box in boxes:
        corners = (box.xmin / width, box.ymin / height, box.xmax / width, box.ymax / height)
        numbers += [box.class_id, *corners, float(box.difficult)][:wide]
    return tuple(numbers)
