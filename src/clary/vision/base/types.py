"""The words every part of the core shares. Plain data; numpy at most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from clary.errors import one_line
from clary.vision.base.files import open_file, read_file

__all__ = [
    "IGNORED",
    "Blob",
    "Box",
    "Dataset",
    "Detections",
    "Mistake",
    "Prediction",
    "Problem",
    "Sample",
    "Segmentation",
    "SplitName",
    "TaskName",
]

TaskName: TypeAlias = str  # of a task of ``vision.tasks``; other distributions add theirs
SplitName = Literal["train", "validation", "test"]

REPR_OBJECTS = 3  # the best, which are shown of many
# SageMaker's and VOC's "hole": the highest value of an 8-bit mask.
IGNORED = 255  # class id of pixels that count neither in loss nor in metrics


@dataclass(frozen=True, slots=True)
class Blob:
    """Encoded bytes at rest: a whole file, or ``length`` bytes of it from ``offset``.

    ``rest`` are further (offset, length) pieces of the same file that follow: what RecordIO cut in two.
    """

    path: Path
    offset: int = 0
    length: int | None = None
    rest: tuple[tuple[int, int], ...] = ()

    def read(self) -> bytes:
        """The bytes. Raises OSError as ``files.open_file`` does."""
        if self.length is None and self.offset == 0:
            return read_file(self.path)
        # Unbuffered: one seek and one read of known length, where a buffer would read ahead what nobody asked for.
        with open_file(self.path, buffering=0) as file:
            file.seek(self.offset)
            first = file.read() if self.length is None else file.read(self.length)
            if not self.rest:
                return first
            pieces = [first]
            for offset, length in self.rest:
                file.seek(offset)
                pieces.append(file.read(length))
            return b"".join(pieces)

    @property
    def size(self) -> int:
        """How many bytes ``read`` gives. Raises OSError as ``stat`` does."""
        if self.length is None:
            return self.path.stat().st_size - self.offset
        return self.length + sum(length for _, length in self.rest)

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

    ``classes`` holds class ids, 0-based: exactly one for single-label sets, any number for multi-label ones, those of
    its boxes in order of ids for detection, none for segmentation. ``mask`` is a picture of one channel as large as
    the upright picture; ``mask_values`` are 256 bytes, the class id for each value in it (255 where it is ignored),
    None where values are class ids. ``source`` names the record for error messages: a path, or ``file:line``. What
    else a task knows of a picture stands in a subclass.
    """

    image: Blob
    classes: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Blob | None = None
    source: str = ""
    mask_values: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a record: where (file and line), what, and how to mend it.

    A ``note`` is worth knowing and does no harm (a GIF named ``.jpg``); an ``error`` makes the record unusable.
    ``left_out`` is how many files or records are not used for it, ``reason`` why in a few words that others share, by
    which they are counted. ``tolerated`` is an error that the original algorithms train on all the same.
    """

    where: str
    what: str
    hint: str = ""
    severity: Literal["error", "note"] = "error"
    left_out: int = 0
    reason: str = ""
    tolerated: bool = False

    def __str__(self) -> str:
        """One line, whatever is in the names of files."""
        return one_line(f"{self.where}: {self.what}" + (f"; {self.hint}" if self.hint else ""))


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
    task: TaskName = "classification"
    multi_label: bool = False
    problems: tuple[Problem, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return sum(len(samples) for samples in self.splits.values())

    def counts(self, split: SplitName) -> list[int]:
        """Samples per class id in ``split``; a sample of several classes counts once for each of them.

        Zeros for segmentation, where masks would have to be opened.
        """
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
class Detections:
    """Objects found in a picture of ``width`` x ``height`` pixels, the best score first.

    ``boxes`` are float32 (n, 4): xmin, ymin, xmax, ymax as fractions of width and height, in 0..1. ``scores`` are
    float32 (n,) in 0..1, ``class_ids`` int64 (n,).
    """

    boxes: np.ndarray
    scores: np.ndarray
    class_ids: np.ndarray
    class_names: tuple[str, ...]
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        # Not the arrays, which have a row for each of some hundred guesses and fill a notebook.
        best = zip(
            self.labels[:REPR_OBJECTS], self.scores.tolist(), self.pixels.round().astype(int).tolist(), strict=False
        )
        said = [f"{label} {score:.3f} at {', '.join(map(str, corners))}" for label, score, corners in best]
        said += [f"{len(self) - REPR_OBJECTS} more"] if len(self) > REPR_OBJECTS else []
        return f"<Detections in {self.width} x {self.height} pixels: {'; '.join(said) or 'none'}>"

    @property
    def pixels(self) -> np.ndarray:
        """Boxes in pixels, float32 (n, 4)."""
        return self.boxes * np.array([self.width, self.height, self.width, self.height], np.float32)

    def as_boxes(self) -> list[Box]:
        """The boxes in pixels."""
        return [Box(int(c), *place) for c, place in zip(self.class_ids, self.pixels.tolist(), strict=True)]

    @property
    def labels(self) -> list[str]:
        """The class name of each object."""
        return [self.class_names[int(class_id)] for class_id in self.class_ids]

    @property
    def rows(self) -> np.ndarray:
        """float32 (n, 6): class id, score, xmin, ymin, xmax, ymax in fractions, as ``base.boxes.detect`` gives them."""
        return np.column_stack([self.class_ids, self.scores, self.boxes]).astype(np.float32).reshape(-1, 6)

    def above(self, least: float) -> Detections:
        """Those whose score is ``least`` or more."""
        kept = self.scores >= least
        return replace(self, boxes=self.boxes[kept], scores=self.scores[kept], class_ids=self.class_ids[kept])


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The class of every pixel of a picture: ``classes`` are class ids, uint8 (height, width).

    ``scores``, where they were kept, are float32 (C, h, w) in 0..1 that sum to 1 over the classes, in the size the
    network saw: ``base.planes.resized`` brings them to the picture's.
    """

    classes: np.ndarray
    class_names: tuple[str, ...]
    scores: np.ndarray | None = None

    def shares(self) -> list[tuple[str, float]]:
        """Classes that are there and their share of the pixels, the largest first."""
        counts = np.bincount(self.classes.ravel(), minlength=len(self.class_names))
        order = np.argsort(-counts, kind="stable")
        return [(self.class_names[i], float(counts[i] / self.classes.size)) for i in order if counts[i]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sample predicted wrongly: names of the true and of the predicted class, and the score of the latter in 0..1.

    Of a multi-label sample the names are joined by commas, and the score is the confidence in its worst label.
    """

    sample: Sample
    true: str
    predicted: str
    score: float
