"""Answers of S3: headers and XML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Union

from clary.control.objects.request import S3Request
from clary.control.wire.asgi import Disconnected, Send
from clary.control.wire.errors import ServiceError
from clary.control.wire.xml import HOST_ID, escaped, s3_error
from clary.errors import one_line

__all__ = [
    "Node",
    "S3Response",
    "error_response",
    "failed_response",
    "http_date",
    "iso_date",
    "send_response",
    "xml_response",
]

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# A tree of elements: name and text, or name and children. A name may have attributes behind it.
Node = tuple[str, Union[str, "Sequence[Node]"]]


@dataclass(slots=True)
class S3Response:
    """``body`` is streamed where it is an iterator; then ``headers`` must hold content-length."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""


def xml_response(name: str, children: Sequence[Node], *, status: int = 200, namespace: str = NAMESPACE) -> S3Response:
    """``namespace`` is empty for the one answer that S3 gives without."""
    attribute = f' xmlns="{namespace}"' if namespace else ""
    text = "".join(_render(child) for child in children)
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}{attribute}>{text}</{name}>'
    return S3Response(status, {"content-type": "application/xml"}, document.encode())


def error_response(error: ServiceError, request: S3Request) -> S3Response:
    """The error as S3 words it. A HEAD gets its status and, as S3's websites have them, code and message as headers: an
    answer to it has no body."""
    headers = {"content-type": "application/xml"} | error.members.get("headers", {})
    if request.method == "HEAD":
        if error.status >= 400:
            # A key may have any letter, and 1,024 of them.
            message = one_line(error.message).encode("ascii", "backslashreplace").decode()[:2048]
            headers |= {"x-amz-error-code": error.code, "x-amz-error-message": message}
        return S3Response(error.status, headers)
    return S3Response(error.status, headers, s3_error(error, request.resource, request.id))


def failed_response(request: S3Request) -> S3Response:
    """Where our own code failed: the client gets the id under which the log says how."""
    text = f"We encountered an internal error; the log says more, under request {request.id}"
    return error_response(ServiceError("InternalError", text, status=500), request)


async def send_response(answer: S3Response, request: S3Request, send: Send) -> None:
    """Write ``answer`` out; the answer to a HEAD goes without its body."""
    body = answer.body
    headers = answer.headers
    headers.setdefault("x-amz-request-id", request.id)
    headers.setdefault("x-amz-id-2", HOST_ID)
    if request.holds_body_back:
        headers["connection"] = "close"  # else the next request would be taken for the body that never came
    if isinstance(body, bytes) and answer.status not in (204, 304):
        headers.setdefault("content-length", str(len(body)))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    if request.method == "HEAD":
        body = b""
    if not isinstance(body, bytes):
        await _stream(body, request, send)
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _stream(body: AsyncIterator[bytes], request: S3Request, send: Send) -> None:
    """Send the pieces until the client goes away: a server takes and drops what nobody reads any more."""
    # uvicorn swallows what is sent to a closed connection, so without this a download nobody reads would be read from
    # the disk to its end.
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        async for piece in body:
            if gone.done():
                raise Disconnected
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    finally:
        gone.cancel()
        if isinstance(body, AsyncGenerator):
            await body.aclose()


async def _disconnect(request: S3Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def http_date(seconds: float) -> str:
    return formatdate(int(seconds), usegmt=True)


def iso_date(seconds: float) -> str:
    """Whole seconds, as S3 gives them: Last-Modified has no more, and clients compare the two."""
    return _iso_date(int(seconds))


@lru_cache(1024)  # of a page of objects many were written in one second
def _iso_date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _render(node: Node) -> str:
    name, content = node
    if isinstance(content, str):
        # S3 writes the quotes of ETags so; there are clients that look for just that.
        inside = escaped(content).replace('"', "&quot;")
    else:
        inside = "".join(_render(child) for child in content)
    return f"<{name}>{inside}</{name.partition(' ')[0]}>"


def members(values: Mapping[str, str]) -> list[Node]:
    """Elements of those members that have a value."""
    return [(name, value) for name, value in values.items() if value]
