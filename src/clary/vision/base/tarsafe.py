"""Opening a tar archive from a stranger: the only place that reads one.

What is promised, whatever the bytes are:

- Only regular files and folders come out. Links (hard or symbolic), devices, pipes and sparse files are refused.
- Every name lies below the folder: no absolute path, drive, backslash, ``..``, control character or bytes that are
  no UTF-8; no name twice; no file where another member needs a folder.
- No more than ``Limits`` says, judged by the headers before anything is unpacked, so a bomb costs nothing. ``extract``
  allows RATIO times the archive's own size at most. Memory stays below about a megabyte, long headers included.
- The archive is whole: gzip checksums are read to the end, and the end mark must be there.
- Owner, mode bits and times of the archive are not taken over; that a file may be run is, where it is asked for.

The first fault ends the reading with one error of the class asked for (DataError by default). ``extract`` leaves
what it wrote until then; callers unpack into a temporary folder, then rename (see ``extract``).

Archives are plain tar or tar.gz (POSIX.1-2001 pax, GNU), recognised by their first bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn

from clary.errors import CustomerError, DataError

__all__ = ["RATIO", "RATIO_FROM", "Limits", "Member", "checked_members", "extract"]

# Unpacked bytes for each packed one; weights reach 1.1, text 20, what is all zero up to 1000.
RATIO = 100
# Unpacked bytes from which the ratio counts: less cannot hurt.
RATIO_FROM = 256 << 20

_CHUNK = 1 << 18
_HEADERS = 1 << 16  # bytes of headers one member may have; more is an attack on memory or on recursion
_PADDING = 1 << 20  # bytes after the end mark; tar pads to 10 KiB
_BLOCK = 512
_NAME = 1024  # bytes of a member's whole name; below a folder of ours it must still be a path (PATH_MAX is 4096)

# What tarfile, gzip and zlib raise on damaged bytes (found by fuzzing them).
_DAMAGE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most an archive may hold: members, bytes of one file, bytes of all files (unpacked), folders in folders."""

    members: int
    file_bytes: int
    total_bytes: int
    depth: int = 16


@dataclass(frozen=True, slots=True)
class Member:
    """One checked member. ``name`` is relative, without ``.`` parts; ``size`` is in bytes, 0 for a folder;
    ``executable`` says that its owner may run it.

    Its content can be read once, and only until the next member is asked for.
    """

    name: PurePosixPath
    size: int
    is_folder: bool
    executable: bool
    _chunks: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces of at most 256 KiB. Raises the reader's error when it is damaged."""
        return self._chunks()

    def read(self) -> bytes:
        """The whole content: at most ``Limits.file_bytes``."""
        return b"".join(self._chunks())


def checked_members(
    stream: BinaryIO,
    limits: Limits,
    *,
    where: object = "archive",
    allow: Callable[[PurePosixPath], bool] | None = None,
    error: type[CustomerError] = DataError,
) -> Iterator[Member]:
    """The members of an archive in order, each checked before it is given out.

    ``where`` names the archive in messages. A member that ``allow`` says False to is refused like any other fault
    (the archive, not the member alone). The archive's root (``./``) is left out. Raises ``error``.
    """
    return _Reader(stream, limits, str(where), allow, error).members()


def extract(
    archive: Path,
    folder: Path,
    limits: Limits,
    *,
    allow: Callable[[PurePosixPath], bool] | None = None,
    error: type[CustomerError] = DataError,
    progress: Callable[[int], object] | None = None,
    executables: bool = False,
) -> list[PurePosixPath]:
    """Unpack ``archive`` below ``folder`` and return the names of the files, in the archive's order.

    ``folder`` is made when it does not exist; no file that is there is written over or through. ``progress`` is
    called with the bytes written since it was last called. On any error the folder holds what came before it:
    give a temporary sibling of the final place, and rename it when this returns. What unpacks to more than RATIO times
    its own size is refused, from RATIO_FROM bytes on. With ``executables`` programs stay such; no other right is kept.

    Raises ``error`` for a fault of the archive, and OSError when the archive cannot be opened or the folder cannot
    be written (disk full).
    """
    written: list[PurePosixPath] = []
    folder.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as stream:
        # Whoever unpacks: 3 MB of zeros would otherwise be 3 GB, within what a model may have.
        most = max(RATIO_FROM, RATIO * os.fstat(stream.fileno()).st_size)
        limits = replace(limits, total_bytes=min(limits.total_bytes, most))
        for member in checked_members(stream, limits, where=archive, allow=allow, error=error):
            target = folder / member.name
            if member.is_folder:
                target.mkdir(parents=True, exist_ok=True)
                continue
            # An archive need not list the folders its files lie in.
            target.parent.mkdir(parents=True, exist_ok=True)
            # x: neither over a file nor through a link that somebody put there meanwhile.
            with target.open("xb") as file:
                for chunk in member.chunks():
                    file.write(chunk)
                    if progress:
                        progress(len(chunk))
                if executables and member.executable:
                    os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) | 0o111)
            written.append(member.name)
    return written


class _Excess(Exception):
    """The archive wants more bytes read than its headers account for."""


class _Forward(io.RawIOBase):
    """A stream that only goes forward, and only as far as ``allowance`` bytes.

    tarfile reads a long name or a pax header in one piece of whatever size the archive claims, and older ones
    follow negative sizes backwards for ever; both end here.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = 0
        self.allowance = 0
        # What was read last: only a block of zeros says that an archive ended, and was not cut (see
        # ``_Reader._finish``).
        self.last = b""

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= self.allowance:
            raise _Excess
        self.last = self._stream.read(size)
        self.allowance -= len(self.last)
        self._position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise _Excess
        # By reading: compressed bytes cannot be jumped over, and what is jumped over counts like what is read.
        while (left := offset - self._position) > 0:
            if not self.read(min(left, _CHUNK)):
                break
        return self._position

    def seekable(self) -> bool:
        return True


class _Reader:
    """One pass over one archive."""

    def __init__(
        self,
        stream: BinaryIO,
        limits: Limits,
        where: str,
        allow: Callable[[PurePosixPath], bool] | None,
        error: type[CustomerError],
    ) -> None:
        self._source = _Forward(_decompressed(stream))
        self._limits = limits
        self._where = where
        self._allow = allow
        self._error = error
        self._files: set[PurePosixPath] = set()
        self._folders: set[PurePosixPath] = {PurePosixPath(".")}
        self._total = 0
        self._count = 0

    def members(self) -> Iterator[Member]:
        tar = self._open()
        while (info := self._next(tar)) is not None:
            # Before the allowance, which is worked out from a size that must have passed the limits.
            name = self._checked(info)
            content = 0 if info.isdir() else info.size
            # Content is padded to blocks; then may come pax headers or a long name, which belong to the next member.
            self._source.allowance = -(-content // _BLOCK) * _BLOCK + _HEADERS
            if name.parts:
                yield self._member(info, name, content)
        self._finish()

    def _open(self) -> tarfile.TarFile:
        self._source.allowance = _HEADERS
        try:
            # Not tarfile.open, which tries one compression after another and goes back between them.
            return tarfile.TarFile(fileobj=self._source, mode="r")
        except (*_DAMAGE, _Excess) as fault:
            self._damaged(fault, "is not a tar archive or is damaged")

    def _next(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        try:
            return tar.next()
        except (*_DAMAGE, _Excess) as fault:
            self._damaged(fault)

    def _finish(self) -> None:
        # tarfile takes a broken header in the middle for the end of the archive.
        if len(self._source.last) != _BLOCK or any(self._source.last):
            self._refuse("is damaged or cut off before its end", "copy or download it again")
        self._source.allowance = _PADDING
        try:
            # To the last byte, for gzip compares its checksum only there.
            while padding := self._source.read(min(_CHUNK, self._source.allowance)):
                if not self._source.allowance or padding.strip(b"\0"):
                    self._refuse("goes on after the end of the archive", "make it again with tar")
        except _DAMAGE as fault:
            self._damaged(fault)

    def _checked(self, info: tarfile.TarInfo) -> PurePosixPath:
        if not info.name and not info.isdir():  # the root folder has no name in archives that SageMaker's SDK repacked
            self._refuse("holds a file without a name", "make the archive with plain relative names")
        name = self._checked_name(info.name)
        if not (info.isreg() or info.isdir()) or info.issparse():
            self._refuse(f"member `{_shown(info.name)}` is {_kind(info)}", "make the archive of plain files only")
        self._check_sizes(info)
        self._check_place(name, info.isdir())
        if name.parts and self._allow is not None and not self._allow(name):
            self._refuse(f"member `{_shown(info.name)}` does not belong in this archive", "leave it out")
        return name

    def _checked_name(self, name: str) -> PurePosixPath:
        path = PurePosixPath(name)
        parts = path.parts
        # On Windows a backslash parts names and a letter with a colon is a drive; PurePosixPath sees plain names in
        # both. 255 bytes are what file systems take in a name.
        unsafe = (
            path.is_absolute()
            or ".." in parts
            or "\\" in name
            or (parts and len(parts[0]) == 2 and parts[0][1] == ":")
            or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)  # Cs: bytes that are no UTF-8
            or len(parts) > self._limits.depth
            or any(len(part.encode()) > 255 for part in parts)
            or len(name.encode()) > _NAME
        )
        if unsafe:
            self._refuse(f"member `{_shown(name)}` has an unsafe name", "make the archive with plain relative names")
        return path

    def _check_sizes(self, info: tarfile.TarInfo) -> None:
        self._count += 1
        if self._count > self._limits.members:
            self._refuse(f"holds more than {self._limits.members:,} members", "leave out what is not needed")
        # Below 0: tar's base-256 numbers have a sign.
        if not 0 <= info.size <= self._limits.file_bytes:
            limit = f"{self._limits.file_bytes:,} bytes allowed"
            self._refuse(f"member `{_shown(info.name)}` is {info.size:,} bytes, {limit}", "leave it out")
        self._total += info.size
        if self._total > self._limits.total_bytes:
            self._refuse(f"unpacks to more than {self._limits.total_bytes:,} bytes", "leave out what is not needed")

    def _check_place(self, name: PurePosixPath, is_folder: bool) -> None:
        # A member below a file: it would be written through whatever stands there.
        clash = name in self._files or any(parent in self._files for parent in name.parents)
        if clash or (not is_folder and name in self._folders):
            self._refuse(f"member `{_shown(str(name))}` is there twice", "make the archive again")
        self._folders.update(name.parents)
        (self._folders if is_folder else self._files).add(name)

    def _member(self, info: tarfile.TarInfo, name: PurePosixPath, size: int) -> Member:
        def chunks() -> Iterator[bytes]:
            # The source goes forward only: what stands there now would be another member's.
            if self._source.tell() != info.offset_data:
                raise ValueError(f"`{name}` was read before, or the next member was asked for")
            left = size
            while left:
                try:
                    chunk = self._source.read(min(left, _CHUNK))
                except (*_DAMAGE, _Excess) as fault:
                    self._damaged(fault)
                if not chunk:
                    self._refuse("is cut off before its end", "copy or download it again")
                left -= len(chunk)
                yield chunk

        return Member(name, size, info.isdir(), bool(info.mode & stat.S_IXUSR), chunks)

    def _damaged(self, fault: Exception, what: str = "is damaged or cut off before its end") -> NoReturn:
        if isinstance(fault, _Excess):
            raise self._error(
                "has a header that claims too much", where=self._where, hint="make it again with tar"
            ) from None
        raise self._error(what, where=self._where, hint="copy or download it again") from fault

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise self._error(what, where=self._where, hint=hint)


def _decompressed(stream: BinaryIO) -> BinaryIO:
    """The tar bytes. Decides by the first two bytes, so that the stream need not be able to seek."""
    buffered = io.BufferedReader(_Unowned(stream), _CHUNK)
    if buffered.peek(2)[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=buffered, mode="rb")  # type: ignore[return-value]  # it reads as one
    return buffered


class _Unowned(io.RawIOBase):
    """Bytes of a stream that stays open when this is closed: it belongs to the caller."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "a link"
    if info.issparse():
        return "a sparse file"
    return "a device or pipe" if info.isdev() else "neither a file nor a folder"


def _shown(name: str) -> str:
    """A name fit for a one-line message: no control characters, at most 80 characters."""
    text = ascii(name)[1:-1]
    return text if len(text) <= 80 else text[:77] + "..."
