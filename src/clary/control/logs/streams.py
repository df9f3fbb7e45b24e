"""Log groups and streams as files, one event a line: "<milliseconds> <message>".

HOME/logs/<group>/<stream>.log    names percent-encoded; a slash in a stream's name makes a folder, in a group's none

Whoever runs a program appends with ``LogWriter`` (from any process, one writer at a time a stream); the gateway reads
with ``LogStore``. An event's place in its stream never changes, so its index is a stable token. Times never run
backwards inside a stream. An event is one line of text: line ends inside a message begin another event.
"""

from __future__ import annotations

import os
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO
from urllib.parse import quote, unquote

from clary.control.wire.errors import ServiceError
from clary.vision.base.files import PRIVATE, private_folder

__all__ = ["Event", "Group", "LogStore", "LogWriter", "Stream", "milliseconds"]

# Bytes of one event; what is longer goes on in another. CloudWatch's own limit once was 256 KiB.
MESSAGE_LIMIT = 262_144
# A page of events costs reading this many lines too many at the most; the index of a million lines takes 64 kB.
STRIDE = 256  # events between two remembered places
SUFFIX = ".log"


def milliseconds() -> int:
    """The time now in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a stream. ``index`` counts from 0, ``timestamp`` is in milliseconds since the epoch."""

    index: int
    timestamp: int
    message: str


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as DescribeLogStreams shows it; times in milliseconds, 0 where there is no event; ``size`` in bytes."""

    name: str
    created: int
    first: int
    last: int
    size: int


@dataclass(frozen=True, slots=True)
class Group:
    """A log group; ``created`` in milliseconds."""

    name: str
    created: int


class LogWriter:
    """Appends events to one stream, made if need be; every event is in the file when ``write`` returns.

    Not for several threads at once. Raises OSError where the disk refuses; what that call wrote up to there stays in
    the stream, and the writer may be used again.
    """

    def __init__(self, path: Path) -> None:
        private_folder(path.parent)
        # O_APPEND: the kernel finds the end for each write, also where another process wrote meanwhile. O_RDWR: the
        # last time is read back.
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, PRIVATE)
        self._last, torn = _tail(self._file, os.fstat(self._file).st_size)
        self._torn = torn > 0  # a writer that was killed, or a full disk, left half a line

    def write(self, *messages: str) -> None:
        """Append one event a message, all of this moment."""
        now = milliseconds()
        self.append((now, message) for message in messages)

    def append(self, events: Iterable[tuple[int, str]]) -> None:
        """Append events of given times (milliseconds). A time before the stream's last one is moved up to it."""
        lines: list[bytes] = []
        for timestamp, message in events:
            # Streams are searched by time (bisect): one line out of order would hide those around it.
            self._last = max(self._last, timestamp)
            stamp = b"%d " % self._last
            lines.extend(stamp + part + b"\n" for part in _parts(message))
        self._write(b"".join(lines))

    def _write(self, data: bytes) -> None:
        # What was cut off becomes a line of its own; else our first event would be glued to it.
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = os.write(self._file, rest)
            self._torn = rest[written - 1] != ord("\n")
            rest = rest[written:]

    def close(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class _Index:
    """Of every STRIDE-th event its byte offset and time; and how far the file was read."""

    inode: int = 0
    offsets: array[int] = field(default_factory=lambda: array("q"))
    stamps: array[int] = field(default_factory=lambda: array("q"))
    count: int = 0
    end: int = 0
    lock: Lock = field(default_factory=Lock)


class LogStore:
    """The streams under one folder, for any thread. A missing group or stream is ResourceNotFoundException."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._indices: dict[Path, _Index] = {}
        self._lock = Lock()

    def path(self, group: str, stream: str) -> Path:
        """The file of a stream, there or not."""
        folder, _, last = _encode(stream).rpartition("/")
        return self._group(group) / folder / f"{last}{SUFFIX}"

    def writer(self, group: str, stream: str) -> LogWriter:
        return LogWriter(self.path(group, stream))

    def has_group(self, group: str) -> bool:
        return self._group(group).is_dir()

    def has_stream(self, group: str, stream: str) -> bool:
        return self.path(group, stream).is_file()

    def create_group(self, group: str) -> None:
        """No error when it is there."""
        private_folder(self._group(group))

    def create_stream(self, group: str, stream: str) -> None:
        """An empty stream of a group that exists; no error when it is there. Raises ResourceNotFoundException."""
        self._existing_group(group)
        self.writer(group, stream).close()

    def groups(self) -> list[Group]:
        """All groups in name order."""
        if not self._root.is_dir():
            return []
        found = [entry for entry in os.scandir(self._root) if entry.is_dir()]
        return sorted((Group(unquote(e.name), _oldest(Path(e.path))) for e in found), key=lambda group: group.name)

    def streams(self, group: str, prefix: str = "") -> list[Stream]:
        """Streams in name order. Raises ResourceNotFoundException for a group nobody wrote to."""
        folder = self._existing_group(group)
        head, slash, _ = prefix.rpartition("/")
        start = folder / _encode(head) if head else folder
        paths = _files(start, head + slash, prefix)
        found = ((unquote(path.relative_to(folder).as_posix().removesuffix(SUFFIX)), path) for path in paths)
        return [_describe(name, path) for name, path in sorted(found) if name.startswith(prefix)]

    def count(self, group: str, stream: str) -> int:
        """Events in the stream now."""
        return self._refresh(self._existing(group, stream)).count

    def events(self, group: str, stream: str, start: int = 0, limit: int = 10_000) -> list[Event]:
        """Up to ``limit`` events from index ``start`` on."""
        path = self._existing(group, stream)
        index = self._refresh(path)
        if not 0 <= start < index.count or limit <= 0:
            return []
        return list(_read(path, index, start, min(start + limit, index.count)))

    def index_at(self, group: str, stream: str, timestamp: int) -> int:
        """Index of the first event at or after ``timestamp`` (milliseconds)."""
        path = self._existing(group, stream)
        index = self._refresh(path)
        block = max(0, bisect_left(index.stamps, timestamp) - 1)
        begin = block * STRIDE
        end = min(begin + STRIDE, index.count)
        return next((event.index for event in _read(path, index, begin, end) if event.timestamp >= timestamp), end)

    def _group(self, group: str) -> Path:
        return self._root / _part(group, group)

    def _existing_group(self, group: str) -> Path:
        folder = self._group(group)
        if not folder.is_dir():
            raise _missing("group", group)
        return folder

    def _existing(self, group: str, stream: str) -> Path:
        path = self.path(group, stream)
        if not path.is_file():
            self._existing_group(group)
            raise _missing("stream", stream)
        return path

    def _refresh(self, path: Path) -> _Index:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            with self._lock:
                index = self._indices.get(path)
                # A log may be removed and begun again under the same name, by hand or by a rotation.
                if index is None or index.inode != status.st_ino or index.end > status.st_size:
                    index = self._indices[path] = _Index(status.st_ino)  # new, or another file than before
            # Two requests may follow one stream; the file is read on by one of them.
            with index.lock:
                if index.end < status.st_size:
                    _extend(index, file)
        return index


def _extend(index: _Index, file: BinaryIO) -> None:
    """Read on from ``index.end``; a last line without its end is still being written."""
    file.seek(index.end)
    latest = index.stamps[-1] if index.stamps else 0
    for line in file:
        # Its rest comes later; an event that was given out must never change.
        if not line.endswith(b"\n"):
            return
        if index.count % STRIDE == 0:
            latest = max(latest, _stamp(line))
            index.offsets.append(index.end)
            index.stamps.append(latest)
        index.end += len(line)
        index.count += 1


def _read(path: Path, index: _Index, start: int, stop: int) -> Iterator[Event]:
    """Events start <= index < stop, all of which exist."""
    block = start // STRIDE
    if start >= stop or block >= len(index.offsets):
        return
    with path.open("rb") as file:
        file.seek(index.offsets[block])
        latest = index.stamps[block]
        for number, line in enumerate(file, block * STRIDE):
            if number >= stop:
                return
            latest = max(latest, _stamp(line))
            if number >= start:
                yield Event(number, latest, line[line.find(b" ") + 1 : -1].decode(errors="replace"))


def _stamp(line: bytes) -> int:
    """The milliseconds a line begins with; 0 when something else wrote it."""
    head = line[: max(0, line.find(b" ", 0, 20))]
    return int(head) if head.isdigit() else 0


def _parts(message: str) -> Iterator[bytes]:
    """``message`` as lines of at most MESSAGE_LIMIT bytes; characters stay whole."""
    for line in message.split("\n"):
        # A program may print bytes that were no UTF-8; Python has them as surrogates.
        data = line.encode(errors="backslashreplace")
        begin = 0
        while len(data) - begin > MESSAGE_LIMIT:
            end = begin + MESSAGE_LIMIT
            while data[end] & 0xC0 == 0x80:  # inside a character of UTF-8
                end -= 1
            yield data[begin:end]
            begin = end
        yield data[begin:]


def _describe(name: str, path: Path) -> Stream:
    status = path.stat()
    with path.open("rb") as file:
        first = _stamp(file.readline(MESSAGE_LIMIT))
        last, _ = _tail(file.fileno(), status.st_size)
    return Stream(name, first or int(status.st_mtime * 1000), first, last, status.st_size)


def _tail(descriptor: int, size: int) -> tuple[int, int]:
    """Time of the last whole event (0: none), and how many bytes of an unfinished line follow it."""
    data = b""
    # Nearly always the last event is short; else the longest one that can be.
    for reach in (4096, 2 * MESSAGE_LIMIT + 4096):
        begin = max(0, size - reach)
        data = os.pread(descriptor, size - begin, begin)
        end = data.rfind(b"\n")
        start = data.rfind(b"\n", 0, max(0, end)) + 1
        if start or not begin:
            return _stamp(data[start : end + 1]), len(data) - (end + 1)
    return 0, len(data) - (data.rfind(b"\n") + 1)


def _files(start: Path, head: str, prefix: str) -> Iterator[Path]:
    """Files of streams under ``start`` that may begin with ``prefix``, of which ``head`` led to ``start``."""
    tail = quote(prefix[len(head) :], safe="")
    if not start.is_dir():
        return
    for entry in os.scandir(start):
        if not entry.name.startswith(tail):
            continue
        path = Path(entry.path)
        if entry.is_dir():
            yield from (found for found in path.rglob(f"*{SUFFIX}") if found.is_file())
        elif path.suffix == SUFFIX:
            yield path


def _oldest(folder: Path) -> int:
    times = [entry.stat().st_mtime for entry in os.scandir(folder)]
    return int(min(times, default=folder.stat().st_mtime) * 1000)


def _encode(name: str) -> str:
    """``name`` as a relative path that stays where it is put. Raises InvalidParameterException."""
    return "/".join(_part(part, name) for part in name.split("/"))


def _part(text: str, name: str) -> str:
    """``text`` as the name of one file or folder; ``name`` is what it is a part of."""
    part = quote(text, safe="", errors="replace")
    if part in ("", ".", "..") or len(part) + len(SUFFIX) > 255:
        raise ServiceError("InvalidParameterException", f"the log name `{name}` cannot be used")
    return part


def _missing(what: str, name: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"The specified log {what} does not exist: {name}")
