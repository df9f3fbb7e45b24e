"""Walks over a folder in the order of S3: by the bytes of whole keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from clary.control.objects.moving import TEMPORARY

__all__ = ["PAST", "ListedObject", "walk"]

PAST = b"\xff"  # no UTF-8 text holds this byte: with it, a key stands behind every key that begins as it does

Marked = Callable[[bytes, os.stat_result], bool]  # whether a folder was stored as an object of its own


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object that was found, or, with ``status`` None, a common prefix."""

    key: bytes
    path: bytes
    status: os.stat_result | None


def walk(
    folder: bytes, base: bytes, marked: Marked, *, prefix: bytes = b"", after: bytes = b"", shallow: bool = False
) -> Iterator[ListedObject]:
    """Objects in ``folder``, whose keys begin with ``base``, then with ``prefix``, and stand behind ``after``.

    Symbolic links are left out, and names that are no UTF-8. ``shallow`` gives one ListedObject without status in place
    of all that a folder holds. What is removed meanwhile may be given or not.
    """
    for name, entry in _children(folder):
        key = base + name
        if not key.startswith(prefix):
            continue
        if not name.endswith(b"/"):
            if key > after and (status := _status(entry)):
                yield ListedObject(key, entry.path, status)
            continue
        if after > key and (not after.startswith(key) or after == key + PAST):
            continue  # every key in this folder comes before
        inside = _folder(entry, key, marked, after)
        if not shallow:
            yield from inside
        elif next(inside, None):
            yield ListedObject(key, entry.path, None)


def _folder(entry: os.DirEntry[bytes], key: bytes, marked: Marked, after: bytes) -> Iterator[ListedObject]:
    if key > after and (status := _status(entry)) and marked(entry.path, status):
        yield ListedObject(key, entry.path, status)
    yield from walk(entry.path, key, marked, after=after)


def _children(folder: bytes) -> list[tuple[bytes, os.DirEntry[bytes]]]:
    """Files and folders in key order: a folder counts with its slash."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            # Keys are UTF-8 in every answer; a file named otherwise could be listed but never asked for.
            if entry.name.startswith(TEMPORARY) or not _is_text(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name + b"/", entry))
            elif entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry))
    # S3 sorts whole keys by their bytes: "a-b" before "a/b" before "a0". With its slash a folder stands where its keys
    # do.
    found.sort(key=lambda pair: pair[0])
    return found


def _status(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
