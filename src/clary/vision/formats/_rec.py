"""One RecordIO file: where its records lie, what their labels say, and whether its index matches."""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clary.errors import CustomerError, DataError, ImageError
from clary.vision.base.decoding import upright_size
from clary.vision.base.files import open_file
from clary.vision.base.recordio import Fault, Span, labels_of, read_records, scan
from clary.vision.base.types import Problem, Sample, TaskName
from clary.vision.formats._boxes import class_fault, classes_of
from clary.vision.formats._classes import MAX_CLASSES
from clary.vision.formats._layout import numbered_lines
from clary.vision.formats._vectors import is_vector, vector_to_boxes
from clary.vision.formats._wording import FAULTY, taken_as_there

__all__ = ["Records", "damaged", "holds_vectors", "index_problems", "read_rec"]

# Bytes of a record looked at first: the size of a picture stands in 8 KiB unless a large EXIF block comes before it.
_HEAD = 1 << 13
Labels = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Records:
    """What one file holds: its records, the bytes that are none, the samples in its records."""

    spans: Sequence[Span]
    faults: Sequence[Fault]
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    multi_label: bool
    width: int  # classes of a multi-label file, else the highest class id + 1


def read_rec(path: Path, where: str, task: TaskName, multi_label: bool | None = None) -> Records:
    """Read one file; ``multi_label`` None finds out from the first record. Never raises for what is in it.

    A sample is named ``<where> record <number> at byte <offset>``, both from 0.
    """
    try:
        spans, faults = scan(path)
    except OSError as error:
        problem = Problem(where, f"cannot be read ({error.strerror})", "put it back or mend its permissions")
        return Records((), (), (), (problem,), False, 0)
    reader = _Reader(path, where, task, multi_label)
    samples = reader.samples(spans) if spans else ()
    if reader.odd:
        reader.problems.append(taken_as_there(where, reader.odd, "record"))
    if not spans and not faults:
        reader.problems.append(Problem(where, "is empty", "pack it again"))
    problems = (*(damaged(fault, where) for fault in faults), *reader.problems)
    return Records(spans, faults, samples, problems, bool(reader.multi_label), reader.width)


class _Reader:
    """The records taken so far, and what the next one must agree with."""

    def __init__(self, path: Path, where: str, task: TaskName, multi_label: bool | None) -> None:
        self._path, self._where, self._task = path, where, task
        self.multi_label = False if task == "detection" else multi_label
        self.width = 0
        self.problems: list[Problem] = []
        self.odd: list[str] = []  # of records whose multi-label values are other than 0 and 1, the first of them

    def samples(self, spans: Sequence[Span]) -> tuple[Sample, ...]:
        with open_file(self._path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            plain = self._plain(data, spans)
            taken = (self._take(data, number, span, plain[number]) for number, span in enumerate(spans))
            return tuple(sample for sample in taken if sample)

    def _plain(self, data: mmap.mmap, spans: Sequence[Span]) -> list[int]:
        """The class id of each record that is uncut and has one label in its header, else -1: all at once."""
        if self._task == "detection" or self.multi_label:
            return [-1] * len(spans)
        # All headers at once by numpy, as records begin at multiples of four; in Python each would be looked at by
        # itself.
        words = np.frombuffer(data, np.uint32, len(data) // 4)
        at = np.array([span.pieces[0][0] // 4 for span in spans])
        length = np.array([span.pieces[0][1] if len(span.pieces) == 1 else 0 for span in spans])
        # A record shorter than its header would be read beyond its end; 0 is any place that exists, and is masked out.
        whole = length > 24
        at = np.where(whole, at, 0)
        flags, labels = words[at], words[np.minimum(at + 1, len(words) - 1)].view(np.float32)
        # Else the file cannot be unmapped: numpy holds a view of it.
        del words
        with np.errstate(invalid="ignore"):
            sound = whole & (flags == 0) & (labels >= 0) & (labels < MAX_CLASSES) & (labels == np.floor(labels))
            # -1 before the cast: what becomes of NaN and 1e30 as int64 depends on the processor.
            ids = np.where(sound, labels, -1).astype(np.int64)
        return [int(class_id) for class_id in ids]

    def _take(self, data: mmap.mmap, number: int, span: Span, class_id: int) -> Sample | None:
        """The sample of a record; None, with a problem noted, where it holds none."""
        where = f"{self._where} record {number} at byte {span.offset}"
        if class_id >= 0 and not self.multi_label:
            self.multi_label, self.width = False, max(self.width, class_id + 1)
            return Sample(span.blob(self._path, 24), (class_id,), source=where)
        try:
            # Of a class the header tells all; boxes need the picture's size as well.
            labels, skip, head = _head(data, span, 24 if self._task == "classification" else _HEAD)
            return self._sample(labels, skip, head, span, where)
        except CustomerError as error:
            self.problems.append(Problem(where, error.what, error.hint, "error", 1, FAULTY))
            return None

    def _sample(self, labels: Labels, skip: int, head: bytes, span: Span, where: str) -> Sample:
        blob = span.blob(self._path, skip)
        if blob.size <= 0:
            raise DataError("holds no picture", hint="pack it again")
        if self._task == "detection":
            try:
                size = _upright(head[skip:], lambda: blob.read())
            except ImageError as error:
                raise DataError(f"what it holds {error.what}", hint=error.hint) from error
            boxes, faults = vector_to_boxes(labels, size)
            self.problems += [Problem(where, what, hint) for what, hint in faults]
            self.width = max(self.width, *(box.class_id + 1 for box in boxes), 0)
            return Sample(blob, classes_of(boxes), boxes, source=where)
        return Sample(blob, self._classes(labels), source=where)

    def _classes(self, labels: Labels) -> tuple[int, ...]:
        if self.multi_label is None:
            self.multi_label = len(labels) > 1
        if not self.multi_label:
            return self._class(labels)
        self.width = self.width or len(labels)
        if len(labels) != self.width:
            raise DataError(f"has {len(labels)} labels, the records before have {self.width}", hint="pack it again")
        if odd := next((label for label in labels if label not in (0, 1)), None):
            # Not finite: of damaged bytes; below zero it may mean anything.
            if not (math.isfinite(odd) and min(labels) >= 0):
                raise DataError(f"has the multi-label value {odd:g}", hint="use 0 or 1, one for each class")
            self.odd.append(f"{odd:g}")
        return tuple(c for c, label in enumerate(labels) if label)

    def _class(self, labels: Labels) -> tuple[int, ...]:
        if len(labels) != 1:
            hint = "set multi_label to 1 if they are 0 and 1 for each class; boxes are data for detection"
            raise DataError(f"has {len(labels)} labels, not 1", hint=hint)
        if fault := class_fault(labels[0]):
            raise DataError(fault, hint="class ids are 0, 1, 2 ...")
        self.width = max(self.width, int(labels[0]) + 1)
        return (int(labels[0]),)


def holds_vectors(path: Path) -> bool:
    """Whether the first image record of a file has a label vector of objects."""
    try:
        with open_file(path) as file:
            payload = next(read_records(file))
        labels, *_ = labels_of(payload, len(payload))
    except (OSError, DataError, StopIteration):
        return False
    return is_vector(labels)


def _head(data: mmap.mmap, span: Span, wanted: int) -> tuple[Labels, int, bytes]:
    """Labels of a record, bytes before its picture, and its first ``wanted`` bytes, more where labels need them."""
    head = _first_bytes(data, span, wanted)
    flag = struct.unpack_from("<I", head)[0] if len(head) >= 4 else 0
    # Labels may reach beyond what was looked at: of classification that is the header alone.
    if len(head) < 24 + 4 * flag <= span.length:
        head = _first_bytes(data, span, 24 + 4 * flag)
    labels, _, _, skip, _ = labels_of(head, span.length)
    return labels, skip, head


def _first_bytes(data: mmap.mmap, span: Span, wanted: int) -> bytes:
    found = b""
    for offset, length in span.pieces:
        found += data[offset : offset + min(length, wanted - len(found))]
        if len(found) >= wanted:
            break
    return found


def index_problems(rec: Path, spans: Sequence[Span]) -> list[Problem]:
    """What in the index of a file does not match it; nothing where there is no index."""
    path = rec.with_suffix(".idx")
    if not os.path.lexists(path):
        return []
    hint = "remove the index, or pack again"
    lines, problems = numbered_lines(path, path.name)
    # Only the first difference: after one that is missing all others differ.
    for (number, text), span in zip(lines, spans, strict=False):
        key, _, offset = text.partition("\t")
        if not (key.isdecimal() and offset.isdecimal()):
            return [*problems, Problem(f"{path.name}:{number}", f"is {text[:40]!r}, not key, tab, byte offset", hint)]
        if offset != str(span.offset):
            what = f"has record {number - 1} at byte {offset[:20]}, in {rec.name} it is at byte {span.offset}"
            return [*problems, Problem(f"{path.name}:{number}", what, hint)]
    if len(lines) != len(spans):
        what = f"lists {len(lines)} records, {rec.name} holds {len(spans)}"
        return [*problems, Problem(f"{path.name}:{len(lines)}", what, hint)]
    return problems


def damaged(fault: Fault, where: str) -> Problem:
    place = f"{where} record {fault.number} at byte {fault.offset}"
    return Problem(place, fault.what, "copy it again or pack it again", "error", 1, FAULTY)


def _upright(head: bytes, whole: Callable[[], bytes]) -> tuple[int, int]:
    """The size of a picture from its first bytes, or from all where those do not say."""
    try:
        return upright_size(head)
    except ImageError:
        return upright_size(whole())
