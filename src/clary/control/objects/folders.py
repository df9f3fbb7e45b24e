"""Folders above objects: made for one, and gone with the last. Without recursion: a key may be 1,000 folders deep."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["files_below", "is_folder", "make_folders", "prune", "remove_empty", "status_of"]


def status_of(path: bytes | Path) -> os.stat_result | None:
    """Of the file itself, not of what a link leads to; None where there is none."""
    try:
        return os.lstat(path)
    except OSError:
        return None


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return False


def files_below(folder: Path) -> Iterator[os.DirEntry[str]]:
    """All files in a tree of folders, in no order; links are not followed."""
    folders = [str(folder)]
    while folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry


def make_folders(folder: Path, below: Path) -> None:
    """Make ``folder`` and those above it, but for ``below``.

    Raises OSError; FileNotFoundError where ``below`` is not there, or one between the two was removed meanwhile.
    """
    missing = []
    path, end = str(folder), str(below)
    while True:
        try:
            if path != end:
                os.mkdir(path)
            break
        except FileExistsError:
            if not os.path.isdir(path):
                raise
            break
        except FileNotFoundError:
            missing.append(path)
            path = os.path.dirname(path)
    for path in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(path)


def prune(folder: Path, root: Path, keep: Callable[[Path], bool] = lambda _: False) -> None:
    """Remove ``folder`` and those above it as long as they are empty and not to ``keep``; buckets of ``root`` stay."""
    with suppress(OSError):  # one that is not empty ends it
        while folder.parent != root and not keep(folder):
            folder.rmdir()
            folder = folder.parent


def remove_empty(folder: Path, discard: Callable[[os.DirEntry[str]], bool] = lambda _: False) -> None:
    """Remove a tree of folders. Raises OSError where it holds a file that is not to be discarded."""
    found = [str(folder)]
    for path in found:  # grows while it is gone through: folders before those in them
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found.append(entry.path)
                elif discard(entry):
                    os.unlink(entry)
    for path in reversed(found):
        os.rmdir(path)
