"""The words every part of the core shares. Plain data; numpy at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from clary.errors import one_line

__all__ = ["Blob", "Box", "Dataset", "Mistake", "Prediction", "Problem", "Sample", "SplitName", "Task"]

Task = Literal["classification", "detection", "segmentation"]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Blob:
    """Encoded bytes at rest: a whole file, or ``length`` bytes of it from ``offset``."""

    path: Path
    offset: int = 0
    length: int | None = None

    def read(self) -> bytes:
        """The bytes. Raises OSError as ``open`` does."""
        if self.length is None and self.offset == 0:
            return self.path.read_bytes()
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(-1 if self.length is None else self.length)

    def __str__(self) -> str:
        return str(self.path) if self.length is None else f"{self.path}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of class ``class_id`` in pixels of the upright picture: xmin <= x < xmax, ymin <= y < ymax."""

    class_id: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what is known of it.

    ``classes`` holds class ids, 0-based: exactly one for single-label sets, any number for multi-label ones.
    ``source`` names the record for error messages: a path, or ``file:line``.
    """

    image: Blob
    classes: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Blob | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a record: where (file and line), what, and how to mend it.

    A ``note`` is worth knowing and does no harm (a GIF named ``.jpg``); an ``error`` makes the record unusable.
    """

    where: str
    what: str
    mend: str = ""
    severity: Literal["error", "note"] = "error"

    def __str__(self) -> str:
        """One line, whatever is in the names of files."""
        return one_line(f"{self.where}: {self.what}" + (f"; {self.mend}" if self.mend else ""))


@dataclass(frozen=True)
class Dataset:
    """Samples by split, and the names of the classes in id order.

    Only splits that exist are keys of ``splits``; ``train`` always does. Readers put what they had to leave out
    into ``problems`` instead of raising, so that every bad record can be shown at once.
    """

    root: Path
    format: str
    class_names: tuple[str, ...]
    splits: Mapping[SplitName, tuple[Sample, ...]] = field(repr=False)
    task: Task = "classification"
    multi_label: bool = False
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return sum(len(samples) for samples in self.splits.values())

    def counts(self, split: SplitName) -> list[int]:
        """Samples per class id in ``split``; a multi-label sample counts once for each of its classes."""
        ids = [c for sample in self.splits[split] for c in sample.classes]
        return [int(n) for n in np.bincount(np.asarray(ids, dtype=np.int64), minlength=len(self.class_names))]

    def with_splits(self, splits: Mapping[SplitName, Sequence[Sample]]) -> Dataset:
        return replace(self, splits={name: tuple(samples) for name, samples in splits.items()})


@dataclass(frozen=True, slots=True)
class Prediction:
    """Scores of one picture, float32 of shape (classes,), each in 0..1, in class id order.

    Single-label scores sum to 1; multi-label scores are independent.
    """

    scores: np.ndarray
    class_names: tuple[str, ...]

    @property
    def label(self) -> str:
        """Name of the class with the highest score."""
        return self.class_names[int(self.scores.argmax())]

    @property
    def score(self) -> float:
        """The highest score."""
        return float(self.scores.max())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The ``k`` best (name, score), best first; equal scores in class id order."""
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(self.class_names[i], float(self.scores[i])) for i in order]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sample predicted wrongly: names of the true and of the predicted class, and the score of the latter in 0..1.

    Of a multi-label sample the names are joined by commas, and the score is the confidence in its worst label.
    """

    sample: Sample
    true: str
    predicted: str
    score: float
