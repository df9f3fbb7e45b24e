"""What the label of an augmented manifest says, whether it stands in a line or comes as a record of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from clary.vision.base.image_formats import format_by_magic
from clary.vision.formats._boxes import class_fault
from clary.vision.formats._wording import typed

__all__ = ["LabelFormat", "begins_like_image", "classes_in", "label_format", "looks_like_mask"]

LabelFormat = Literal["single", "multi-hot", "class-id"]


def classes_in(value: object, kind: LabelFormat, num_classes: int | None = None) -> tuple[int, ...] | str:
    """The class ids a label says, or what is wrong with it; a number may be a string."""
    if kind == "single":
        # Both `"class": 0` and `"class": "0"` are in use. Nine digits are more than any class id, and int() raises for
        # thousands.
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10 else value
        if isinstance(value, (list, dict)):
            return f"is {typed(value)}, not one class id"
        return class_fault(number) or (int(number),)  # type: ignore[call-overload]
    if not isinstance(value, list):
        return f"is {typed(value)}, not a list of {'0 and 1' if kind == 'multi-hot' else 'class ids'}"
    if kind == "class-id":
        faults = [fault for entry in value if (fault := class_fault(entry, num_classes))]
        return faults[0] if faults else tuple(sorted({int(entry) for entry in value}))
    # true and 1 are equal in Python, and 1.0 is in (0, 1) as it should be.
    if any(isinstance(entry, bool) or entry not in (0, 1) for entry in value):
        return f"is {typed(value)}, not a list of 0 and 1; label-format=class-id is for lists of class ids"
    if num_classes is not None and len(value) != num_classes:
        return f"has {len(value)} values, not one for each of {num_classes} classes"
    return tuple(c for c, entry in enumerate(value) if entry)


def label_format(values: Sequence[object]) -> LabelFormat:
    """How the labels of a whole file are meant: lists where most are, multi-hot where these are equally long and hold 0
    and 1 only."""
    lists = [value for value in values if isinstance(value, list)]
    # Most, not all: one label by hand in another form must not change the meaning of the others.
    if 2 * len(lists) <= sum(value is not None for value in values):
        return "single"
    # Lists of class ids can look so by chance, where all have ids 0 and 1 and as many of them; Ground Truth's metadata,
    # asked before, tells (``_lines.format_of``).
    hot = len({len(value) for value in lists}) == 1 and all(entry in (0, 1) for value in lists for entry in value)
    return "multi-hot" if hot and lists[0] else "class-id"


def begins_like_image(head: bytes) -> bool:
    """Whether bytes begin as a picture file of a kind that is read here does."""
    return bool(format_by_magic(head[:12]))


def looks_like_mask(head: bytes) -> bool:
    """Whether bytes begin a PNG of one channel: gray or palette (PNG specification, IHDR)."""
    return format_by_magic(head[:12]) == "PNG" and len(head) > 25 and head[25] in (0, 3)
