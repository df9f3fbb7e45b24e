"""The few words of ASGI the wire needs: a request's head, its body, an answer."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from clary.control.wire.errors import ServiceError

__all__ = [
    "CHUNK_SIGNATURES",
    "ASGIApp",
    "Disconnected",
    "Head",
    "Message",
    "Receive",
    "Response",
    "Scope",
    "Send",
    "answer",
    "decoded",
    "pieces",
    "read_body",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where an S3 request's scope holds the ChunkSignatures its body must fit; absent or None: nobody asks for signatures.
CHUNK_SIGNATURES = "clary.chunk_signatures"
# zlib's way to ask for the gzip format; botocore packs CloudWatch's PutMetricData so from 10 kB on.
GZIP = zlib.MAX_WBITS | 16


class Disconnected(Exception):
    """The client went away before its request was whole."""


@dataclass(frozen=True)
class Head:
    """A request without its body. ``path`` is as it was sent (percent-encoded), ``query`` without the ``?``."""

    method: str
    path: str
    query: str
    headers: dict[str, str]  # names in lower case; several of one name joined by commas

    @classmethod
    def of(cls, scope: Scope) -> Head:
        headers: dict[str, str] = {}
        for key, value in scope["headers"]:
            # HTTP headers are bytes; latin-1 loses none of them, so that a signature over them still holds. Stripped as
            # bytes: the last one of a letter in UTF-8 may be a blank of latin-1.
            name, text = key.decode("latin-1"), value.strip().decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        # The signature is over the path as it was sent; scope["path"] is decoded.
        path = scope.get("raw_path") or scope["path"].encode()
        return cls(
            scope["method"], path.decode("latin-1").partition("?")[0], scope["query_string"].decode("latin-1"), headers
        )

    @cached_property
    def content_type(self) -> str:
        """The media type in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""


async def read_body(
    receive: Receive, limit: int, length: str = "", hold: Callable[[int], object] = lambda size: None
) -> bytes | None:
    """The whole body; None when it is longer than ``limit`` bytes, unread where its ``length`` says so.

    ``hold`` is told of bytes as they come, and may raise. Raises Disconnected.
    """
    if length.isdigit() and int(length) > limit:
        return None
    chunks: list[bytes] = []
    size = 0
    async for piece in pieces(receive):
        size += len(piece)
        # None, not an error: only the operation can say in its own words that a body is too large.
        if size > limit:
            return None
        hold(len(piece))
        chunks.append(piece)
    return b"".join(chunks)


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it comes, for whoever keeps none of it. Raises Disconnected."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        if piece := message.get("body", b""):
            yield piece


def decoded(body: bytes, encoding: str, limit: int) -> bytes | None:
    """``body`` without its Content-Encoding (gzip or none); None when it would be longer than ``limit`` bytes.

    Raises ServiceError for another encoding or damaged data.
    """
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise ServiceError("SerializationException", f"Content-Encoding {encoding!r} is not known here; send gzip")
    inflater = zlib.decompressobj(GZIP)
    try:
        # A few kilobytes can unpack to gigabytes: no more is unpacked than shows that it is too much.
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise ServiceError("SerializationException", "the body is no valid gzip data") from None
    if len(plain) > limit:
        return None
    if not inflater.eof:
        raise ServiceError("SerializationException", "the gzip data of the body ends too early")
    return plain


async def answer(send: Send, response: Response) -> None:
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
