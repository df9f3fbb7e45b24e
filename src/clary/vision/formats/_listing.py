"""One tab-separated list of pictures, line by line: what each says, and what is wrong with it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from clary.errors import DataError
from clary.vision.base.files import no_file
from clary.vision.base.types import Blob, Problem, Sample, TaskName
from clary.vision.formats._boxes import classes_of
from clary.vision.formats._classes import MAX_CLASSES
from clary.vision.formats._files import image_size
from clary.vision.formats._layout import locate, numbered_lines
from clary.vision.formats._vectors import vector_to_boxes
from clary.vision.formats._wording import FAULTY, counted, relative, several, shown, taken_as_there

__all__ = ["Listing", "Row", "parse_row", "read_lst"]

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# 18 digits fit into the 64 bits of a record's id, which the index becomes.
_INDEX = re.compile(r"([0-9]{1,18})(\.0*)?")
_LINE = "a line is index, class id, path, with a tab between"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list: its index, the numbers between index and path, the path."""

    index: int
    labels: tuple[float, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What one list says. ``width`` is the number of label columns, None where no line could be read."""

    samples: tuple[Sample, ...]
    paths: tuple[str, ...]  # as listed, one a sample
    problems: tuple[Problem, ...]
    multi_label: bool
    width: int | None

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]


def read_lst(
    lst_path: Path,
    image_root: Path,
    num_classes: int | None = None,
    multi_label: bool | None = None,
    *,
    root: Path | None = None,
    task: TaskName = "classification",
) -> Listing:
    """Read one list; paths in it start at ``image_root``. Never raises: what is wrong stands in ``problems``.

    ``num_classes`` bounds class ids (or gives the number of multi-label columns); ``multi_label`` None finds out from
    the first line. For detection a line has a label vector (see ``_vectors``). Problems name files as seen from
    ``root``.
    """
    where = relative(lst_path, root) if root else lst_path.name
    lines, problems = numbered_lines(lst_path, where, records=True)
    reader = _Reader(image_root, num_classes, multi_label, task)
    for number, text in lines:
        if fault := reader.take(text, f"{where}:{number}"):
            what, hint = fault
            # Spreadsheets export the names of columns as the first line.
            header = number == 1 and not re.search(r"[0-9]", text)
            hint = "remove the line of column names" if header else hint
            problems.append(Problem(f"{where}:{number}", what, hint, "error", int(not header), FAULTY))
        problems += [Problem(f"{where}:{number}", *found) for found in reader.faults]
        reader.faults = []
    if reader.again:
        what = f"names {len(reader.again)} indices or paths again: {several(reader.again)}"
        problems.append(Problem(where, what, "each line is used", "note"))
    if reader.odd:
        problems.append(taken_as_there(where, reader.odd, "line"))
    if not lines and not problems:
        problems.append(Problem(where, "lists no pictures", _LINE))
    return Listing(tuple(reader.samples), tuple(reader.paths), tuple(problems), bool(reader.multi_label), reader.width)


class _Reader:
    """The lines taken so far, and what the next one must agree with."""

    def __init__(self, image_root: Path, num_classes: int | None, multi_label: bool | None, task: TaskName) -> None:
        self._image_root = image_root
        self._num_classes = num_classes
        self._task = task
        self._indices: dict[int, str] = {}
        self._places: dict[str, str] = {}
        self.multi_label = multi_label
        self.width: int | None = None
        self.faults: list[tuple[str, str]] = []  # of boxes left out of the line just taken
        self.again: list[str] = []  # indices and paths that were there before
        self.odd: list[str] = []  # of lines whose multi-label values are other than 0 and 1, the first of them
        self.samples: list[Sample] = []
        self.paths: list[str] = []

    def take(self, text: str, where: str) -> tuple[str, str] | None:
        """Add the sample of a line, or say what is wrong with it and how to mend it."""
        row = parse_row(text)
        if isinstance(row, str):
            return row, _LINE
        if self._task == "detection":
            # Cheapest first, and the picture's header last: boxes are fractions of a size that only the picture has.
            return self._path(row) or self._boxes(row, where)
        if self.multi_label is None:
            # By the first sound line: a list has as many label columns in each, and one column is a class id.
            self.multi_label = len(row.labels) > 1
        fault = self._widths(row) or self._path(row) or self._labels(row)
        if fault:
            return fault
        classes = tuple(c for c, flag in enumerate(row.labels) if flag) if self.multi_label else (int(row.labels[0]),)
        self._add(
            row, Sample(Blob(locate(self._image_root, row.path) or self._image_root / row.path), classes, source=where)
        )
        return None

    def _boxes(self, row: Row, where: str) -> tuple[str, str] | None:
        blob = Blob(locate(self._image_root, row.path) or self._image_root / row.path)
        try:
            boxes, self.faults = vector_to_boxes(row.labels, image_size(Sample(blob)))
        except DataError as error:
            return error.what, error.hint
        self._add(row, Sample(blob, classes_of(boxes), boxes, source=where))
        return None

    def _add(self, row: Row, sample: Sample) -> None:
        self._note_repeats(row, sample.source)
        self._indices.setdefault(row.index, sample.source)
        self._places.setdefault(row.path, sample.source)
        self.samples.append(sample)
        self.paths.append(row.path)

    def _widths(self, row: Row) -> tuple[str, str] | None:
        found = len(row.labels)
        if not self.multi_label:
            self.width = 1
            what = f"has {found} label columns, not 1"
            return (what, "set multi_label to 1 if they are 0 and 1 for each class") if found > 1 else None
        if self.width is None:
            self.width = found
        if self._num_classes is not None and found != self._num_classes:
            counts = f"data ({found}) and the num_classes parameter ({self._num_classes})"
            # The original's own words (a job's log).
            return f"Mismatch between number of labels in the multi-label {counts}.", "mend one of the two"
        if found != self.width:
            return f"has {found} label columns, the lines before have {self.width}", "give every line one a class"
        return None

    def _note_repeats(self, row: Row, where: str) -> None:
        """An index is meant to be unique; that pictures are listed twice is how rare classes are made frequent."""
        if row.index in self._indices:
            self.again.append(f"index {row.index} at {where}, first at {self._indices[row.index]}")
        if row.path in self._places:
            self.again.append(f"{shown(row.path)} at {where}, first at {self._places[row.path]}")

    def _path(self, row: Row) -> tuple[str, str] | None:
        parts = re.split(r"[/\\]", row.path)
        if not row.path.strip():
            return "has an empty path", _LINE
        if ".." in parts or not parts[0] or re.match(r"[A-Za-z]:", row.path):
            return f"has the path {shown(row.path)}, which leaves the picture folder", "use a path below that folder"
        if not locate(self._image_root, row.path):
            if what := no_file(self._image_root / row.path) if os.path.lexists(self._image_root / row.path) else "":
                return f"names {shown(row.path)}, which {what}", "leave it out"
            hint = "use / in paths" if "\\" in row.path else "put it back or remove the line"
            return f"names {shown(row.path)}, which is not in {self._image_root.name}/", hint
        return None

    def _labels(self, row: Row) -> tuple[str, str] | None:
        if self.multi_label:
            odd = [label for label in row.labels if label not in (0, 1)]
            # Counts and scores mean "there", as for the original; what is below zero may mean anything.
            if odd and min(odd) < 0:
                return f"has the multi-label value {min(odd):g}", "use 0 or 1"
            self.odd += [f"{odd[0]:g}"] if odd else []
            return None
        label = row.labels[0]
        most = self._num_classes if self._num_classes is not None else MAX_CLASSES
        if not label.is_integer():
            return f"has the class id {label:g}, which is not a whole number", "class ids are 0, 1, 2 ..."
        if label < 0:
            return f"has the class id {label:g}, which is negative", "class ids start at 0"
        if label >= most:
            given = f"with num_classes {most} " if self._num_classes is not None else ""
            return f"has the class id {label:g}, which is out of range", f"{given}class ids run from 0 to {most - 1}"
        return None


def parse_row(text: str) -> Row | str:
    """A line of a list by itself, or what is wrong with it."""
    fields = text.split("\t")
    if len(fields) < 3:
        # Editors turn tabs into blanks.
        if len(fields) == 1 and len(text.split()) >= 3:
            return "is separated by spaces, not tabs"
        return f"has {counted(fields, 'column')}, at least 3 are needed"
    index, *labels, path = fields
    whole = _INDEX.fullmatch(index.strip())
    if not whole:
        return f"has the index {shown(index)}, which is not a whole number"
    # Not float() alone, which also takes nan, inf and 1_0.
    odd = next((label for label in labels if not _NUMBER.fullmatch(label.strip())), None)
    if odd is not None:
        return f"has the label {shown(odd)}, which is not a number"
    return Row(int(whole[1]), tuple(float(label) for label in labels), path)
