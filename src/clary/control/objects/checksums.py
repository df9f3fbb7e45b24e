"""Checksums as S3 has them: of a body, of a part, of a whole object that came in parts.

Names, sizes and types are those of "Checking object integrity" in the S3 User Guide.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol

from awscrt import checksums as crt

from clary.control.wire.errors import ServiceError

__all__ = [
    "ALGORITHMS",
    "COMPOSITE",
    "DEFAULT",
    "FULL_OBJECT",
    "Algorithm",
    "Checksums",
    "Sum",
    "algorithm_called",
    "bad_digest",
    "checksum_headers",
    "checksum_nodes",
    "checksum_text",
    "checksum_type",
    "encode",
    "part_checksum",
]

FULL_OBJECT, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
# What S3 sums up where nobody asked for anything (since December 2024); at 30 GB/s it costs a thirtieth of the MD5.
DEFAULT = "CRC64NVME"
PREFIX = "x-amz-checksum-"
_NOT_A_SUM = ("x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type")
_SDK = "x-amz-sdk-checksum-algorithm"
_CONTENT = "x-amz-content-sha256"
_MD5 = "content-md5"
_HEX = frozenset("0123456789abcdefABCDEF")


class Sum(Protocol):
    """A checksum in the making."""

    def update(self, data: bytes, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, step: Callable[[bytes, int], int], size: int) -> None:
        self._step = step
        self._size = size
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    def __init__(self, start: Callable[[], crt.XXHash]) -> None:
        self._state = start()

    def update(self, data: bytes, /) -> None:
        self._state.update(data)

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


@dataclass(frozen=True, slots=True)
class Algorithm:
    """``size`` in bytes; ``types`` of an object that comes in parts, the usual one first.

    ``combine`` makes the sum of two pieces that follow each other from both sums and the length of the second.
    """

    name: str
    size: int
    start: Callable[[], Sum]
    types: tuple[str, ...] = (COMPOSITE,)
    combine: Callable[[int, int, int], int] | None = None

    @property
    def header(self) -> str:
        return PREFIX + self.name.lower()

    @property
    def element(self) -> str:
        return f"Checksum{self.name}"

    def of(self, data: bytes) -> bytes:
        summed = self.start()
        summed.update(data)
        return summed.digest()

    def of_file(self, file: BinaryIO) -> bytes:
        summed = self.start()
        while data := file.read(1 << 20):
            summed.update(data)
        return summed.digest()

    def whole(self, parts: Sequence[tuple[bytes, int]], kind: str) -> str:
        """The checksum of an object from those of its parts, each with its size, as S3 writes it."""
        if kind == COMPOSITE:
            return f"{encode(self.of(b''.join(digest for digest, _ in parts)))}-{len(parts)}"
        assert self.combine is not None, self.name
        value = 0
        for digest, size in parts:
            value = self.combine(value, int.from_bytes(digest, "big"), size)
        return encode(value.to_bytes(self.size, "big"))


_BOTH = (COMPOSITE, FULL_OBJECT)
# CRC32 by zlib, which is twice as fast as the runtime's own; CRC32C and CRC64NVME are not in the standard library.
ALGORITHMS: dict[str, Algorithm] = {
    each.name: each
    for each in (
        Algorithm("CRC32", 4, partial(_Crc, zlib.crc32, 4), _BOTH, crt.combine_crc32),
        Algorithm("CRC32C", 4, partial(_Crc, crt.crc32c, 4), _BOTH, crt.combine_crc32c),
        Algorithm("CRC64NVME", 8, partial(_Crc, crt.crc64nvme, 8), (FULL_OBJECT,), crt.combine_crc64nvme),
        Algorithm("SHA1", 20, partial(hashlib.sha1, usedforsecurity=False)),
        Algorithm("SHA256", 32, hashlib.sha256),
        Algorithm("SHA512", 64, hashlib.sha512),
        Algorithm("MD5", 16, partial(hashlib.md5, usedforsecurity=False)),
        Algorithm("XXHASH64", 8, partial(_XxHash, crt.XXHash.new_xxhash64)),
        Algorithm("XXHASH3", 8, partial(_XxHash, crt.XXHash.new_xxhash3_64)),
        Algorithm("XXHASH128", 16, partial(_XxHash, crt.XXHash.new_xxhash3_128)),
    )
}
_BY_HEADER = {each.header: each for each in ALGORITHMS.values()}


class Checksums:
    """Fed with the body, then asked."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """``headers`` by lower-case name. Raises ServiceError InvalidDigest, BadDigest, InvalidRequest."""
        self._sums: dict[str, Sum] = {}
        self._wanted: list[tuple[str, str, bytes]] = []  # header, algorithm, digest
        given = [name for name in headers if name.startswith(PREFIX) and name not in _NOT_A_SUM]
        # The value comes behind the body, so it must be summed up before it is known what to compare.
        names = (name.strip().lower() for name in headers.get("x-amz-trailer", "").split(","))
        self._trailers = [name for name in names if name.startswith(PREFIX)]
        named = list(dict.fromkeys(_of_header(name).name for name in (*given, *self._trailers)))
        if len(named) > 1:
            raise _invalid("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        if _SDK in headers and not named:
            what = f"{_SDK} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
            raise _invalid(what)
        self.algorithm = named[0] if named else ""  # the one the client speaks of
        for name in given:
            self._want(name, self.algorithm, _decode(name, headers[name], _BY_HEADER[name].size))
        if self._trailers:
            self.add(self.algorithm)
        if _MD5 in headers:
            self._want(_MD5, "MD5", _decode(_MD5, headers[_MD5], 16))
        digest = headers.get(_CONTENT, "")
        # Else it is a word: UNSIGNED-PAYLOAD, STREAMING-...: nothing is promised.
        if len(digest) == 64 and _HEX.issuperset(digest):
            self._want(_CONTENT, "SHA256", bytes.fromhex(digest))

    def add(self, algorithm: str) -> None:
        """Sum up by ``algorithm`` too; before the first ``update``."""
        if algorithm not in self._sums:
            self._sums[algorithm] = ALGORITHMS[algorithm].start()

    def update(self, data: bytes) -> None:
        for each in self._sums.values():
            each.update(data)

    def check(self, trailers: Mapping[str, str]) -> None:
        """Raises ServiceError when the body is not what was announced, or a trailing checksum is not there."""
        sent = {name for name in trailers if name.startswith(PREFIX)}
        if sent != set(self._trailers):
            text = "The request contained trailing data that was not well-formed: it must be what x-amz-trailer names"
            raise ServiceError("MalformedTrailerError", text)
        for name in self._trailers:
            algorithm = _BY_HEADER[name]
            self._want(name, algorithm.name, _decode(name, trailers[name], algorithm.size))
        for name, summed, value in self._wanted:
            if self._sums[summed].digest() == value:
                continue
            if name == _CONTENT:
                text = "The provided 'x-amz-content-sha256' header does not match what was computed."
                raise ServiceError("XAmzContentSHA256Mismatch", text)
            raise bad_digest("Content-MD5" if name == _MD5 else summed)

    def digest(self, algorithm: str) -> bytes:
        """What was summed up, of an algorithm that the client named or that was added."""
        return self._sums[algorithm].digest()

    def _want(self, header: str, algorithm: str, value: bytes) -> None:
        self.add(algorithm)
        self._wanted.append((header, algorithm, value))


def algorithm_called(name: str) -> Algorithm:
    """By its name in any case, as SDKs write it. Raises ServiceError InvalidRequest."""
    if found := ALGORITHMS.get(name.upper()):
        return found
    raise _invalid(f"Checksum algorithm provided is unsupported. Please try again with any of: {', '.join(ALGORITHMS)}")


def checksum_text(algorithm: str, value: str) -> str:
    """As it is kept with an object."""
    return f"{algorithm} {value}"


def checksum_type(checksum: Mapping[str, str]) -> str:
    """Whether the checksum of an object (algorithm to value) is of its bytes or of its parts' checksums."""
    return COMPOSITE if any("-" in value for value in checksum.values()) else FULL_OBJECT


def checksum_headers(checksum: Mapping[str, str]) -> dict[str, str]:
    """The checksum of an object (algorithm to value) as headers of an answer; none where there is none."""
    headers = {ALGORITHMS[name].header: value for name, value in checksum.items()}
    return headers | ({"x-amz-checksum-type": checksum_type(checksum)} if checksum else {})


def checksum_nodes(checksum: Mapping[str, str]) -> list[tuple[str, str]]:
    """Likewise as elements of XML."""
    nodes = [(ALGORITHMS[name].element, value) for name, value in checksum.items()]
    return [*nodes, ("ChecksumType", checksum_type(checksum))] if nodes else []


def part_checksum(checksum: Mapping[str, str], digest: bytes) -> dict[str, str]:
    """Of a part of an object with ``checksum``; none where no digest of the part is kept."""
    return {name: encode(digest) for name in checksum if digest}


def encode(digest: bytes) -> str:
    """As S3 writes a digest."""
    return base64.b64encode(digest).decode()


def bad_digest(what: str) -> ServiceError:
    """The error for a body, or an object, that is not what ``what`` says of it."""
    return ServiceError("BadDigest", f"The {what} you specified did not match the calculated checksum.")


def _of_header(name: str) -> Algorithm:
    if found := _BY_HEADER.get(name):
        return found
    raise _invalid(f"The algorithm type you specified in {name} header is invalid.")


def _decode(name: str, value: str, size: int) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:  # of base64, and of letters that are none
        digest = b""
    if len(digest) == size:
        return digest
    if name == _MD5:
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    raise bad_digest(_BY_HEADER[name].name)


def _invalid(text: str) -> ServiceError:
    return ServiceError("InvalidRequest", text)
