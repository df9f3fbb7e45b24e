"""The lines of augmented manifests: reading them, which key is the label, where the files they name lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clary.vision.base.files import open_file
from clary.vision.base.types import Problem, TaskName
from clary.vision.formats._layout import entries, locate, numbered_lines, unsafe_path
from clary.vision.formats._manifest import LabelFormat, label_format
from clary.vision.formats._video_frames import is_video
from clary.vision.formats._wording import FAULTY, shown

__all__ = [
    "SOURCE",
    "WRITTEN",
    "Lines",
    "Resolve",
    "attribute_for",
    "attributes",
    "first_lines",
    "format_of",
    "manifests",
    "resolver",
    "task_of",
]

SOURCE = "source-ref"
WRITTEN: Mapping[TaskName, str] = {"classification": "class", "detection": "bounding-box", "segmentation": "mask-ref"}
# Lines looked at to find out what a manifest holds: sniffing must not read one of gigabytes.
_FIRST = 100
Resolve = Callable[[str], Path]


class Lines:
    """The JSON objects of a manifest with their line numbers from 1, and what could not be read."""

    def __init__(self, path: Path, where: str) -> None:
        self.where = where
        self.values: list[tuple[int, dict[str, Any]]] = []
        lines, self.problems = numbered_lines(path, where, records=True)
        for number, text in lines:
            try:
                value = json.loads(text)
            except json.JSONDecodeError as error:
                hint = "a line is one JSON object by itself"
                self._problem(f"{where}:{number}:{error.colno}", f"is not JSON ({error.msg}): {shown(text)}", hint)
                continue
            except (ValueError, RecursionError) as error:
                self._problem(f"{where}:{number}", f"is not JSON ({type(error).__name__})", "mend the line")
                continue
            if isinstance(value, dict):
                self.values.append((number, value))
            else:
                hint = "a line is one JSON object with source-ref and a label"
                self._problem(f"{where}:{number}", f"is {shown(text)}, no JSON object", hint)

    def _problem(self, where: str, what: str, hint: str) -> None:
        self.problems.append(Problem(where, what, hint, "error", 1, FAULTY))


def format_of(values: Sequence[object], lines: Sequence[dict[str, Any]], attribute: str) -> LabelFormat:
    """Ground Truth's lists are of class ids; others are as they look."""
    for line in lines[:_FIRST]:
        metadata = line.get(f"{attribute}-metadata")
        # groundtruth/image-classification-multilabel: Ground Truth writes lists of class ids, where the algorithm's own
        # default is 0 and 1 for each class.
        if isinstance(metadata, dict) and "multilabel" in str(metadata.get("type")):
            return "class-id"
    return label_format(values)


def resolver(root: Path, lines: Sequence[dict[str, Any]], attribute: str) -> Resolve:
    """Where a reference lies: leading parts of addresses are left out until some of the files are found."""
    keys = (SOURCE, attribute) if attribute.endswith("-ref") else (SOURCE,)
    skips = {
        key: _skipped(root, [line[key] for line in lines[:_FIRST] if isinstance(line.get(key), str)]) for key in keys
    }
    skip = min(skips.values())

    def resolve(reference: str) -> Path:
        if reference.startswith("s3://"):
            parts = reference.removeprefix("s3://").split("/")
            reference = "/".join(parts[min(skip, len(parts) - 1) :])
        return locate(root, reference) or root / reference

    return resolve


def _skipped(root: Path, references: Sequence[str]) -> int:
    addresses = [text.removeprefix("s3://").split("/") for text in references if text.startswith("s3://")]
    # 20: each may be tried at each depth, and a file system far away answers slowly.
    safe = [parts for parts in addresses if not unsafe_path("/".join(parts))][:20]
    for skip in range(max((len(parts) for parts in safe), default=0)):
        if any(locate(root, "/".join(parts[skip:])) for parts in safe if len(parts) > skip):
            return skip
    return 1


def manifests(root: Path) -> list[Path]:
    return [path for path in entries(root) if path.suffix.lower() in (".manifest", ".jsonl") and path.is_file()]


def first_lines(root: Path) -> list[dict[str, Any]]:
    """The first objects of the manifests at ``root``."""
    found: list[dict[str, Any]] = []
    for path in manifests(root):
        try:
            with open_file(path) as file:
                # A megabyte a line at most: what is no manifest may have no line end at all.
                head = [file.readline(1 << 20) for _ in range(_FIRST)]
        except OSError:
            continue
        for line in head:
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)
    return found


def attributes(lines: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """The keys that may be labels, most frequent first: neither the picture nor metadata."""
    counts: dict[str, int] = {}
    for line in lines:
        for key, value in line.items():
            # `source` is the text itself where there is no file, as in manifests of text; `-metadata` belongs to its
            # label.
            if key not in (SOURCE, "source") and not key.endswith("-metadata") and value is not None:
                counts[key] = counts.get(key, 0) + 1
    # Stable: keys that are as frequent stay in the order in which lines have them.
    return tuple(sorted(counts, key=lambda key: -counts[key]))


def attribute_for(lines: Sequence[dict[str, Any]], labels: str | None, task: TaskName) -> str:
    """The key to read: the one asked for if it holds data for the task, else the first that does."""
    names = [name for name in (labels, *attributes(lines)) if name]
    return next((name for name in names if task_of(lines, name) == task), labels or WRITTEN[task])


def task_of(lines: Sequence[dict[str, Any]], name: str) -> TaskName:
    if name.endswith("-ref"):
        return "detection" if any(is_video(line, name) for line in lines) else "segmentation"
    value = next((line[name] for line in lines if line.get(name) is not None), None)
    return "detection" if isinstance(value, dict) else "classification"
