"""RecordIO: a plain concatenation of records, as MXNet and SageMaker have it. All integers are little-endian.

    offset  size     field
    0       4        magic 0xced7230a
    4       4        upper 3 bits: 0 whole record, 1 first, 2 middle, 3 last part; lower 29 bits: length in bytes
    8       length   payload
            0..3     zeros up to the next multiple of 4

Where the magic stands in a payload at an offset divisible by 4, the payload is cut there, and those four bytes are
left out of the file; so the magic at such an offset always begins a record or a part, and reading can go on after
damage. An image record is a payload of a 24-byte header, labels, and the bytes of a picture file.
Source: dmlc-core recordio.h; MXNet image_recordio.h and recordio.py.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clary.errors import DataError
from clary.vision.base.files import open_file
from clary.vision.base.types import Blob

__all__ = [
    "LIMIT",
    "MAGIC",
    "Fault",
    "ImageRecord",
    "Span",
    "frame",
    "labels_of",
    "pack",
    "read_records",
    "scan",
    "unpack",
    "write_record",
]

MAGIC = b"\x0a\x23\xd7\xce"
LIMIT = 1 << 29  # a payload must be shorter, in bytes
MAX_LABELS = 1_000_000  # of a record: a hundred thousand boxes, or as many classes as there may be

_PART = struct.Struct("<4sI")
_IMAGE = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_LENGTH = LIMIT - 1  # the lower 29 bits


@dataclass(frozen=True, slots=True)
class Span:
    """Where a record lies in its file: ``offset`` of its magic, and the (offset, length) pieces of its payload.

    A payload that was cut has several pieces. All but the last end with the magic of the next part, which is what
    was left out between them: the pieces joined are the payload.
    """

    offset: int
    pieces: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Bytes of the payload."""
        return sum(length for _, length in self.pieces)

    def blob(self, path: Path, skip: int = 0) -> Blob:
        """The payload from byte ``skip`` on, where it lies."""
        pieces = self.pieces
        if len(pieces) == 1:
            return Blob(path, pieces[0][0] + skip, pieces[0][1] - skip)
        while skip > 0 and len(pieces) > 1 and skip >= pieces[0][1]:
            skip, pieces = skip - pieces[0][1], pieces[1:]
        (offset, length), *rest = pieces
        return Blob(path, offset + skip, length - skip, tuple(rest))


@dataclass(frozen=True, slots=True)
class Fault:
    """Bytes that are no record: 0-based ``number`` of the record expected, its ``offset`` in bytes, what is wrong."""

    number: int
    offset: int
    what: str

    def __str__(self) -> str:
        return f"record {self.number} at byte {self.offset} {self.what}"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The payload of an image record: its labels, the id of the list it came from, the bytes of a picture file.

    ``vector`` tells one label written as a vector of one (flag 1) from one in the header (flag 0).
    """

    labels: tuple[float, ...]
    id: int
    image: bytes
    id2: int = 0
    vector: bool = False


def frame(payload: bytes) -> bytes:
    """``payload`` as it stands in a file. Raises DataError for one of LIMIT bytes or more."""
    # Of the 32 bits of the length three are the flag.
    if len(payload) >= LIMIT:
        raise DataError(f"a record of {len(payload):,} bytes is too long", hint=f"RecordIO takes fewer than {LIMIT:,}")
    # Six pictures of 100 kB in a million hold the magic at such an offset: rare enough to ask first, and too many in a
    # large set to leave out.
    parts = _cut(payload) if MAGIC in payload else [payload]
    framed = []
    for number, part in enumerate(parts):
        flag = _WHOLE if len(parts) == 1 else _FIRST if number == 0 else _LAST if number == len(parts) - 1 else _MIDDLE
        framed += [_PART.pack(MAGIC, flag << 29 | len(part)), part, b"\0" * (-len(part) % 4)]
    return b"".join(framed)


def write_record(stream: BinaryIO, payload: bytes) -> int:
    """Write one record; return how many bytes it took."""
    framed = frame(payload)
    stream.write(framed)
    return len(framed)


def read_records(stream: BinaryIO, where: object = "") -> Iterator[bytes]:
    """The payloads of a stream that only goes forward (a file, a socket, a FIFO), in order.

    Raises DataError, naming record and byte, where the bytes are no record; what came before has been given out.
    """
    position = number = 0
    parts: list[bytes] | None = None
    while header := _exactly(stream, 8):
        start = position
        flag, length = _header(header, number, start, parts is not None, where)
        padded = length + -length % 4
        data = _exactly(stream, padded)
        if len(data) < padded:
            raise _error(Fault(number, start, f"is cut off: {len(data)} of {padded} bytes are there"), where)
        position += 8 + padded
        part = data[:length]
        if flag in (_WHOLE, _FIRST):
            parts = [part]
        elif parts is not None:
            # The writer left the magic out where it cut; to join the parts alone would lose four bytes inside the
            # picture.
            parts += [MAGIC, part]
        if flag in (_WHOLE, _LAST):
            yield b"".join(parts or ())
            parts, number = None, number + 1
    if parts is not None:
        raise _error(Fault(number, position, "is cut off: its last part is missing"), where)


def scan(path: Path) -> tuple[list[Span], list[Fault]]:
    """Where the records of a file lie, headers alone being read, and what is no record.

    After damage it goes on at the next magic that begins a record. Raises OSError as ``open`` does.
    """
    with open_file(path) as file:
        # An empty file cannot be mapped: mmap raises ValueError.
        if path.stat().st_size == 0:
            return [], []
        # Mapped, so that only pages with headers are touched: 20,000 pictures are listed in half a second
        # (docs/benchmarks.md).
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Scan(data).records()


def pack(record: ImageRecord) -> bytes:
    """The payload of an image record: one label in the header, several (or a vector of one) after it."""
    labels = record.labels
    if len(labels) == 1 and not record.vector:
        # Flag 0: the header's own label counts, and none follow (MXNet recordio.py, pack).
        return _IMAGE.pack(0, labels[0], record.id, record.id2) + record.image
    # With labels after it the header's own is 0 and means nothing. A vector of one is told from a plain label by flag
    # 1.
    header = _IMAGE.pack(len(labels), 0, record.id, record.id2)
    return b"".join([header, struct.pack(f"<{len(labels)}f", *labels), record.image])


def unpack(payload: bytes) -> ImageRecord:
    """The image record in a payload. Raises DataError for one too short for its header or labels."""
    labels, id, id2, skip, vector = labels_of(payload, len(payload))
    return ImageRecord(labels, id, payload[skip:], id2, vector)


def labels_of(head: bytes, length: int) -> tuple[tuple[float, ...], int, int, int, bool]:
    """Labels, id, id2, bytes before the picture, and whether labels are a vector.

    ``head`` is the payload, or as much of it as has the labels; ``length`` are the bytes of all of it. Raises
    DataError as ``unpack`` does.
    """
    if length < _IMAGE.size:
        what = f"holds {length} bytes, too few for an image record"
        raise DataError(what, hint="an image record begins with a header of 24 bytes")
    flag, label, id, id2 = _IMAGE.unpack_from(head)
    if not flag:
        return (label,), id, id2, _IMAGE.size, False
    skip = _IMAGE.size + 4 * flag
    # A record of an augmented manifest has no header: ff d8 ff e0, the beginning of a JPEG, reads as 3.8 billion
    # labels.
    if skip > length:
        what = f"says it has {flag:,} labels, more than its {length:,} bytes hold"
        raise DataError(what, hint="pack it again; a record of an augmented manifest has no image header")
    # A number in Python takes eight times its bytes in the file.
    if flag > MAX_LABELS:
        raise DataError(f"says it has {flag:,} labels, at most {MAX_LABELS:,} are read", hint="pack it again")
    return struct.unpack_from(f"<{flag}f", head, _IMAGE.size), id, id2, skip, True


class _Scan:
    """One pass over the headers of a mapped file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._spans: list[Span] = []
        self._faults: list[Fault] = []

    def records(self) -> tuple[list[Span], list[Fault]]:
        # Bound to local names: the loop below runs once a record, and large sets have millions.
        data, size, unpack_from, spans = self._data, len(self._data), _PART.unpack_from, self._spans
        position = 0
        while position + 8 <= size:
            magic, word = unpack_from(data, position)
            end = position + 8 + word
            # A word below LIMIT has flag 0: one comparison tells a whole record, which nearly all are.
            if magic == MAGIC and word < LIMIT and end <= size:
                spans.append(Span(position, ((position + 8, word),)))
                position = end + -word % 4
            else:
                position = self._unusual(position)
        if position < size:
            self._fault(position, f"is cut off: {size - position} of 8 bytes of its header are there")
        elif position > size:
            self._fault(position, f"is cut off: {position - size} bytes of padding are missing")
        return spans, self._faults

    def _unusual(self, start: int) -> int:
        """Take a record in parts, or note what is wrong; return where to go on."""
        pieces: list[tuple[int, int]] = []
        position, size = start, len(self._data)
        while position + 8 <= size:
            magic, word = _PART.unpack_from(self._data, position)
            flag, length = int(word) >> 29, int(word) & _LENGTH
            if fault := _wrong(magic, flag, length, bool(pieces)):
                return self._skip(start, fault)
            if position + 8 + length > size:
                found = size - position - 8
                return self._skip(start, f"is cut off: {found} of {length} bytes are there")
            pieces.append((position + 8, length))
            position = position + 8 + length + -length % 4
            if flag in (_WHOLE, _LAST):
                # The four bytes after a part are the magic of the next, which is just what the writer left out: with
                # them the pieces are the payload, and nothing has to be copied.
                joined = [(offset, length + 4) for offset, length in pieces[:-1]]
                self._spans.append(Span(start, (*joined, pieces[-1])))
                return position
        return self._skip(start, "is cut off: its last part is missing")

    def _skip(self, start: int, what: str) -> int:
        """Note a fault; return the next place where a record begins, else the end."""
        self._fault(start, what)
        data, at = self._data, start
        while (at := data.find(MAGIC, at + 1)) >= 0:
            # All that is written is padded to four bytes, so a magic elsewhere belongs to a picture; and nothing begins
            # with a middle or a last part.
            if at % 4 == 0 and at + 8 <= len(data) and _PART.unpack_from(data, at)[1] >> 29 in (_WHOLE, _FIRST):
                return at
        return len(data)

    def _fault(self, offset: int, what: str) -> None:
        self._faults.append(Fault(len(self._spans) + len(self._faults), offset, what))


def _cut(payload: bytes) -> Sequence[bytes]:
    """The parts of a payload between the magics at offsets divisible by 4."""
    parts = []
    start = at = 0
    while (at := payload.find(MAGIC, at)) >= 0:
        # Readers look for the magic at multiples of four only; elsewhere it may stay (dmlc-core, recordio.cc).
        if at % 4:
            at += 1
        else:
            parts.append(payload[start:at])
            start = at = at + 4
    return [*parts, payload[start:]]


def _header(header: bytes, number: int, position: int, inside: bool, where: object) -> tuple[int, int]:
    if len(header) < 8:
        raise _error(Fault(number, position, f"is cut off: {len(header)} of 8 bytes of its header are there"), where)
    magic, word = _PART.unpack(header)
    flag, length = word >> 29, word & _LENGTH
    if fault := _wrong(magic, flag, length, inside):
        raise _error(Fault(number, position, fault), where)
    return flag, length


def _wrong(magic: bytes, flag: int, length: int, inside: bool) -> str:
    """What is wrong with the header of a part; ``inside`` a record whose first part came before it."""
    if magic != MAGIC:
        return f"begins with {magic.hex(' ')}, not with the magic {MAGIC.hex(' ')}"
    if flag > _LAST:
        return f"has the continuation flag {flag}, which is none of 0 to 3"
    if inside != (flag in (_MIDDLE, _LAST)):
        return "is not finished: another one begins" if inside else f"begins with a part of flag {flag}, not 0 or 1"
    # Cuts are at multiples of four, so no part but the last is padded; one that would be was not written by a cut.
    if flag in (_FIRST, _MIDDLE) and length % 4:
        return f"has a part of {length} bytes, not a multiple of 4, before its last"
    return ""


def _error(fault: Fault, where: object) -> DataError:
    return DataError(str(fault), where=where, hint="copy the file again or pack it again")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """``size`` bytes, fewer only at the end of the stream; a FIFO gives them in pieces."""
    data = stream.read(size) or b""
    if len(data) == size:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing and (data := stream.read(missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)
