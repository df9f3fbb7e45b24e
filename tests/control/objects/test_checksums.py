from __future__ import annotations

import base64
import hashlib
import zlib

import pytest

from clary.control.objects.checksums import Checksums
from clary.control.wire.errors import ServiceError

DATA = b"some content"
SUMS = {
    "x-amz-checksum-crc32": zlib.crc32(DATA).to_bytes(4, "big"),
    "x-amz-checksum-sha1": hashlib.sha1(DATA).digest(),
    "x-amz-checksum-sha256": hashlib.sha256(DATA).digest(),
    "content-md5": hashlib.md5(DATA).digest(),
}


def feed(headers: dict[str, str], data: bytes, trailers: dict[str, str] | None = None) -> None:
    sums = Checksums(headers)
    for place in range(0, len(data), 5):
        sums.update(data[place : place + 5])
    sums.check(trailers or {})


@pytest.mark.parametrize("name", SUMS)
def test_a_right_sum_passes_and_a_wrong_body_does_not(name: str) -> None:
    headers = {name: base64.b64encode(SUMS[name]).decode()}
    feed(headers, DATA)
    with pytest.raises(ServiceError) as caught:
        feed(headers, DATA[:-1] + b"X")
    assert caught.value.code == "BadDigest"


@pytest.mark.parametrize("name", [name for name in SUMS if name.startswith("x-amz")])
def test_a_sum_may_trail(name: str) -> None:
    value = base64.b64encode(SUMS[name]).decode()
    feed({"x-amz-trailer": name}, DATA, {name: value})
    with pytest.raises(ServiceError) as caught:
        feed({"x-amz-trailer": name}, DATA + b"!", {name: value})
    assert caught.value.code == "BadDigest"


def test_the_signed_digest() -> None:
    digest = {"x-amz-content-sha256": hashlib.sha256(DATA).hexdigest()}
    feed(digest, DATA)
    with pytest.raises(ServiceError) as caught:
        feed(digest, b"other")
    assert caught.value.code == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize(
    ("header", "value", "code"),
    [
        ("content-md5", "no base64!", "InvalidDigest"),
        ("content-md5", "AAAA", "InvalidDigest"),
        ("x-amz-checksum-crc32", "AAAAAAAAAAAA", "InvalidRequest"),
    ],
)
def test_what_is_no_sum_is_refused_before_the_body(header: str, value: str, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Checksums({header: value})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="},
        {"x-amz-checksum-crc32c": "AAAAAA=="},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-mode": "ENABLED"},
        {},
    ],
)
def test_what_cannot_be_checked_passes(headers: dict[str, str]) -> None:
    feed(headers, DATA)
