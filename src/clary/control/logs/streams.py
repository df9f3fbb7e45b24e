"""Log groups and streams as files: HOME/logs/<group>/<stream>, one event a line, "<milliseconds> <message>".

Whoever runs a program appends with ``LogWriter`` (from any process, one writer a stream); the gateway reads. An event's
place in its stream never changes, so its index is a stable token. Times never run backwards inside a stream.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from clary.control.wire.errors import ServiceError

__all__ = ["Event", "LogStore", "LogWriter", "Stream", "milliseconds"]

MESSAGE_LIMIT = 262_144  # bytes of one event (CloudWatch's own limit is 256 KiB)
STRIDE = 256  # events between two remembered offsets


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
    """A stream as DescribeLogStreams shows it; times in milliseconds, 0 where there is no event."""

    name: str
    created: int
    first: int
    last: int
    size: int


class LogWriter:
    """Appends events to one stream; every event is in the file when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._last = _last_timestamp(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        _end_torn_line(path, self._file)

    def write(self, *messages: str) -> None:
        """Append one event a message. Line ends inside a message start a new event."""
        self._last = max(self._last, milliseconds())
        lines = [line for message in messages for line in message.split("\n")]
        os.write(self._file, b"".join(f"{self._last} {line}".encode()[:MESSAGE_LIMIT] + b"\n" for line in lines))

    def close(self) -> None:
        os.close(self._file)


@dataclass(slots=True)
class _Index:
    """Byte offsets of every STRIDE-th event, and how far the file was read."""

    offsets: list[int] = field(default_factory=lambda: [0])
    count: int = 0
    end: int = 0


class LogStore:
    """The streams under one folder. Names may hold slashes; a missing group or stream is ResourceNotFoundException."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._indices: dict[Path, _Index] = {}

    def path(self, group: str, stream: str) -> Path:
        """The file of a stream, there or not."""
        return self._group(group) / _safe(stream)

    def writer(self, group: str, stream: str) -> LogWriter:
        return LogWriter(self.path(group, stream))

    def streams(self, group: str, prefix: str = "") -> list[Stream]:
        """Streams in name order. Raises ResourceNotFoundException for a group nobody wrote to."""
        folder = self._group(group)
        if not folder.is_dir():
            raise _missing("group", group)
        head = prefix.rpartition("/")[0]
        start = folder / _safe(head) if head else folder
        found = (p for p in start.rglob("*") if p.is_file()) if start.is_dir() else iter(())
        named = sorted((p.relative_to(folder).as_posix(), p) for p in found)
        return [_describe(name, path) for name, path in named if name.startswith(prefix)]

    def count(self, group: str, stream: str) -> int:
        """Events in the stream now."""
        return self._refresh(self._existing(group, stream)).count

    def events(self, group: str, stream: str, start: int = 0, limit: int = 10_000) -> list[Event]:
        """Up to ``limit`` events from index ``start`` on."""
        path = self._existing(group, stream)
        index = self._refresh(path)
        if start >= index.count or limit <= 0:
            return []
        with path.open("rb") as file:
            first = start // STRIDE
            file.seek(index.offsets[first])
            return list(_read(file, first * STRIDE, start, min(start + limit, index.count)))

    def index_at(self, group: str, stream: str, timestamp: int) -> int:
        """Index of the first event at or after ``timestamp`` (milliseconds)."""
        total = self.count(group, stream)
        low, high = 0, total
        while low < high:
            middle = (low + high) // 2
            if self.events(group, stream, middle, 1)[0].timestamp < timestamp:
                low = middle + 1
            else:
                high = middle
        return low

    def _group(self, group: str) -> Path:
        return self._root / _safe(group.removeprefix("/"))

    def _existing(self, group: str, stream: str) -> Path:
        path = self.path(group, stream)
        if not path.is_file():
            raise _missing("stream", stream)
        return path

    def _refresh(self, path: Path) -> _Index:
        index = self._indices.setdefault(path, _Index())
        with path.open("rb") as file:
            file.seek(index.end)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # still being written
                index.end += len(line)
                index.count += 1
                if index.count % STRIDE == 0:
                    index.offsets.append(index.end)
        return index


def _read(file: BinaryIO, at: int, start: int, stop: int) -> Iterator[Event]:
    for number, line in enumerate(file, at):
        if number >= stop:
            return
        if number >= start:
            stamp, _, message = line.rstrip(b"\n").partition(b" ")
            yield Event(number, int(stamp), message.decode(errors="replace"))


def _describe(name: str, path: Path) -> Stream:
    status = path.stat()
    with path.open("rb") as file:
        first = file.readline().partition(b" ")[0]
    created = int(first) if first.isdigit() else int(status.st_mtime * 1000)
    return Stream(name, created, int(first or 0), _last_timestamp(path), status.st_size)


def _last_timestamp(path: Path) -> int:
    """Milliseconds of the last whole event; 0 for an empty or missing file."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - MESSAGE_LIMIT - 32))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return 0
    stamp = lines[-2].partition(b" ")[0] if len(lines) > 1 else b""
    return int(stamp) if stamp.isdigit() else 0


def _end_torn_line(path: Path, descriptor: int) -> None:
    """A writer that was killed may have left half a line."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                os.write(descriptor, b"\n")


def _safe(name: str) -> Path:
    """``name`` as a relative path that stays where it is put."""
    if not name or name.startswith("/") or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ServiceError("InvalidParameterException", f"the log name `{name}` cannot be used")
    return Path(name)


def _missing(what: str, name: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"The specified log {what} does not exist: {name}")
