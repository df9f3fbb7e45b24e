"""What every format promises, and what the formats share.

A format is one file of this package: bytes on disk to Samples and back. Its module offers one object, ``FORMAT``.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from clary.errors import DataError, UsageError
from clary.vision.base.files import atomic_folder
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Dataset, SplitName, TaskName

__all__ = ["IMAGE_TYPES", "Format", "Need"]

# Content types of training channels that hold picture files.
IMAGE_TYPES = ("application/x-image", "image/jpeg", "image/png")


@dataclass(frozen=True, slots=True)
class Need:
    """A part that a layout cannot do without: how it is called, and patterns below the root, one of which it matches.

    ``misplaced`` are patterns of what looks like the part and lies elsewhere or is called otherwise.
    """

    what: str
    paths: tuple[str, ...]
    misplaced: tuple[str, ...] = ()


class Format(ABC):
    """One layout of a data set.

    - ``sniff`` looks at names only and never raises; a folder of another format is refused.
    - ``read`` never raises for a bad record: what it had to leave out stands in ``Dataset.problems``, as file and
      line relative to the root. Pictures are not opened; a Sample holds the place of its bytes. Only a layout whose
      boxes are fractions looks at the headers of pictures (``opens_images``).
    - ``write`` leaves its input as it is, and what it writes reads back equal.
    """

    name: ClassVar[str]
    layout: ClassVar[str]  # one phrase, for the list of layouts a user is shown
    needs: ClassVar[tuple[Need, ...]] = ()  # for the message about a folder that is nearly of this layout
    tasks: ClassVar[frozenset[TaskName]]
    writes: ClassVar[frozenset[TaskName] | None] = None  # tasks it is written for; None: all it is read for
    splits: ClassVar[tuple[SplitName, ...]] = ("train", "validation", "test")  # kept apart when written
    lists_images: ClassVar[bool] = False  # whether pictures count that a list names, and others beside them do not
    labels: ClassVar[tuple[str, ...]] = ()  # choices of what the classes are; the first is the default
    opens_images: ClassVar[frozenset[TaskName]] = frozenset()  # tasks for which reading needs the size of each picture
    content_types: ClassVar[tuple[str, ...]] = ()  # of training channels this format reads
    input_modes: ClassVar[tuple[str, ...]] = ("File", "FastFile")
    channel_needs: ClassVar[str] = ""  # how such channels must come, beside their content type

    @property
    def tree(self) -> str:
        """The layout as a drawn tree: the block of the module's text that begins with ROOT, else ``layout``."""
        text = inspect.getdoc(sys.modules[type(self).__module__]) or ""
        found = re.search(r"^    ROOT/.*?(?=\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
        return textwrap.dedent(found[0]) if found else self.layout

    @property
    def written_for(self) -> frozenset[TaskName]:
        """The tasks ``write`` takes data sets of."""
        return self.tasks if self.writes is None else self.writes

    @abstractmethod
    def sniff(self, root: Path) -> bool:
        """Whether ``root`` looks like a data set of this format."""

    @abstractmethod
    def _read(self, root: Path, task: TaskName, labels: str | None) -> Dataset:
        """``read`` with its arguments checked."""

    def task_of(self, root: Path) -> TaskName:
        """What the data set at ``root`` is for, where nobody says; never raises."""
        return "classification" if "classification" in self.tasks else min(self.tasks)

    def labels_of(self, root: Path) -> tuple[str, ...]:
        """The choices of labels the data set at ``root`` offers; never raises."""
        return self.labels

    def read(
        self, root: Path, *, task: TaskName | None = None, labels: str | None = None, sniffed: bool = False
    ) -> Dataset:
        """The data set at ``root``; ``task`` None means ``task_of``. ``sniffed``: ``sniff`` has said yes already.

        Raises UsageError for a task or labels the format does not have, DataError for a root that is no data set.
        """
        if task is not None and task not in self.tasks:
            hint = f"`clary data layouts` draws those that do, or use it for {' or '.join(sorted(self.tasks))}"
            raise UsageError(f"the {self.name} layout holds no {task} data", where=root, hint=hint)
        # Once: ``formats.read`` has asked every layout already, and on a network folder that takes its time.
        if not sniffed and not self.sniff(root):
            raise DataError(f"is no data set of the {self.name} layout", where=root, hint=f"it needs {self.layout}")
        offered = self.labels_of(root)
        if labels is not None and labels not in offered:
            choices = f"use {' or '.join(offered)}" if offered else "leave `labels` out"
            raise UsageError(f"the {self.name} layout has no labels called `{labels}`", where=root, hint=choices)
        return self._read(root, task or self.task_of(root), labels or next(iter(offered), None))

    def write(self, dataset: Dataset, root: Path) -> None:
        """Write ``dataset`` to ``root``, whole or not at all; pictures are hard-linked where that works, else copied.

        Raises UsageError when ``root`` is not empty, cannot be written, or the format cannot hold the data set.
        """
        if dataset.task not in self.written_for:
            found = f"the {self.name} layout is not written for {dataset.task} data"
            known = f"it is for {' and '.join(sorted(self.written_for))}; " if self.written_for else ""
            raise UsageError(found, hint=f"{known}choose another layout")
        # A training that starts on half a data set would not fail but learn less.
        with atomic_folder(root) as folder:
            self._write(dataset, folder)

    def _write(self, dataset: Dataset, root: Path) -> None:
        raise UsageError(f"the {self.name} layout is only read", hint="write class folders instead")

    def takes(self, channels: Mapping[str, Channel]) -> bool:
        """Whether these training channels, of a content type in ``content_types``, are laid out for this format."""
        return bool(channels)

    def read_channels(
        self, channels: Mapping[str, Channel], *, task: TaskName, num_classes: int | None, multi_label: bool
    ) -> Dataset:
        """The data set in training channels that ``takes`` said yes to.

        Raises CustomerError for what would make the original algorithms stop.
        """
        raise UsageError(f"the {self.name} layout is not read from channels", hint="use the `dataset` channel")
