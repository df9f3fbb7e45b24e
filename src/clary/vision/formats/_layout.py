"""How data sets lie on disk: splits by name, pairs of folders, lists and their lines."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from clary.vision.base.files import read_file
from clary.vision.base.types import Problem, SplitName
from clary.vision.formats._wording import FAULTY

__all__ = [
    "SPLITS",
    "SPLIT_ORDER",
    "by_stem",
    "entries",
    "holds_lists",
    "in_order",
    "lists_by_split",
    "locate",
    "nfc",
    "numbered_lines",
    "paired_folders",
    "unsafe_path",
    "walk",
]

T = TypeVar("T")

# How splits are called in names of files and folders.
SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
SPLIT_ORDER: tuple[SplitName, ...] = ("train", "validation", "test")


def numbered_lines(path: Path, where: str, *, records: bool = False) -> tuple[list[tuple[int, str]], list[Problem]]:
    """The lines of a text file with their 1-based numbers, blank ones left out, and what could not be read.

    With ``records`` each line is a record, and one that cannot be read counts as left out.
    """
    try:
        data = read_file(path)
    except OSError as error:
        return [], [Problem(where, f"cannot be read ({error.strerror})", "put it back or mend its permissions")]
    lines: list[tuple[int, str]] = []
    problems: list[Problem] = []
    # Spreadsheets put a byte order mark before UTF-8. Split by \n alone: splitlines() would also end lines at form
    # feeds and U+2028, which names may hold, and the numbers of lines would not be an editor's.
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            # Line by line, so that one in another encoding does not cost the whole list.
            text = raw.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            what = f"is no UTF-8 text ({error.reason})"
            left_out = (1, FAULTY) if records else (0, "")
            problems.append(Problem(f"{where}:{number}", what, "save it as UTF-8", "error", *left_out))
            continue
        if text.strip():
            lines.append((number, text))
    return lines, problems


def lists_by_split(paths: Sequence[Path], suffix: str) -> tuple[dict[SplitName, Path], list[Problem]]:
    """Which file is which split by the end of its name (``pets_train.lst``), in order; others are left out."""
    found: dict[SplitName, Path] = {}
    problems: list[Problem] = []
    for path in paths:
        # The last word: pets_train.lst is train, train_pets2.lst is not.
        ending = re.split(r"[^a-z]", path.stem.lower())[-1]
        split: SplitName | None = SPLITS.get(ending) or ("train" if len(paths) == 1 else None)
        if split is None:
            hint = f"call it train{suffix}, validation{suffix} or test{suffix}"
            problems.append(Problem(path.name, "is left out, its name says no split", hint, "note"))
        elif split in found:
            what = f"is left out, {found[split].name} is the {split} list already"
            problems.append(Problem(path.name, what, "put the two together"))
        else:
            found[split] = path
    return in_order(found), problems


def in_order(splits: Mapping[SplitName, T]) -> dict[SplitName, T]:
    """``splits`` with train first, then validation, then test."""
    return {split: splits[split] for split in SPLIT_ORDER if split in splits}


def holds_lists(root: Path) -> bool:
    """Whether a folder holds files that say by themselves what pictures show: lists, manifests, packed records."""
    return any(path.suffix.lower() in (".lst", ".rec", ".manifest", ".jsonl") for path in entries(root))


def paired_folders(root: Path, first: str, second: str) -> dict[SplitName, tuple[Path, Path]]:
    """Two folders of each split: ``first/train`` and ``second/train``, ``train/first`` and ``train/second``, or,
    without splits, ``first`` and ``second``, which are then train. Empty where there are none."""
    if (root / first).is_dir() and (root / second).is_dir():
        inner = [folder for folder in entries(root / first) if folder.is_dir() and folder.name.lower() in SPLITS]
        if not inner:
            return {"train": (root / first, root / second)}
        return in_order({SPLITS[f.name.lower()]: (f, root / second / f.name) for f in inner})
    outer = [folder for folder in entries(root) if folder.name.lower() in SPLITS]
    found = {SPLITS[f.name.lower()]: (f / first, f / second) for f in outer}
    return in_order({split: pair for split, pair in found.items() if pair[0].is_dir() and pair[1].is_dir()})


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, hidden things left out; nothing where it is missing or closed."""
    # os.walk passes over what it may not read, where iterdir() raises; sniffing must never do that.
    path, folders, files = next(os.walk(folder), (str(folder), [], []))
    return sorted(Path(path) / name for name in folders + files if not name.startswith("."))


def walk(folder: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """All files below ``folder``; neither hidden folders nor links to folders are entered."""
    for path, folders, files in os.walk(folder, onerror=onerror):
        # In place: os.walk goes on with what is left in this list. .git and .ipynb_checkpoints hold copies.
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(path) / name for name in files)


def by_stem(folder: Path, wanted: Callable[[Path], bool]) -> dict[str, Path]:
    """The files in a folder by name without suffix (NFC), hidden ones left out; of two with one stem the first by
    name. Empty where there is no such folder."""
    # Backwards, so that of two with one stem the first by name stays.
    return {nfc(path.stem): path for path in reversed(entries(folder)) if wanted(path)}


def nfc(name: str) -> str:
    """A name in the form in which names are compared: macOS writes an accent apart from its letter, most editors do
    not. Source: Unicode Standard Annex 15."""
    return unicodedata.normalize("NFC", name)


def locate(folder: Path, name: str) -> Path | None:
    """The file below ``folder`` that a list calls ``name``, in whichever form its accents are written on the disk
    (``nfc``); None where there is no regular file."""
    forms = (name,) if name.isascii() else (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    return next((folder / form for form in forms if os.path.isfile(folder / form)), None)


def unsafe_path(path: str) -> bool:
    """Whether a path out of a file leaves the folder it starts at, or is none."""
    # Both separators and drives, on any system: a list written on Windows is read elsewhere, and the other way round.
    parts = re.split(r"[/\\]", path)
    return not path.strip() or ".." in parts or not parts[0] or bool(re.match(r"[A-Za-z]:", path)) or "\0" in path
