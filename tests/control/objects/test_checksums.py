from __future__ import annotations

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.checksums import ALGORITHMS, COMPOSITE, FULL_OBJECT, Checksums
from clary.control.wire.errors import ServiceError

DATA = b"123456789"
# The check values of the CRC catalogue (reveng) and of the hashes' own test vectors for "123456789".
KNOWN = {
    "CRC32": 0xCBF43926.to_bytes(4, "big"),
    "CRC32C": 0xE3069283.to_bytes(4, "big"),
    "CRC64NVME": 0xAE8B14860A799888.to_bytes(8, "big"),
    "SHA1": bytes.fromhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    "SHA256": bytes.fromhex("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    "SHA512": hashlib.sha512(DATA).digest(),
    "MD5": bytes.fromhex("25f9e794323b453885f5181f1b624d0b"),
    "XXHASH64": bytes.fromhex("8cb841db40e6ae83"),
}
ALL = sorted(ALGORITHMS)


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def feed(headers: dict[str, str], data: bytes, trailers: dict[str, str] | None = None) -> Checksums:
    sums = Checksums(headers)
    for place in range(0, len(data), 5):
        sums.update(data[place : place + 5])
    sums.check(trailers or {})
    return sums


def code(headers: dict[str, str], data: bytes, trailers: dict[str, str] | None = None) -> str:
    with pytest.raises(ServiceError) as caught:
        feed(headers, data, trailers)
    return caught.value.code


@pytest.mark.parametrize("name", KNOWN)
def test_the_sums_are_those_that_others_compute(name: str) -> None:
    sums = feed({ALGORITHMS[name].header: text(KNOWN[name])}, DATA)
    assert sums.digest(name) == KNOWN[name]


@pytest.mark.parametrize("name", ALL)
def test_a_right_sum_passes_and_a_wrong_body_does_not(name: str) -> None:
    algorithm = ALGORITHMS[name]
    headers = {algorithm.header: text(algorithm.of(DATA))}
    assert feed(headers, DATA).algorithm == name
    assert code(headers, DATA[:-1] + b"X") == "BadDigest"
    assert code({algorithm.header: "bad"}, DATA) == "BadDigest"


@pytest.mark.parametrize("name", ALL)
def test_a_sum_may_trail(name: str) -> None:
    header = ALGORITHMS[name].header
    value = {header: text(ALGORITHMS[name].of(DATA))}
    assert feed({"x-amz-trailer": header}, DATA, value).algorithm == name
    assert code({"x-amz-trailer": header}, DATA + b"!", value) == "BadDigest"
    assert code({"x-amz-trailer": header}, DATA, {}) == "MalformedTrailerError"
    assert code({}, DATA, value) == "MalformedTrailerError"


def test_the_md5_and_the_signed_digest() -> None:
    md5, digest = text(hashlib.md5(DATA).digest()), hashlib.sha256(DATA).hexdigest()
    feed({"content-md5": md5, "x-amz-content-sha256": digest}, DATA)
    assert code({"content-md5": md5}, b"other") == "BadDigest"
    assert code({"x-amz-content-sha256": digest}, b"other") == "XAmzContentSHA256Mismatch"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-md5": "no base64!"}, "InvalidDigest"),
        ({"content-md5": "AAAA"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAAAAAAAA"}, "BadDigest"),
        ({"x-amz-checksum-crc31": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-trailer": "x-amz-checksum-crc31"}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}, "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-trailer": "x-amz-checksum-sha1"}, "InvalidRequest"),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, "InvalidRequest"),
    ],
)
def test_what_is_no_sum_is_refused_before_the_body(headers: dict[str, str], expected: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Checksums(headers)
    assert caught.value.code == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
        {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "COMPOSITE"},
        {"x-amz-trailer": "x-amz-trailer-signature"},
        {},
    ],
)
def test_what_promises_nothing_passes(headers: dict[str, str]) -> None:
    assert feed(headers, DATA).algorithm == ""


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5), st.sampled_from(["CRC32", "CRC32C", "CRC64NVME"]))
def test_sums_of_parts_make_that_of_the_whole(parts: list[bytes], name: str) -> None:
    algorithm = ALGORITHMS[name]
    sums = [(algorithm.of(part), len(part)) for part in parts]
    assert algorithm.whole(sums, FULL_OBJECT) == text(algorithm.of(b"".join(parts)))


@pytest.mark.parametrize("name", ALL)
def test_a_composite_is_the_sum_of_sums(name: str) -> None:
    algorithm = ALGORITHMS[name]
    sums = [(algorithm.of(part), len(part)) for part in (b"one", b"two")]
    expected = text(algorithm.of(algorithm.of(b"one") + algorithm.of(b"two")))
    assert algorithm.whole(sums, COMPOSITE) == f"{expected}-2"


def test_crc32_is_that_of_zlib() -> None:
    assert ALGORITHMS["CRC32"].of(DATA) == zlib.crc32(DATA).to_bytes(4, "big")
