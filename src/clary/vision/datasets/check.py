"""Looking at every record of a data set before time is spent on training with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from clary.errors import ImageError
from clary.vision import formats
from clary.vision.base import imaging
from clary.vision.base.types import Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.datasets.duplicates import duplicates
from clary.vision.tasks import TASKS, Inspection
from clary.vision.tasks._base import where_of
from clary.wording import plural

__all__ = ["CheckResult", "check", "examine"]

FEW = 5  # a class with fewer pictures to train on is worth a note
# Pixels of the shorter side: the deepest map of most networks is 1/32, so one cell is left to tell classes apart by.
SMALL = 32
# Handed to the threads at a time: map() takes all its input at once, and results of a large set would queue up in
# memory.
BATCH = 64

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``dataset`` without the records that cannot be used, and all problems in the order of the records.

    ``pixels`` are, by split, how many pixels of the masks each class has; empty where there are none or none were
    opened.
    """

    dataset: Dataset
    problems: tuple[Problem, ...]
    pixels: Mapping[SplitName, tuple[int, ...]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def notes(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "note"]


def check(
    root: Path | str,
    *,
    task: TaskName | None = None,
    labels: str | None = None,
    decode: bool = True,
    progress: Progress | None = None,
) -> CheckResult:
    """Read the data set at ``root`` and examine it. Raises what ``formats.read`` raises, nothing for a bad record."""
    return examine(formats.read(root, task=task, labels=labels), decode=decode, progress=progress)


def examine(dataset: Dataset, *, decode: bool = True, progress: Progress | None = None) -> CheckResult:
    """The problems of ``dataset``: those of its format, of each picture, of equal pictures, of the balance of classes.

    Every picture is decoded whole unless ``decode`` is False, which leaves its content alone. ``progress`` is called
    with 1 after each. Depends on the data only, not on the number of processors.
    """
    samples = [sample for found in dataset.splits.values() for sample in found]
    problems = list(dataset.problems)
    bad: set[int] = set()  # by id(): two records may be equal
    pixels: dict[int, np.ndarray] = {}
    if decode:
        for sample, look in zip(samples, _inspected(samples, dataset), strict=True):
            problems += look.problems
            if any(problem.severity == "error" for problem in look.problems):
                bad.add(id(sample))
            elif look.pixels is not None:
                pixels[id(sample)] = look.pixels
            if progress:
                progress(1)
    usable = _without(dataset, bad)
    # After decoding: two damaged files of equal bytes are damaged, not the same picture.
    for problem, unusable in duplicates(usable, lambda sample: where_of(sample, dataset.root)):
        problems.append(problem)
        bad.update(id(sample) for sample in unusable)
    # Of the whole set, not of what is usable: what is wrong with the pictures has been said.
    problems += _balance(dataset)
    usable = replace(_without(dataset, bad), problems=tuple(problems))
    return CheckResult(usable, tuple(problems), _summed(usable, pixels))


def _summed(dataset: Dataset, pixels: Mapping[int, np.ndarray]) -> dict[SplitName, tuple[int, ...]]:
    if not pixels:
        return {}
    none = np.zeros(len(dataset.class_names), dtype=np.int64)
    sums = {
        split: sum((pixels.get(id(sample), none) for sample in samples), start=none)
        for split, samples in dataset.splits.items()
    }
    return {split: tuple(int(count) for count in found) for split, found in sums.items()}


def _without(dataset: Dataset, bad: set[int]) -> Dataset:
    return dataset.with_splits(
        {split: [s for s in found if id(s) not in bad] for split, found in dataset.splits.items()}
    )


def _inspected(samples: Sequence[Sample], dataset: Dataset) -> Iterator[Inspection]:
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        for start in range(0, len(samples), BATCH):
            yield from threads.map(lambda sample: _inspect(sample, dataset), samples[start : start + BATCH])


def _inspect(sample: Sample, dataset: Dataset) -> Inspection:
    """Open and decode one picture, and see whether what is known of it fits."""
    where = where_of(sample, dataset.root)
    try:
        data = sample.image.read()
        info = imaging.inspect(data)
        # Strictly, where training uses what is there of a truncated JPEG: here it is to be found.
        imaging.decode(data)
    except OSError as error:
        return Inspection(
            [Problem(where, f"cannot be read ({error.strerror})", "copy it again or mend its permissions")]
        )
    except ImageError as error:
        return Inspection([Problem(where, error.what, error.hint)])
    remarks = [Problem(where, what, hint, "note") for what, hint in _remarks(info, sample)]
    look = TASKS.get(dataset.task).inspect(sample, info, dataset)
    return Inspection([*look.problems, *remarks], look.pixels)


def _remarks(info: imaging.ImageInfo, sample: Sample) -> Iterator[tuple[str, str]]:
    """What is unusual about a picture that can be used, and how it is used all the same."""
    suffixes = imaging.SUFFIXES.get(info.format, ())
    if sample.image.length is None and sample.image.path.suffix.lower() not in suffixes:
        yield f"is a {info.format} file", f"rename it to {suffixes[0]} if that matters" if suffixes else ""
    if info.mode in ("1", "L", "LA", "I", "F") or info.mode.startswith("I;"):
        yield "is grayscale", "it is used as gray RGB"
    if info.mode == "CMYK":
        yield "is CMYK, meant for print", "it is converted to RGB without its colour profile"
    if info.bits > 8:
        yield f"has {info.bits} bits a sample", "8 are used"
    if info.frames > 1:
        more = " or more" if info.frames == imaging.MAX_FRAMES else ""
        yield f"has {info.frames} frames{more}", "the first is used"
    if info.rotated:
        yield "is turned by its EXIF orientation", "it is used upright"
    if min(info.width, info.height) < SMALL:
        yield f"is only {info.width} x {info.height} pixels", "use a larger picture"


def _balance(dataset: Dataset) -> Iterator[Problem]:
    """Notes on classes with few pictures to train on; those with none are the format's to report."""
    for name, count in zip(dataset.class_names, dataset.counts("train"), strict=True):
        if 0 < count < FEW:
            what = f"class `{name}` has only {plural(count, 'picture')}"
            yield Problem("train", what, f"give each class {FEW} or more", "note")
    yield from TASKS.get(dataset.task).remarks(dataset)
