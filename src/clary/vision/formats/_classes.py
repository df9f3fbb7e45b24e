"""Names of classes, and what is wrong with the classes of a set as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.types import Dataset, Problem, Sample, SplitName
from clary.vision.formats._layout import numbered_lines
from clary.vision.formats._wording import shown
from clary.vision.tasks import TASKS

__all__ = [
    "CLASS_FILE",
    "MAX_CLASSES",
    "class_problems",
    "folder_name",
    "names_up_to",
    "read_class_names",
    "readable",
    "unnamed",
    "write_class_names",
]

# A class id above is a typing error: ImageNet's whole hierarchy has 21,841.
MAX_CLASSES = 100_000
CLASS_FILE = "classes.txt"  # class names in id order, one a line, where a layout has no place of its own for them


def read_class_names(root: Path) -> tuple[tuple[str, ...] | None, list[Problem]]:
    """The names in ``classes.txt``, one a line in id order, None where there is no such file; and what is wrong."""
    path = root / CLASS_FILE
    if not os.path.lexists(path):
        return None, []
    lines, problems = numbered_lines(path, CLASS_FILE)
    names = [text.strip() for _, text in lines]
    seen: set[str] = set()
    for number, (line, _) in enumerate(lines):
        if names[number] in seen:
            problems.append(Problem(f"{CLASS_FILE}:{line}", f"names {shown(names[number])} again", "rename one"))
        seen.add(names[number])
    if len(names) > MAX_CLASSES:
        what = f"has {len(names):,} names, {MAX_CLASSES:,} are taken"
        problems.append(Problem(CLASS_FILE, what, "leave out those that are not used"))
    return tuple(names[:MAX_CLASSES]), problems


def write_class_names(root: Path, names: Sequence[str]) -> None:
    """Raises UsageError for a name that is no line by itself."""
    for name in names:
        # What reads back is stripped and split by lines; a name that would come back changed is refused now.
        if not name.strip() or not name.isprintable() or name != name.strip():
            raise UsageError(f"the class {shown(name)} cannot be a line of {CLASS_FILE}", hint="rename the class")
    (root / CLASS_FILE).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def names_up_to(count: int, names: Mapping[int, str] | Sequence[str] | None) -> tuple[str, ...]:
    """``count`` class names in id order; an id that has none, or the name of another, is called by its number.

    Each can be written anywhere: see ``readable``.
    """
    known = dict(names) if isinstance(names, Mapping) else dict(enumerate(names or ()))
    taken: set[str] = set()
    found = []
    for class_id in range(count):
        name = readable(known.get(class_id, str(class_id)))
        # Names must differ, for a manifest keeps them as labels and answers are looked up by them.
        name = name if name not in taken else str(class_id) if str(class_id) not in taken else f"{name} ({class_id})"
        taken.add(name)
        found.append(name)
    return tuple(found)


def readable(name: str) -> str:
    """``name`` as text that every file can hold.

    A folder's name is bytes, and those that are no UTF-8 come as half letters (PEP 383), which no file of text takes.
    They are nearly always of an old Windows or of an unpacked zip: Windows-1252, or Latin-1 where that has no letter.
    """
    if not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name):
        return name
    try:
        data = name.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a letter of a JSON file (\\ud83d)
        return "".join("\ufffd" if 0xD800 <= ord(letter) <= 0xDFFF else letter for letter in name)
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return "".join(letter if letter.isprintable() else "\ufffd" for letter in data.decode("latin-1"))


def unnamed(names: Sequence[str] | None, count: int, samples: Iterable[Sample]) -> list[Problem]:
    """What is wrong where ``classes.txt`` has fewer ``names`` than the records have classes, ``count``; None is no
    such file. The first record with a class beyond is named."""
    if names is None or count <= len(names):
        return []
    first = next((sample.source for sample in samples if max(sample.classes, default=-1) >= len(names)), "")
    what = f"has {len(names)} names, the records have class ids up to {count - 1}"
    hint = "add the names that are missing or mend the class id"
    return [Problem(CLASS_FILE, f"{what}, first {first}" if first else what, hint)]


def class_problems(dataset: Dataset, where: Mapping[SplitName, str]) -> list[Problem]:
    """What is wrong with a set as a whole: no pictures or boxes, one class only, a class only other splits have.

    ``where`` names the file or folder that holds each split.
    """
    train = where.get("train", "train")
    if not any(dataset.splits.values()):
        return [Problem(train, "holds no usable picture", "add pictures or mend the errors above")]
    if not dataset.splits.get("train"):
        return [Problem(train, "holds no usable picture to train on", "add pictures or mend the errors above")]
    task, problems = TASKS.get(dataset.task), []
    if fault := task.label_fault(dataset.class_names):
        problems.append(Problem(train, f"its classes {fault}", "leave some out, or put some together"))
    if reason_untrainable := task.reason_untrainable(dataset.splits, dataset.class_names, dataset.multi_label):
        what, hint = reason_untrainable
        problems.append(Problem(train, what, hint or f"add {task.targets} or mend the errors above"))
    # Boxes count by the classes of their picture; masks are not opened here, which would take minutes.
    used = {split: {c for s in samples for c in s.classes} for split, samples in dataset.splits.items()}
    single = task.uses_every_class and not dataset.multi_label
    for split, classes in used.items():
        for c in sorted(classes - used["train"]):
            what = f"class `{dataset.class_names[c]}` has no picture in {train}"
            hint = "add some to train or leave the class out"
            problems.append(Problem(where.get(split, split), what, hint, "error" if single else "note"))
    # A class without a picture in train is told once, not once for each split that has it.
    return list({problem.what: problem for problem in reversed(problems)}.values())[::-1]


def folder_name(sample: Sample, dataset: Dataset) -> str:
    """The name of the class of ``sample`` as that of a folder. Raises UsageError where it cannot be one."""
    name = dataset.class_names[sample.classes[0]]
    if not name.isprintable() or name[:1] in ("", ".") or "/" in name or "\\" in name:
        raise UsageError(f"the class {shown(name)} cannot be the name of a folder", hint="rename the class")
    return name
