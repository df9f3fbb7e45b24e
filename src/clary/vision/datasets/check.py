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
from clary.vision.base.types import IGNORED, Blob, Box, Dataset, Problem, Sample, SplitName, Task
from clary.vision.datasets.duplicates import duplicates
from clary.vision.formats._vectors import label_width

__all__ = ["HINT_BOX", "HINT_SIZE", "CheckResult", "check", "examine", "of_another_size", "outside"]

FEW = 5  # a class with fewer pictures to train on is worth a note
LABEL_WIDTH = 350  # numbers of a detection label that a training job takes by default
SMALL = 32  # pixels of the shorter side; below, a network sees next to nothing
HINT_SIZE = "make both of one size"
HINT_BOX = "mend the box; pixels are those of the upright picture"
SLACK = 1.0  # pixels a box may stick out of its picture: tools count from 1, or round
BATCH = 64  # pictures handed to the threads at a time, so that a large set does not queue up in memory

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
    task: Task | None = None,
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
        for sample, look in zip(samples, _looked_at(samples, dataset), strict=True):
            problems += look.problems
            if any(problem.severity == "error" for problem in look.problems):
                bad.add(id(sample))
            elif look.pixels is not None:
                pixels[id(sample)] = look.pixels
            if progress:
                progress(1)
    usable = _without(dataset, bad)
    for problem, unusable in duplicates(usable, lambda sample: _where(sample, dataset.root)):
        problems.append(problem)
        bad.update(id(sample) for sample in unusable)
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


@dataclass(frozen=True, slots=True)
class _Look:
    """What one record turned out to be; ``pixels`` are those of each class in its mask."""

    problems: list[Problem]
    pixels: np.ndarray | None = None


def _looked_at(samples: Sequence[Sample], dataset: Dataset) -> Iterator[_Look]:
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        for start in range(0, len(samples), BATCH):
            yield from threads.map(lambda sample: _look(sample, dataset), samples[start : start + BATCH])


def _look(sample: Sample, dataset: Dataset) -> _Look:
    """Open and decode one picture, and see whether its boxes or mask fit it."""
    where = _where(sample, dataset.root)
    try:
        data = sample.image.read()
        info = imaging.inspect(data)
        imaging.decode(data)
    except OSError as error:
        return _Look([Problem(where, f"cannot be read ({error.strerror})", "copy it again or mend its permissions")])
    except ImageError as error:
        return _Look([Problem(where, error.what, error.hint)])
    remarks = [Problem(where, what, hint, "note") for what, hint in _remarks(info, sample)]
    if dataset.task == "detection":
        found = (outside(box, info, dataset.class_names) for box in sample.boxes)
        return _Look([*(Problem(where, what, HINT_BOX) for what in found if what), *remarks])
    if dataset.task == "segmentation" and sample.mask:
        look = _look_at_mask(sample, info, dataset)
        return _Look([*look.problems, *remarks], look.pixels)
    return _Look(remarks)


def outside(box: Box, info: imaging.ImageInfo, class_names: Sequence[str] = ()) -> str:
    """What is wrong with a box of a picture, empty if nothing."""
    name = f"a box of {class_names[box.class_id]}" if box.class_id < len(class_names) else "a box"
    corners = f"xmin {box.xmin:g} ymin {box.ymin:g} xmax {box.xmax:g} ymax {box.ymax:g}"
    if box.xmin >= box.xmax or box.ymin >= box.ymax:
        return f"has {name} that is inverted or has no area, {corners}"
    if _fits(box, info.upright):
        return ""
    turned = (
        "; it fits the picture as stored, not as shown"
        if info.rotated and _fits(box, (info.width, info.height))
        else ""
    )
    width, height = info.upright
    return f"has {name} outside its {width} x {height} pixels, {corners}{turned}"


def _fits(box: Box, size: tuple[int, int]) -> bool:
    return min(box.xmin, box.ymin) >= -SLACK and box.xmax <= size[0] + SLACK and box.ymax <= size[1] + SLACK


def _look_at_mask(sample: Sample, info: imaging.ImageInfo, dataset: Dataset) -> _Look:
    """Whether the mask is one, as large as its picture, and of known classes."""
    assert sample.mask is not None
    drawn = type(sample.mask) is not Blob  # of regions that stand in a file with those of other pictures
    where = sample.source if drawn else _place(sample.mask, dataset.root)
    try:
        ids = imaging.decode_mask(sample.mask.read(), sample.mask_values)
    except OSError as error:
        return _Look([Problem(where, f"cannot be read ({error.strerror})", "copy it again or mend its permissions")])
    except ImageError as error:
        return _Look([Problem(where, error.what, error.hint)])
    if what := of_another_size(ids, info):
        return _Look([Problem(where, what, HINT_SIZE)])
    counts = np.bincount(ids.ravel(), minlength=256)
    known = len(dataset.class_names)
    if strange := [value for value in range(known, IGNORED) if counts[value]]:
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        values = ", ".join(map(str, strange[:3])) + more
        what = f"has the class id {values}, with {known} classes they run from 0 to {known - 1}"
        return _Look([Problem(where, what, "255 is for pixels to ignore; mend the mask or name the classes")])
    if counts[IGNORED] == ids.size:
        return _Look([Problem(where, "has no pixel of any class", "it teaches nothing", "note")], counts[:known])
    return _Look([], counts[:known])


def of_another_size(ids: np.ndarray, info: imaging.ImageInfo) -> str:
    """What is wrong with the size of a picture's mask (height, width), empty if nothing."""
    height, width = ids.shape
    if (width, height) == info.upright:
        return ""
    stored = ", as that is stored and not as it is shown" if (width, height) == (info.width, info.height) else ""
    return f"is {width} x {height} pixels, its picture {info.upright[0]} x {info.upright[1]}{stored}"


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
        yield f"has {info.frames} frames", "the first is used"
    if info.rotated:
        yield "is turned by its EXIF orientation", "it is used upright"
    if min(info.width, info.height) < SMALL:
        yield f"is only {info.width} x {info.height} pixels", "use a larger picture"


def _balance(dataset: Dataset) -> Iterator[Problem]:
    """Notes on classes with few pictures to train on; those with none are the format's to report."""
    if dataset.task == "segmentation":
        return
    for name, count in zip(dataset.class_names, dataset.counts("train"), strict=True):
        if 0 < count < FEW:
            yield Problem(
                "train", f"class `{name}` has only {_images(count)}", f"give each class {FEW} or more", "note"
            )
    if dataset.task == "detection":
        for split, samples in dataset.splits.items():
            if empty := sum(not sample.boxes for sample in samples):
                yield Problem(split, f"has {_images(empty)} without a box", "they teach what is background", "note")
        yield from _width(dataset)


def _width(dataset: Dataset) -> Iterator[Problem]:
    """A note on the picture with most boxes where a training job would refuse it unless told."""
    samples = [sample for found in dataset.splits.values() for sample in found]
    fullest = max(samples, key=lambda sample: label_width(sample.boxes), default=None)
    if fullest and (needed := label_width(fullest.boxes)) > LABEL_WIDTH:
        what = f"has {len(fullest.boxes)} boxes, more than any other picture"
        hint = f"a training job needs label_width {needed} or more, the default is {LABEL_WIDTH}"
        yield Problem(_where(fullest, dataset.root), what, hint, "note")


def _images(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _where(sample: Sample, root: Path) -> str:
    """The picture's path from the root, and the record that names it where that is another file."""
    if sample.image.length is not None and sample.source:
        return sample.source
    name = _place(sample.image, root)
    return name if sample.source in ("", name) else f"{name} ({sample.source})"


def _place(blob: Blob, root: Path) -> str:
    name = blob.path.relative_to(root).as_posix() if blob.path.is_relative_to(root) else str(blob.path)
    return name if blob.length is None else f"{name}@{blob.offset}"
