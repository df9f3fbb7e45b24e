"""Looking at every record of a data set before time is spent on training with it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from clary.errors import DataError, ImageError
from clary.vision import formats
from clary.vision.base import decoding, image_formats
from clary.vision.base.types import IGNORED, Dataset, Problem, Sample, SplitName, TaskName
from clary.vision.datasets.decoded import DecodedPictures
from clary.vision.datasets.duplicates import duplicates
from clary.vision.datasets.left_out import count_left_out, unlisted
from clary.vision.datasets.likeness import Look, alike_across_splits, look_of
from clary.vision.tasks import TASKS, Inspection
from clary.vision.tasks._base import where_of
from clary.wording import plural

__all__ = ["CheckResult", "check", "examine"]

FEW = 5  # a class with fewer pictures to train on is worth a note
UNEVEN = 50  # times as many pictures as another class has, which is worth a note
HINT_UNEVEN = "add pictures of the rare class, or judge by the numbers of each class"
# Pixels of the shorter side: the deepest map of most networks is 1/32, so one cell is left to tell classes apart by.
SMALL = 32
# Handed to the threads at a time: map() takes all its input at once, and results of a large set would queue up in
# memory.
BATCH = 64

Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """``dataset`` without the records that cannot be used, and all problems in the order of the records: first those
    of its layout, ``of_layout`` of them, whose records are in no split.

    ``pixels`` are, by split, how many pixels of the masks each class has, ``ignored`` how many none has; empty where
    there are no masks or none were opened.
    """

    dataset: Dataset
    problems: tuple[Problem, ...]
    of_layout: int = 0
    pixels: Mapping[SplitName, tuple[int, ...]] = field(default_factory=dict)
    ignored: Mapping[SplitName, int] = field(default_factory=dict)

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "error"]

    @property
    def notes(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.severity == "note"]

    @property
    def left_out(self) -> dict[str, int]:
        """Files and records that are not used, by reason."""
        return count_left_out(self.problems)

    def refuse(self, *, job: bool) -> None:
        """The one rule by which bad records end a training before its first step. Raises DataError, which names the
        first of them and counts the others.

        ``clary train`` goes on with none. A ``job`` of the platform goes on without records that its layout left out,
        and, as the original does, with those that are ``tolerated`` (a JPEG that was cut off, one picture under two
        labels); its log names them all. What no algorithm could use ends it.
        """
        found = self.errors
        if job:
            found = [one for one in self.problems[self.of_layout :] if one.severity == "error" and not one.tolerated]
        if found:
            first, others = found[0], len(found) - 1
            names_all = "the log names all" if job else f"`clary data check {self.dataset.root}`"
            more = f" ({others} more: {names_all})" if others else ""
            raise DataError(first.what + more, where=first.where, hint=first.hint)


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


def examine(
    dataset: Dataset,
    *,
    decode: bool = True,
    progress: Progress | None = None,
    pictures: DecodedPictures | None = None,
) -> CheckResult:
    """The problems of ``dataset``: those of its format, of each picture, of equal pictures, of the balance of classes.

    Every picture is decoded whole unless ``decode`` is False, which leaves its content alone. ``progress`` is called
    with 1 after each. ``pictures`` keeps what is decoded of those that are trained on. Depends on the data only, not on
    the number of processors.
    """
    samples = [sample for found in dataset.splits.values() for sample in found]
    problems = list(dataset.problems)
    inspected = _inspected(dataset, pictures or DecodedPictures({}), progress) if decode else ()
    looks = dict(zip(map(id, samples), inspected, strict=decode))
    problems += [problem for look in looks.values() for problem in look.problems]
    bad = {  # by id(): two records may be equal
        key for key, look in looks.items() if any(problem.severity == "error" for problem in look.problems)
    }
    usable = _without(dataset, bad)
    # After decoding: two damaged files of equal bytes are damaged, not the same picture.
    for problem, unusable in duplicates(usable, lambda sample: where_of(sample, dataset.root)):
        problems.append(problem)
        bad.update(id(sample) for sample in unusable)
    shapes = {key: look.look for key, look in looks.items() if look.look and key not in bad}
    problems += alike_across_splits(dataset, shapes, lambda sample: where_of(sample, dataset.root))
    # Of the whole set, not of what is usable: what is wrong with the pictures has been said.
    problems += [*unlisted(dataset), *_balance(dataset)]
    usable = _without(dataset, bad)
    pixels, ignored = _summed(usable, looks)
    if pixels:
        problems += TASKS.get(dataset.task).remarks_on_masks(usable, pixels, ignored)
    usable = replace(usable, problems=tuple(problems))
    return CheckResult(usable, tuple(problems), len(dataset.problems), pixels, ignored)


@dataclass(frozen=True, slots=True)
class _Looked(Inspection):
    """An inspection, and what the picture looks like in small."""

    look: Look | None = None


def _summed(
    dataset: Dataset, looks: Mapping[int, _Looked]
) -> tuple[dict[SplitName, tuple[int, ...]], dict[SplitName, int]]:
    """Pixels of each class in the masks of each split, and those of none; empty where no mask was opened."""
    masked = {
        split: [(look.pixels, look.ignored) for sample in samples if (look := looks.get(id(sample)))]
        for split, samples in dataset.splits.items()
    }
    if all(pixels is None for found in masked.values() for pixels, _ in found):
        return {}, {}
    counts = {
        split: np.sum([pixels for pixels, _ in found if pixels is not None] or [np.zeros(1, np.int64)], axis=0)
        for split, found in masked.items()
    }
    classes = min(len(dataset.class_names), IGNORED)
    return (
        {split: tuple(int(n) for n in np.broadcast_to(one, classes)) for split, one in counts.items()},
        {split: sum(ignored for _, ignored in found) for split, found in masked.items()},
    )


def _without(dataset: Dataset, bad: set[int]) -> Dataset:
    return dataset.with_splits(
        {split: [s for s in found if id(s) not in bad] for split, found in dataset.splits.items()}
    )


def _inspected(dataset: Dataset, pictures: DecodedPictures, progress: Progress | None) -> Iterator[_Looked]:
    each = [(sample, split) for split, found in dataset.splits.items() for sample in found]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        for start in range(0, len(each), BATCH):
            for look in threads.map(
                lambda one: _inspect(one[0], one[1], dataset, pictures), each[start : start + BATCH]
            ):
                if progress:
                    progress(1)
                yield look


def _inspect(sample: Sample, split: SplitName, dataset: Dataset, pictures: DecodedPictures) -> _Looked:
    """Open and decode one picture, and see whether what is known of it fits."""
    where = where_of(sample, dataset.root)
    try:
        data = sample.image.read()
    except OSError as error:
        what, hint = f"cannot be read ({error.strerror})", "copy it again or mend its permissions"
        return _Looked([Problem(where, what, hint, "error", 1, "cannot be read")])
    try:
        info = decoding.inspect(data)
        # Strictly, where training uses what is there of a truncated JPEG: here it is to be found. At an eighth of its
        # size that takes two thirds of the time, and all of its bytes are read; what is trained on is decoded as it
        # will be needed, and not again.
        size = pictures.size(split, SMALL)
        pixels = pictures.decode(sample.image, data, size) if size else decoding.decode(data, at_least=SMALL)
    except ImageError as error:
        return _Looked([Problem(where, error.what, error.hint, "error", 1, _reason(error), _tolerated(data))])
    remarks = [Problem(where, what, hint, "note") for what, hint in _remarks(info, sample)]
    look = TASKS.get(dataset.task).inspect(sample, info, dataset)
    return _Looked([*look.problems, *remarks], look.pixels, look.ignored, look_of(pixels))


def _tolerated(data: bytes) -> bool:
    """Whether a picture that is damaged can be used as far as it goes."""
    try:
        decoding.decode(data, at_least=SMALL, strict=False)
    except ImageError:
        return False
    return True


def _reason(error: ImageError) -> str:
    """What is wrong with a picture in words that others share: without what its decoder said, and without numbers."""
    words = re.sub(r"\s*\(.*\)|, .*|^(is|has) |\b[0-9][0-9.,]*( x [0-9]+)?", "", error.what)
    # After a number: "24 damaged or truncated", but "24 a strip of pixels" is no English.
    return re.sub(r"^an? ", "not usable, ", " ".join(words.split()))


def _remarks(info: decoding.ImageInfo, sample: Sample) -> Iterator[tuple[str, str]]:
    """What is unusual about a picture that can be used, and how it is used all the same."""
    suffixes = image_formats.SUFFIXES.get(info.format, ())
    if sample.image.length is None and sample.image.path.suffix.lower() not in suffixes:
        yield f"is a {info.format} file", f"rename it to {suffixes[0]} if that matters" if suffixes else ""
    if info.mode in ("1", "L", "LA", "I", "F") or info.mode.startswith("I;"):
        yield "is grayscale", "it is used as gray RGB"
    if info.mode == "CMYK":
        yield "is CMYK, meant for print", "it is converted to RGB without its colour profile"
    if info.bits > 8:
        yield f"has {info.bits} bits a sample", "8 are used"
    if info.frames > 1:
        more = " or more" if info.frames == decoding.MAX_FRAMES else ""
        yield f"has {info.frames} frames{more}", "the first is used"
    if info.rotated:
        yield "is turned by its EXIF orientation", "it is used upright"
    if min(info.width, info.height) < SMALL:
        yield f"is only {info.width} x {info.height} pixels", "use a larger picture"


def _balance(dataset: Dataset) -> Iterator[Problem]:
    """Notes on classes with few pictures to train on, or with many fewer than others; those with none are the format's
    to report."""
    counts = dict(zip(dataset.class_names, dataset.counts("train"), strict=True))
    for name, count in counts.items():
        if 0 < count < FEW:
            what = f"class `{name}` has only {plural(count, 'picture')}"
            yield Problem("train", what, f"give each class {FEW} or more", "note")
    if there := {name: count for name, count in counts.items() if count}:
        least, most = min(there, key=lambda name: there[name]), max(there, key=lambda name: there[name])
        if there[most] >= UNEVEN * there[least]:
            what = f"class `{most}` has {there[most] // there[least]} times as many pictures as `{least}`"
            yield Problem("train", f"{what} ({there[most]} and {there[least]})", HINT_UNEVEN, "note")
    yield from TASKS.get(dataset.task).remarks(dataset)
