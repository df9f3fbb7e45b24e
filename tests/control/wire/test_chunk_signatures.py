"""Signatures over the pieces of a body: AWS's own examples hold, and nothing about them can be changed.

The examples are those of the Amazon S3 API reference, "Signature calculations for the authorization header", the pages
on payloads in multiple chunks, without and with trailing headers.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects.chunked import ChunkedDecoder
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.wire import signature
from clary.control.wire.app import create_app
from clary.control.wire.asgi import Head
from clary.control.wire.chunk_signatures import SIGNED_PAYLOAD, ChunkSignatures
from clary.control.wire.signature import verify
from clary.control.wire.sigv4_header import Refused, read_header

SECRETS = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
THEN = datetime(2013, 5, 24, tzinfo=UTC)
PIECES = [b"a" * 65536, b"a" * 1024, b""]
# seed, the signatures of the three pieces, and that of the trailer
EXAMPLES = {
    SIGNED_PAYLOAD: (
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        [
            "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ],
        "",
    ),
    f"{SIGNED_PAYLOAD}-TRAILER": (
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    ),
}


def head(kind: str, seed: str = "") -> Head:
    trailer = {"x-amz-trailer": "x-amz-checksum-crc32c"} if kind.endswith("TRAILER") else {}
    headers = {
        "content-encoding": "aws-chunked",
        "content-length": "66824",
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": kind,
        "x-amz-date": "20130524T000000Z",
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        **trailer,
    }
    signed = ";".join(name for name in headers if not (trailer and name == "content-length"))
    credential = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    claim = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={signed},Signature={seed or EXAMPLES[kind][0]}"
    return Head("PUT", "/examplebucket/chunkObject.txt", "", {**headers, "authorization": claim})


def signatures(kind: str) -> ChunkSignatures:
    asked = head(kind)
    chunks = verify(asked, read_header(asked), SECRETS, now=THEN).chunks
    assert chunks is not None
    return chunks


def body(kind: str, pieces: list[bytes] = PIECES) -> bytes:
    _, each, last = EXAMPLES[kind]
    lines = [b"%x;chunk-signature=%s\r\n%s\r\n" % (len(p), s.encode(), p) for p, s in zip(pieces, each, strict=True)]
    framed = b"".join(lines).removesuffix(b"\r\n")
    trailer = f"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:{last}\r\n" if last else ""
    return framed + trailer.encode() + b"\r\n"


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("size", [1 << 20, 1000])
def test_the_examples_of_the_specification(kind, size):
    decoder, data = ChunkedDecoder(signatures(kind)), body(kind)
    content = b"".join(decoder.feed(data[start : start + size]) for start in range(0, len(data), size))
    assert content == b"a" * 66560
    assert decoder.finished


CHANGES = {
    "a byte": lambda data: data.replace(b"aaaa\r\n400", b"aaab\r\n400"),
    "the last piece": lambda data: data.replace(b"aaaa\r\n0;", b"aaab\r\n0;"),
    "a signature": lambda data: data.replace(b"400;chunk-signature=", b"400;chunk-signature=0", 1),
    "no signature": lambda data: data.replace(b"400;", b"400;x", 1),
    "no extension": lambda data: data[:5] + data[data.index(b"\r\n") :],
    "not ASCII": lambda data: data.replace(b"400;chunk-signature=", b"400;chunk-signature=\xe9", 1),
    "the end of another": lambda data: data[: data.index(b"400;")] + data[data.index(b"\r\n0;chunk") + 2 :],
}


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_piece_is_refused(kind, change):
    changed = CHANGES[change](body(kind))
    assert changed != body(kind)
    with pytest.raises(Refused) as caught:
        ChunkedDecoder(signatures(kind)).feed(changed)
    assert (caught.value.code, caught.value.status) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (f"{SIGNED_PAYLOAD}-TRAILER", b"sOO8/Q==", b"AAAAAA=="),
        (f"{SIGNED_PAYLOAD}-TRAILER", b"x-amz-trailer-signature:", b"x-amz-trailer-signature:0"),
        (f"{SIGNED_PAYLOAD}-TRAILER", b"x-amz-trailer-signature:", b"x-amz-checksum-sha1:"),
        (SIGNED_PAYLOAD, b"79d449df9\r\n\r\n", b"79d449df9\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"),
    ],
)
def test_a_changed_trailer_is_refused(kind, old, new):
    changed = body(kind).replace(old, new)
    assert changed != body(kind)
    with pytest.raises(Refused):
        ChunkedDecoder(signatures(kind)).feed(changed)


def test_a_chain_that_cannot_be_checked_is_refused_at_once():
    for kind in ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-X"):
        asked = head(kind, "0" * 64)
        with pytest.raises(Refused, match="cannot be checked") as caught:
            verify(asked, read_header(asked), SECRETS, now=THEN)
        assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)
    second = Head(
        "PUT", "/b/k", "", {"x-amz-content-sha256": SIGNED_PAYLOAD, "authorization": "AWS AKIAIOSFODNN7EXAMPLE:x"}
    )
    with pytest.raises(Refused, match="cannot be checked"):
        verify(second, read_header(second), SECRETS, now=THEN)


async def _put(app: Any, asked: Head, sent: list[bytes]) -> int:
    """The status of the answer to ``asked`` with the body ``sent``."""
    scope = {"type": "http", "method": asked.method, "path": asked.path, "raw_path": asked.path.encode()}
    headers = [(name.encode(), text.encode()) for name, text in asked.headers.items()]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in sent]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    answers: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        answers.append(message)

    await app({**scope, "query_string": b"", "headers": headers}, receive, send)
    return int(answers[0]["status"])


@pytest.mark.parametrize("kind", EXAMPLES)
def test_nothing_false_is_stored_where_signatures_are_required(kind, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(signature, "SKEW", datetime.now(UTC) - THEN + timedelta(days=1))
    store = LocalStore(tmp_path / "s3")
    store.create_bucket("examplebucket", "us-east-1")
    app = S3App(store, account="0" * 12, region="us-east-1")
    gateway = create_app(None, region="us-east-1", account="0" * 12, s3=app, credentials=SECRETS)
    data = body(kind)
    false = data.replace(b"aaaa\r\n0;", b"aaab\r\n0;")
    # Whole and in pieces: what came before the false one must not stay either.
    for sent in ([false], [false[:70000], false[70000:]], [data[:-1]], [data[: data.index(b"400;")] + b"0\r\n\r\n"]):
        assert asyncio.run(_put(gateway, head(kind), sent)) in (400, 403)
        assert not [path for path in (tmp_path / "s3").rglob("*") if path.is_file() and path.stat().st_size > 60000]
    assert asyncio.run(_put(gateway, head(kind), [data[:70000], data[70000:]])) == 200
    assert (tmp_path / "s3/examplebucket/chunkObject.txt").read_bytes() == b"a" * 66560
