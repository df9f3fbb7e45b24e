"""What every format promises, and what the formats share.

A format is one file of this package: bytes on disk to Samples and back. Its module offers one object, ``FORMAT``.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import ClassVar

from clary.errors import DataError, UsageError
from clary.vision.base.files import atomic_folder
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, Task

__all__ = [
    "IMAGE_TYPES",
    "SPLITS",
    "Format",
    "class_problems",
    "counted",
    "distinct_name",
    "file_name",
    "folder_name",
    "numbered_lines",
    "place",
    "relative",
    "several",
    "shown",
]

# How splits are called in names of files and folders.
SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}

# Content types of training channels that hold picture files.
IMAGE_TYPES = ("application/x-image", "image/jpeg", "image/png")


class Format(ABC):
    """One layout of a data set.

    - ``sniff`` looks at names only and never raises; a folder of another format is refused.
    - ``read`` never raises for a bad record: what it had to leave out stands in ``Dataset.problems``, as file and
      line relative to the root. Pictures are not opened; a Sample holds the place of its bytes.
    - ``write`` leaves its input as it is, and what it writes reads back equal.
    """

    name: ClassVar[str]
    layout: ClassVar[str]  # one phrase, for the list of layouts a user is shown
    tasks: ClassVar[frozenset[Task]]
    labels: ClassVar[tuple[str, ...]] = ()  # choices of what the classes are; the first is the default
    content_types: ClassVar[tuple[str, ...]] = ()  # of training channels this format reads
    input_modes: ClassVar[tuple[str, ...]] = ("File", "FastFile")

    @abstractmethod
    def sniff(self, root: Path) -> bool:
        """Whether ``root`` looks like a data set of this format."""

    @abstractmethod
    def _read(self, root: Path, task: Task, labels: str | None) -> Dataset:
        """``read`` with its arguments checked."""

    def read(self, root: Path, *, task: Task = "classification", labels: str | None = None) -> Dataset:
        """The data set at ``root``.

        Raises UsageError for a task or labels the format does not have, DataError for a root that is no data set.
        """
        if task not in self.tasks:
            known = " or ".join(sorted(self.tasks))
            raise UsageError(f"the {self.name} layout holds no {task} data", where=root, mend=f"use it for {known}")
        if labels is not None and labels not in self.labels:
            choices = f"use {' or '.join(self.labels)}" if self.labels else "leave `labels` out"
            raise UsageError(f"the {self.name} layout has no labels called `{labels}`", where=root, mend=choices)
        if not self.sniff(root):
            raise DataError(f"is no data set of the {self.name} layout", where=root, mend=f"it needs {self.layout}")
        return self._read(root, task, labels or next(iter(self.labels), None))

    def write(self, dataset: Dataset, root: Path) -> None:
        """Write ``dataset`` to ``root``, whole or not at all; pictures are hard-linked where that works, else copied.

        Raises UsageError when ``root`` is not empty, cannot be written, or the format cannot hold the data set.
        """
        with atomic_folder(root) as folder:
            self._write(dataset, folder)

    def _write(self, dataset: Dataset, root: Path) -> None:
        raise UsageError(f"the {self.name} layout is only read", mend="write class folders instead")

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        """Whether these training channels, of a content type in ``content_types``, are laid out for this format."""
        return bool(channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: Task, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        """The data set in training channels that ``takes`` said yes to.

        Raises CustomerError for what would make the original algorithms stop.
        """
        raise UsageError(f"the {self.name} layout is not read from channels", mend="use the `dataset` channel")


def relative(path: Path, root: Path) -> str:
    """``path`` as seen from ``root``, with forward slashes; as it is where it lies elsewhere."""
    if path == root:
        return root.name or "."
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def counted(things: Sized, noun: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def several(names: Iterable[str], most: int = 3) -> str:
    """``a, b, c and 4 more``, for a message that must stay one line."""
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")


def shown(text: str, most: int = 60) -> str:
    """Text out of a file as it stands in a message: in backquotes, cut where it is long."""
    return f"`{text}`" if len(text) <= most else f"`{text[:most]}...`"


def numbered_lines(path: Path, where: str) -> tuple[list[tuple[int, str]], list[Problem]]:
    """The lines of a text file with their 1-based numbers, blank ones left out, and what could not be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return [], [Problem(where, f"cannot be read ({error.strerror})", "put it back or mend its permissions")]
    lines: list[tuple[int, str]] = []
    problems: list[Problem] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = raw.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            problems.append(Problem(f"{where}:{number}", f"is no UTF-8 text ({error.reason})", "save it as UTF-8"))
            continue
        if text.strip():
            lines.append((number, text))
    return lines, problems


def class_problems(dataset: Dataset, where: Mapping[SplitName, str]) -> list[Problem]:
    """What is wrong with a set as a whole: no pictures, one class only, a class that only other splits have.

    ``where`` names the file or folder that holds each split.
    """
    train = where.get("train", "train")
    if not any(dataset.splits.values()):
        return [Problem(train, "holds no usable picture", "add pictures or mend the errors above")]
    if not dataset.splits.get("train"):
        return [Problem(train, "holds no usable picture to train on", "add pictures or mend the errors above")]
    used = {split: {c for s in samples for c in s.classes} for split, samples in dataset.splits.items()}
    problems = []
    everywhere = set().union(*used.values())
    if len(everywhere) == 1 and not dataset.multi_label:
        name = dataset.class_names[everywhere.pop()]
        problems.append(Problem(train, f"has one class only, `{name}`", "add pictures of a second class"))
    for split, classes in used.items():
        for c in sorted(classes - used["train"]):
            what = f"class `{dataset.class_names[c]}` has no picture in {train}"
            mend = "add some to train or leave the class out"
            problems.append(Problem(where.get(split, split), what, mend, "note" if dataset.multi_label else "error"))
    return _first_of_each(problems)


def _first_of_each(problems: Iterable[Problem]) -> list[Problem]:
    return list({problem.what: problem for problem in reversed(list(problems))}.values())[::-1]


def place(blob: Blob, target: Path) -> None:
    """Put the bytes of ``blob`` under ``target``: a hard link where it is a whole file and that works, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if blob.offset or blob.length is not None:
        target.write_bytes(blob.read())
        return
    try:
        os.link(os.path.realpath(blob.path), target)
    except OSError:  # another file system, or one without hard links
        _copy(blob.path, target)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        if error.filename == str(source):  # else it is the target that cannot be written
            raise DataError(f"cannot be read ({error.strerror})", where=source) from error
        raise


def distinct_name(wanted: str, taken: set[str]) -> str:
    """``wanted``, or ``wanted-2``, ``-3`` ... before its suffix; the name is added to ``taken``. Case is ignored."""
    stem, suffix = os.path.splitext(wanted)
    names: Iterator[str] = (f"{stem}-{n}{suffix}" if n > 1 else wanted for n in range(1, len(taken) + 2))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


def file_name(sample: Sample) -> str:
    """What to call the picture of ``sample`` in a new place: its own name, made fit for lists, where it has one."""
    name = sample.image.path.name if sample.image.length is None else f"{sample.image.offset}.jpg"
    return "".join(c if c.isprintable() else "_" for c in name)


def folder_name(sample: Sample, dataset: Dataset) -> str:
    """The name of the class of ``sample`` as that of a folder. Raises UsageError where it cannot be one."""
    name = dataset.class_names[sample.classes[0]]
    if not name.isprintable() or name[:1] in ("", ".") or "/" in name or "\\" in name:
        raise UsageError(f"the class {shown(name)} cannot be the name of a folder", mend="rename the class")
    return name
