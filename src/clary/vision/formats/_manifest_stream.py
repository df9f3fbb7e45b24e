"""An augmented manifest as it arrives in Pipe mode: picture and label as two RecordIO records, without a header."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from clary.errors import DataError
from clary.vision.base.recordio import scan
from clary.vision.base.types import Blob, Problem, Sample, TaskName
from clary.vision.formats._annotation import boxes_in
from clary.vision.formats._boxes import classes_of
from clary.vision.formats._manifest import LabelFormat, begins_like_image, classes_in, looks_like_mask
from clary.vision.formats._wording import FAULTY, shown

__all__ = ["read_records"]

EMPTY = (
    "Got empty batch from pipe. Please check if the manifest file contains valid batches and the value of training "
    "job parameter AttributeNames matches attributes names in the augmented manifest."
)
UNPARSED = "Unable to parse record. Please make sure input data is in correct recordio format."
_FRAMES = (
    "send a line a frame: `clary data convert FOLDER OUT --to augmented-manifest` writes them, FOLDER holding the "
    "manifest and what it names"
)
_ORDER = "AttributeNames must name the picture first, then its label"


def read_records(
    path: Path, name: str, task: TaskName, kind: LabelFormat = "single", num_classes: int | None = None
) -> tuple[tuple[Sample, ...], list[Problem]]:
    """The samples of the channel ``name`` whose stream of RecordIO records is kept in ``path``: picture, label, and
    so on. Problems name the records left out.

    Raises DataError, in the original's words, for no records at all, for bytes that are no records, and for records
    in another order from the start.
    """
    spans, faults = scan(path)
    where = f"{name} channel"
    # In a stream with a hole nobody knows any more which label is whose.
    if faults:
        raise DataError(f"{UNPARSED} {where}: {faults[0]}")
    if not spans:
        raise DataError(f"{EMPTY} The {name} channel sent no records.")
    records = [span.blob(path) for span in spans]
    # 40 bytes tell a picture from JSON and a mask from a photograph (IHDR ends at byte 33); the pictures stay where
    # they are.
    heads = [Blob(path, blob.offset, min(blob.size, 40)).read() for blob in records]
    if heads[0][:1] == b"{" and b'"seq-no"' in Blob(path, records[0].offset, min(records[0].size, 4096)).read():
        raise DataError(f"{EMPTY} Record 0 of the {where} is a sequence of video frames; {_FRAMES}.")
    _check_order(heads, where, task)
    samples: list[Sample] = []
    problems: list[Problem] = []
    at = 0
    while at < len(records):
        place_, fault = f"{where} record {at}", ""
        # Not strictly by twos: after a line whose label failed, everything would be paired with its neighbour.
        if not begins_like_image(heads[at]):
            fault, step = f"is {_spelled(heads[at])}, where a picture was expected", 1
        elif at + 1 == len(records) or not _may_be_label(heads[at + 1], task):
            fault, step = "is a picture without a label", 1
        else:
            step = 2
            found = _labelled(records[at], records[at + 1], task, kind, num_classes, place_)
            fault = found if isinstance(found, str) else ""
            if isinstance(found, tuple):
                samples.append(found[0])
                problems += found[1]
        if fault:
            hint = "mend or remove its line of the manifest"
            problems.append(Problem(place_, fault, hint, "error", 1, FAULTY))
        at += step
    return tuple(samples), problems


def _check_order(heads: Sequence[bytes], where: str, task: TaskName) -> None:
    """Raises DataError where the first two records show that something is wrong with all of them."""
    first, second = heads[0], heads[1] if len(heads) > 1 else b""
    if not begins_like_image(first):
        raise DataError(f"{EMPTY} Record 0 of the {where} is {_spelled(first)}, not a picture; {_ORDER}.")
    if not second:
        raise DataError(f"{EMPTY} The {where} sent a picture and no label; {_ORDER}.")
    if not _may_be_label(second, task):
        wanted = "a PNG mask" if task == "segmentation" else "a label in JSON"
        raise DataError(f"{EMPTY} Record 1 of the {where} is {_spelled(second)}, not {wanted}; {_ORDER}.")
    # Both are pictures, so only their kind tells that AttributeNames were given the wrong way round.
    if task == "segmentation" and looks_like_mask(first) and not looks_like_mask(second):
        raise DataError(f"{EMPTY} Record 0 of the {where} is a mask, record 1 a picture; {_ORDER}.")


def _labelled(
    image: Blob, label: Blob, task: TaskName, kind: LabelFormat, num_classes: int | None, where: str
) -> tuple[Sample, list[Problem]] | str:
    if task == "segmentation":
        return Sample(image, mask=label, source=where), []
    data = label.read()
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return f"has the label {_spelled(data[:80])}, which is not JSON"
    if task == "detection":
        boxes, faults = boxes_in(value)
        if not (isinstance(value, dict) and isinstance(value.get("annotations"), list)):
            return f"has a label that {faults[0]}"
        problems = [Problem(where, fault, "mend the label") for fault in faults]
        return Sample(image, classes_of(boxes), boxes, source=where), problems
    classes = classes_in(value, kind, num_classes)
    return f"has a label that {classes}" if isinstance(classes, str) else (Sample(image, classes, source=where), [])


def _may_be_label(head: bytes, task: TaskName) -> bool:
    return head.startswith(b"\x89PNG") if task == "segmentation" else not begins_like_image(head)


def _spelled(data: bytes) -> str:
    return "a picture" if begins_like_image(data) else shown(data.decode(errors="replace"), 30)
