"""Decoded pictures on disk, for later trainings on the same pictures: of other runs, jobs and users' trials.

``~/.cache/clary/pictures`` (``CLARY_PICTURES`` names another folder, or is "off") holds a file for each: what it was
made of is its name, so nothing in it is ever out of date, and two processes that write the same one write the same
bytes. Only this user may look into it; nothing in it is needed. Files of any other name are somebody's own, for whom
the variable has named a folder of theirs, and stay.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import PIL
import simplejpeg

from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.files import PRIVATE, private_folder

__all__ = ["LIMIT", "PictureStore", "folder"]

LIMIT = 2 << 30  # bytes of all files together; chosen: 8,000 photographs for a classifier
ROOM = 1 << 30  # bytes of the disk that are left to others
LOOKS = 8  # at how much there is, while as much as the limit is written: several processes may write
DEAD = 600.0  # seconds after which a temporary file is a killed process's

# Nothing behind a link, and no waiting for the other end of a pipe; binary, where text is another thing.
_READ = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
_MAGIC = b"clary px"
_HEAD = struct.Struct("<8sIII")  # magic, height, width, CRC-32 of these and the pixels: a crash may leave zeros
_NAME = re.compile(r"[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]{8}")
# What the same bytes may decode to other pixels with. The machine is among it: a home may be on several.
_MADE_WITH = f"2 {simplejpeg.__version__} {cv2.__version__} {PIL.__version__} {np.__version__} {platform.node()}"


def folder() -> Path | None:
    """The folder: ``CLARY_PICTURES``, else ``~/.cache/clary/pictures``; None where it is "off"."""
    named = os.environ.get("CLARY_PICTURES")
    if named == "off":
        return None
    return Path(named) if named else Path.home() / ".cache" / "clary" / "pictures"


class PictureStore:
    """Decoded pictures in ``folder``, ``limit`` bytes at most, of which those used longest ago go first.

    Safe under other processes and kills: a file appears whole, and one that is not what it was is none. No call
    raises: what cannot be read is decoded, what cannot be written is not kept.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = Lock()
        self._since = time.time()
        self._room = 0  # bytes that may be written before the next look
        self._open = True

    @classmethod
    def usual(cls) -> PictureStore | None:
        """The one of this user; None where it is off, or its folder is not this user's own."""
        # No home, or one of nobody's.
        with suppress(OSError, RuntimeError):
            if (place := folder()) is not None:
                private_folder(place)
                found = place.lstat()
                # A link would lead to where others write, and whoever may write there would choose what is learned.
                if stat.S_ISDIR(found.st_mode) and (os.name != "posix" or _is_own(found)):
                    return cls(place)
        return None

    def get(self, data: bytes, size: DecodedSize) -> np.ndarray | None:
        """The pixels uint8 (height, width, 3) that a file's bytes are at ``size``; None where they are not kept."""
        path = self._path(data, size)
        try:
            descriptor = os.open(path, _READ)
        except OSError:
            return None
        with suppress(OSError), FileIO(descriptor) as file:
            pixels = _read(file)
            if pixels is not None:
                # When it was used last: file systems seldom keep that themselves (noatime). Not where nothing can be
                # written, or another process has just made room of it.
                with suppress(OSError):
                    os.utime(path)
            return pixels
        return None

    def put(self, data: bytes, size: DecodedSize, pixels: np.ndarray) -> None:
        """Keep pixels, where there is room."""
        if not self._take(_HEAD.size + pixels.nbytes):
            return
        path = self._path(data, size)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with open(os.open(temporary, flags, PRIVATE), "wb", buffering=0) as file:
                plain = np.ascontiguousarray(pixels)
                file.write(_HEAD.pack(_MAGIC, *plain.shape[:2], _checksum(plain)))
                file.write(plain.data)
            # Not synced: what a crash leaves of it has another checksum.
            os.replace(temporary, path)
        # A full disk, most of all: it is not tried again.
        except OSError:
            self._open = False
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _path(self, data: bytes, size: DecodedSize) -> Path:
        # By content, not by name and time: jobs reach the same picture by other names and links.
        made = hashlib.sha256(data)
        made.update(f"{_MADE_WITH} {size.at_least} {size.resize}".encode())
        return self._folder / made.hexdigest()

    def _take(self, size: int) -> bool:
        """Whether so many bytes may be written."""
        with self._lock:
            if self._open and size > self._room:
                self._look()
            if not self._open or size > self._room:
                return False
            self._room -= size
            return True

    def _look(self) -> None:
        """See how much there is, and make room of what was not used since this was made."""
        try:
            found = sorted(self._files())
            used = sum(size for _, size, _ in found)
            step = self._limit // LOOKS
            for when, size, path in found:
                # Twice: else every look would find as much as the last.
                if used + 2 * step <= self._limit or when >= self._since:
                    break
                with suppress(FileNotFoundError):
                    os.unlink(path)
                used -= size
            self._room = min(step, self._limit - used, shutil.disk_usage(self._folder).free - ROOM)
            self._open = self._room > 0
        # The folder has gone, or may be read only: not looked at for each picture again.
        except OSError:
            self._room, self._open = 0, False

    def _files(self) -> Iterator[tuple[float, int, str]]:
        """When each was used last, its bytes, its path. What killed processes left goes."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if not stat.S_ISREG(found.st_mode):
                        continue
                    if _TEMPORARY.fullmatch(entry.name) and found.st_mtime < time.time() - DEAD:
                        os.unlink(entry.path)
                    elif _NAME.fullmatch(entry.name):
                        yield found.st_mtime, found.st_size, entry.path


def _read(file: FileIO) -> np.ndarray | None:
    """The picture in a file; None for anything else."""
    found, head = os.fstat(file.fileno()), file.read(_HEAD.size)
    if not stat.S_ISREG(found.st_mode) or len(head) < _HEAD.size:
        return None
    magic, height, width, checksum = _HEAD.unpack(head)
    if magic != _MAGIC or found.st_size != _HEAD.size + height * width * 3:
        return None
    pixels = np.empty((height, width, 3), np.uint8)
    file.readinto(pixels.data)
    return pixels if _checksum(pixels) == checksum else None


def _checksum(pixels: np.ndarray) -> int:
    """Of pixels uint8 (height, width, 3) and of their shape."""
    return zlib.crc32(pixels.data, zlib.crc32(repr(pixels.shape[:2]).encode()))


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o022
