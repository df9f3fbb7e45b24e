"""Metadata in files beside objects: for what no extended attribute holds.

A sidecar is named after the size and the time of the file it belongs to, so it can be there before its object gets its
name, and a reader of either version finds its own: killed between the two, neither is without. What lies in a bucket
has its sidecars below the bucket's ``.clary-keys``, where the encoded object is or would be; what is on its way has it
beside itself.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from clary.control.objects.folders import files_below, is_folder, make_folders, prune
from clary.control.objects.key_encoding import ENCODED, decoded, encoded_names
from clary.control.objects.key_names import plain_parts
from clary.control.objects.moving import TEMPORARY

__all__ = ["Sidecars", "is_sidecar"]

MARK = "!"  # in no name that is a key
_STAGED = ".metadata-"
_BUCKET = f"{MARK}bucket"


class Sidecars:
    """Of the files and buckets below ``root``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._above = os.path.join(root, "")
        self._staging = f"{self._above}."  # with it begins what is on its way, and no bucket

    def is_staged(self, file: str | bytes | Path) -> bool:
        return os.fsdecode(file).startswith(self._staging)

    def may_be(self, file: str | bytes | Path) -> bool:
        """Whether there may be one: in nearly every bucket there is none, and lists ask a thousand times."""
        text = os.fsdecode(file)
        # The folder of a mapped bucket is elsewhere, and nothing is ever written there.
        if not text.startswith(self._above):
            return False
        bucket = text[len(self._above) :].partition(os.sep)[0]
        return self.is_staged(text) or is_folder(f"{self._above}{bucket}/{ENCODED}")

    def staged(self, file: str | Path) -> str:
        """Where that of a file on its way is."""
        folder, _, name = str(file).rpartition(os.sep)
        return f"{folder}{os.sep}{_STAGED}{name}"

    def path(self, file: str | bytes | Path, status: os.stat_result) -> Path:
        """Where the sidecar of ``file``, in the state ``status``, is or would be."""
        text = os.fsdecode(file)
        if self.is_staged(text):
            return Path(self.staged(text))
        bucket, _, name = text[len(self._above) :].partition(os.sep)
        version = f"{MARK}{status.st_size:x}-{status.st_mtime_ns:x}"
        if not name:
            return Path(f"{text}/{ENCODED}/{_BUCKET}")
        if name.startswith(ENCODED + os.sep):
            return Path(text + version)
        encoded = "/".join(encoded_names(os.fsencode(name)))
        return Path(f"{self._above}{bucket}/{ENCODED}/{encoded}{version}")

    def _bucket(self, path: Path) -> Path:
        return self._root / path.relative_to(self._root).parts[0]

    def write(self, file: str | bytes | Path, status: os.stat_result, record: bytes) -> None:
        """Keep ``record``, at once or not at all. Raises OSError."""
        path = self.path(file, status)
        hidden = path.with_name(f"{TEMPORARY.decode()}{uuid.uuid4().hex}")
        try:
            while True:
                make_folders(path.parent, below=self._bucket(path))
                try:
                    hidden.write_bytes(record)
                    os.replace(hidden, path)
                    return
                except FileNotFoundError:  # the folder went with a neighbour that was deleted
                    continue
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                hidden.unlink()

    def read(self, file: str | bytes | Path, status: os.stat_result) -> bytes | None:
        """The record; None where there is none."""
        if not self.may_be(file):
            return None
        try:
            return self.path(file, status).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remove(self, file: str | bytes | Path, status: os.stat_result) -> None:
        """Remove the sidecar, if there is one, and the folders that only held it."""
        path = self.path(file, status)
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            if not self.is_staged(file):
                prune(path.parent, self._root)

    def unused(self, bucket: Path) -> Iterator[Path]:
        """Those below a bucket's folder whose object is gone, or another by now."""
        top = bucket / ENCODED
        for entry in files_below(top):
            name, mark, _ = entry.name.partition(MARK)
            path = Path(entry.path)
            if mark and name and not any(self._is_of(path, file) for file in _owners(path.with_name(name), top)):
                yield path

    def _is_of(self, sidecar: Path, file: Path) -> bool:
        try:
            return self.path(file, file.lstat()) == sidecar
        except (OSError, ValueError):
            return False


def is_sidecar(name: str) -> bool:
    return MARK in name


def _owners(encoded: Path, top: Path) -> Iterator[Path]:
    """The two files that a key may have."""
    yield encoded
    *folders, last = encoded.relative_to(top).parts
    pieces = [*(decoded(name, is_folder=True) for name in folders), decoded(last, is_folder=False)]
    key = b"".join(filter(None, pieces)).decode(errors="surrogateescape")
    if None not in pieces and plain_parts(key):
        yield top.parent / key
