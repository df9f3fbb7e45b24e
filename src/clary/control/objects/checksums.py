"""What a client says its body sums up to, and whether that is true."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from clary.control.wire.errors import ServiceError

__all__ = ["Checksums"]

_PREFIX = "x-amz-checksum-"
_NOT_A_SUM = ("x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type")
_HEX = frozenset("0123456789abcdefABCDEF")


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


# boto3 sends a CRC32 with every upload since botocore 1.36, as a header or behind the body (trailer). CRC32C and
# CRC64NVME (the AWS CLI v2) are not in the standard library.
class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


_ALGORITHMS: dict[str, tuple[Callable[[], _Sum], int]] = {
    "x-amz-checksum-crc32": (_Crc32, 4),
    "x-amz-checksum-sha1": (lambda: hashlib.sha1(usedforsecurity=False), 20),
    "x-amz-checksum-sha256": (hashlib.sha256, 32),
    "content-md5": (lambda: hashlib.md5(usedforsecurity=False), 16),
}
_CONTENT = "x-amz-content-sha256"


class Checksums:
    """Fed with the body, then asked. CRC32, SHA-1, SHA-256 and MD5 are checked; other algorithms are taken on trust."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """``headers`` by lower-case name. Raises ServiceError InvalidDigest or InvalidRequest: that is no checksum."""
        self._wanted: dict[str, bytes] = {}
        self._sums: dict[str, _Sum] = {}
        for name in _ALGORITHMS:
            if name in headers:
                self._wanted[name] = _decode(name, headers[name])
        # The value comes behind the body, so it must be summed up before it is known what to compare.
        trailers = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",")]
        for name in {*self._wanted, *trailers} & _ALGORITHMS.keys():
            self._sums[name] = _ALGORITHMS[name][0]()
        digest = headers.get(_CONTENT, "")
        # Else it is a word: UNSIGNED-PAYLOAD, STREAMING-...: nothing is promised.
        if len(digest) == 64 and _HEX.issuperset(digest):
            self._wanted[_CONTENT] = bytes.fromhex(digest)
            self._sums[_CONTENT] = hashlib.sha256()
        # Repeated in the answer even of algorithms that nobody checked: SDKs compare what comes back with what they
        # sent.
        self.announced = {n: v for n, v in headers.items() if n.startswith(_PREFIX) and n not in _NOT_A_SUM}

    def update(self, data: bytes) -> None:
        for each in self._sums.values():
            each.update(data)

    def check(self, trailers: Mapping[str, str]) -> None:
        """Raises ServiceError BadDigest or XAmzContentSHA256Mismatch when the body is not what was announced."""
        wanted = dict(self._wanted)
        for name in trailers.keys() & self._sums.keys():
            wanted[name] = _decode(name, trailers[name])
        for name, value in wanted.items():
            if self._sums[name].digest() == value:
                continue
            if name == _CONTENT:
                text = "The provided 'x-amz-content-sha256' header does not match what was computed."
                raise ServiceError("XAmzContentSHA256Mismatch", text)
            what = "Content-MD5" if name == "content-md5" else name.removeprefix(_PREFIX).upper()
            raise ServiceError("BadDigest", f"The {what} you specified did not match the calculated checksum.")


def _decode(name: str, value: str) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:  # of base64, and of letters that are none
        digest = b""
    if len(digest) == _ALGORITHMS[name][1]:
        return digest
    if name == "content-md5":
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    raise ServiceError("InvalidRequest", f"Value for {name} header is invalid.")
