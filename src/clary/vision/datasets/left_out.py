"""What of a data set's files and records is not used: counted by reason, and found where no list names it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from clary.vision.base.image_formats import is_image
from clary.vision.base.types import Dataset, Problem
from clary.vision.formats import FORMATS
from clary.vision.formats._layout import walk
from clary.vision.formats._wording import HINT_UNLISTED, UNLISTED, counted, relative, several

__all__ = ["by_reason", "count_left_out", "say_left_out", "summed_up", "unlisted"]


def count_left_out(problems: Iterable[Problem]) -> dict[str, int]:
    """Files and records that are not used, by reason, the most frequent first."""
    counts: Counter[str] = Counter()
    for problem in problems:
        if problem.left_out:
            counts[problem.reason] += problem.left_out
    return dict(counts.most_common())


def say_left_out(counts: Mapping[str, int]) -> str:
    """``left out: 5 files or records (3 hidden or no picture, 2 in no list)``."""
    total = sum(counts.values())
    return f"left out: {total} {'file or record' if total == 1 else 'files or records'} ({by_reason(counts)})"


def by_reason(counts: Mapping[str, int]) -> str:
    """``3 hidden or no picture, 2 in no list``."""
    return ", ".join(f"{count} {reason}" for reason, count in counts.items())


def summed_up(problems: Iterable[Problem], most: int = 12) -> list[str]:
    """What is worth knowing, a line for each kind of note: the first of it, and how many more there are. Files that are
    left out are counted elsewhere. Of more than ``most`` kinds the last line counts the rest."""
    first: dict[str, Problem] = {}
    counts: Counter[str] = Counter()
    for problem in problems:
        if problem.severity == "note" and not problem.left_out:
            first.setdefault(problem.what, problem)
            counts[problem.what] += 1
    lines = [f"{one} ({counts[what] - 1} more)" if counts[what] > 1 else str(one) for what, one in first.items()]
    return [*lines[:most], *([f"{len(lines) - most} more kinds of notes"] if len(lines) > most else [])]


def unlisted(dataset: Dataset) -> list[Problem]:
    """A note on pictures that lie among those in use and stand in no list; none for layouts without lists.

    Looked through are the folders right below the root that hold a picture in use, with all below them; of the root
    itself only what lies in it.
    """
    format = FORMATS.find(dataset.format)
    if format is None or not format.lists_images:
        return []
    samples = [sample for found in dataset.splits.values() for sample in found]
    used = {blob.path for sample in samples for blob in (sample.image, sample.mask) if blob is not None}
    inside = [path.relative_to(dataset.root).parts for path in used if path.is_relative_to(dataset.root)]
    # What a problem of its own tells of already: the line that names it is faulty.
    told = {word for problem in dataset.problems if problem.left_out for word in re.split(r"[`\s,/]+", problem.what)}
    idle: list[Path] = []
    for folder in sorted({dataset.root / parts[0] if len(parts) > 1 else dataset.root for parts in inside}):
        files = folder.iterdir() if folder == dataset.root else walk(folder)
        # A system's shadow of a picture (`._a.jpg`) is none.
        images = (path for path in files if is_image(path) and not path.name.startswith("."))
        idle += sorted(path for path in images if path not in used and path.name not in told)
    if not idle:
        return []
    names = several(relative(path, dataset.root) for path in idle)
    what = f"has {counted(idle, 'picture')} in no list, left out: {names}"
    return [Problem(relative(dataset.root, dataset.root), what, HINT_UNLISTED, "note", len(idle), UNLISTED)]
