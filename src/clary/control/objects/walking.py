"""Walks over folders in the order of S3: by the bytes of whole keys."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter, itemgetter

from clary.control.objects.key_encoding import ENCODED, decoded
from clary.control.objects.moving import TEMPORARY

__all__ = ["PAST", "ListedObject", "encoded_children", "merged", "plain_children", "walk"]

PAST = b"\xff"  # no UTF-8 text holds this byte: with it, a key stands behind every key that begins as it does

Entry = os.DirEntry[bytes]
# Of a folder, in key order: what an entry adds to the key (of a folder with its slash), and whether it is one.
Children = Callable[[bytes], list[tuple[bytes, bool, Entry]]]
Marked = Callable[[bytes], bool]  # whether a folder was stored as an object of its own


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object that was found, or, with ``status`` None, a common prefix."""

    key: bytes
    path: bytes
    status: os.stat_result | None


def walk(
    folder: bytes,
    base: bytes,
    children: Children,
    marked: Marked,
    *,
    prefix: bytes = b"",
    after: bytes = b"",
    shallow: bool = False,
) -> Iterator[ListedObject]:
    """Objects in ``folder``, whose keys begin with ``base``, then with ``prefix``, and stand behind ``after``.

    Symbolic links are left out. ``shallow`` gives one ListedObject without status in place of all that a folder holds.
    What is removed meanwhile may be given or not.
    """
    # A stack and no recursion: a key may be a thousand folders deep.
    stack = [(base, iter(children(folder)))]
    last = b""
    while stack:
        above, found = stack[-1]
        for piece, is_folder, entry in found:
            key = above + piece
            if not is_folder:
                # A disk may give a name twice when it is replaced while its folder is read (Btrfs).
                if key == last:
                    continue
                last = key
                if key > after and key.startswith(prefix) and (status := _status(entry)):
                    yield ListedObject(key, entry.path, status)
                continue
            # In a folder of encoded keys a piece may end before the prefix does.
            if not key.startswith(prefix) and not prefix.startswith(key):
                continue
            if after > key and (not after.startswith(key) or after == key + PAST):
                continue  # every key in this folder comes before
            marker = _marker(entry, key, marked) if key > after and key.startswith(prefix) else None
            if shallow and key.endswith(b"/"):
                if marker or next(walk(entry.path, key, children, marked, after=after), None):
                    yield ListedObject(key, entry.path, None)
                continue
            if marker:
                yield marker
            stack.append((key, iter(children(entry.path))))
            break
        else:
            stack.pop()


def merged(plain: Iterator[ListedObject], encoded: Iterator[ListedObject]) -> Iterator[ListedObject]:
    """Both in one order; of a key that both have, the plain one."""
    last = None
    for entry in heapq.merge(plain, encoded, key=attrgetter("key")):  # stable: the plain one comes first
        if entry.key != last:
            last = entry.key
            yield entry


def plain_children(folder: bytes) -> list[tuple[bytes, bool, Entry]]:
    """Of a folder whose names are parts of keys. Names that are no UTF-8 are left out, and those of our own."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            # Keys are UTF-8 in every answer; a file named otherwise could be listed but never asked for.
            name = entry.name
            if name.startswith(TEMPORARY) or name == _ENCODED or not _is_text(name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((name + b"/", True, entry))
            elif entry.is_file(follow_symlinks=False):
                found.append((name, False, entry))
    # S3 sorts whole keys by their bytes: "a-b" before "a/b" before "a0". With its slash a folder stands where its keys
    # do.
    found.sort(key=itemgetter(0))
    return found


def encoded_children(folder: bytes) -> list[tuple[bytes, bool, Entry]]:
    """Of a folder of encoded keys (``key_encoding``)."""
    found = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            piece = decoded(os.fsdecode(entry.name), is_folder=is_folder)
            if piece is not None and (is_folder or entry.is_file(follow_symlinks=False)):
                found.append((piece, is_folder, entry))
    # A file whose part of the key ends where another goes on in a folder comes before it.
    found.sort(key=itemgetter(0, 1))
    return found


_ENCODED = ENCODED.encode()


def _marker(entry: Entry, key: bytes, marked: Marked) -> ListedObject | None:
    status = _status(entry)
    return ListedObject(key, entry.path, status) if status and marked(entry.path) else None


def _status(entry: Entry) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
