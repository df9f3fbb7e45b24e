"""An S3 request as it stands in an ASGI scope: which bucket, which key, which operation."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote_to_bytes

from clary.control.objects.checksums import Checksums
from clary.control.objects.chunked import ChunkedDecoder
from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import CHUNK_SIGNATURES, Head, Message, Receive, Scope, pieces
from clary.control.wire.chunk_signatures import ChunkSignatures
from clary.control.wire.errors import ServiceError, invalid_argument
from clary.control.wire.form_signature import SECRETS

__all__ = ["Body", "S3Request", "is_size", "parse", "without_framing"]


# More is not worth the time: the connection is closed, and the client sees that instead of the answer.
DRAINED = 8 << 20  # bytes
# What a presigned address says of its own signature; every other x-amz- parameter stands for a header.
_OF_SIGNATURE = frozenset(
    {"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"}
    | {"x-amz-security-token"}
)


@dataclass(slots=True)
class S3Request:
    """``headers`` by lower-case name; ``key`` is empty for a bucket, ``bucket`` too for the service.

    ``secrets`` are those by which a form must be signed, by access key; None where signatures are only read.
    ``open_ended`` is the body of a form's file: no header tells its length, the form around it tells its end.
    """

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: dict[str, str]
    _receive: Receive
    asked_for_body: bool = False
    body_ended: bool = False
    open_ended: bool = False
    secrets: Mapping[str, str] | None = field(default=None, repr=False)
    # The form of S3's own ids.
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:16].upper())
    chunk_signatures: ChunkSignatures | None = None

    @property
    def resource(self) -> str:
        return f"/{self.bucket}/{self.key}" if self.key else f"/{self.bucket}"

    async def receive(self) -> Message:
        self.asked_for_body = True
        message = await self._receive()
        # Asking once more after the end would wait for the client to go away: the server has nothing else to say.
        self.body_ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    @property
    def holds_body_back(self) -> bool:
        """Whether the client waits to hear that its body is wanted, and nobody wanted it."""
        # The server sends "100 Continue" when the application first asks for the body. Whoever refuses before that
        # leaves the client with a body it never sends, and the connection out of step.
        return not self.asked_for_body and self.headers.get("expect", "").lower() == "100-continue"

    async def drain(self) -> None:
        """Take the rest of a body nobody wants, up to a limit: a client that still sends would not hear the answer."""
        left = DRAINED
        while left > 0 and not self.body_ended and not self.holds_body_back:
            left -= len((await self.receive()).get("body", b""))

    def body(self) -> Body:
        return Body(self)

    async def small_body(self, limit: int = 4 << 20) -> bytes:
        """The whole body, checked. Raises ServiceError for one above ``limit`` bytes."""
        data = bytearray()
        async for piece in self.body():
            data += piece
            if len(data) > limit:
                raise ServiceError("MaxMessageLengthExceeded", "Your request was too big.")
        return bytes(data)


class Body:
    """The content of a request, without framing, in the pieces it arrives in.

    The last piece comes only after length and checksums were found right, else the iteration ends with a ServiceError:
    whoever passes the pieces on never passes on a whole body that is wrong.
    """

    def __init__(self, request: S3Request) -> None:
        """Raises ServiceError for headers that contradict each other."""
        self._receive = request.receive
        self.open_ended = request.open_ended
        headers = request.headers
        signatures = request.chunk_signatures
        self._framing = ChunkedDecoder(signatures) if signatures or _is_chunked(headers) else None
        # With aws-chunked framing Content-Length counts the framing too; only this header tells the size of the object.
        length = headers.get("x-amz-decoded-content-length" if self._framing else "content-length")
        if length is not None and not is_size(length):
            raise ServiceError("InvalidArgument", f"{length[:40]!r} is no length")
        self.length = None if length is None else int(length)
        self.checksums = Checksums(_of_body(request))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        held = b""  # the last piece is given out only when all is found right
        async for data in pieces(self._receive):
            if piece := self._framing.feed(data) if self._framing else data:
                total += len(piece)
                self.checksums.update(piece)
                if held:
                    yield held
                held = piece
        # Before the last piece goes out: see the class.
        self._check(total)
        if held:
            yield held

    def _check(self, total: int) -> None:
        if (self._framing and not self._framing.finished) or (self.length is not None and total != self.length):
            text = "You did not provide the number of bytes specified by the Content-Length HTTP header."
            raise ServiceError("IncompleteBody", text)
        self.checksums.check(self._framing.trailers if self._framing else {})


def parse(scope: Scope, receive: Receive) -> S3Request:
    """Raises ServiceError InvalidURI for a path that is no UTF-8.

    The bucket may stand before the host. Parameters that a presigned address has in place of headers are headers.
    """
    # The decoded path would lose the difference between a/b and a%2Fb; both are keys of S3.
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.partition(b"?")[0].removeprefix(b"/")
    # Read as the signature was: of two headers of one name, both are signed.
    headers = Head.of(scope).headers
    host = bucket_of_host(headers.get("host", "")).encode()
    bucket, _, key = (host, b"/", path) if host else path.partition(b"/")
    try:
        # A sub-resource such as ?acl has no value at all: without keep_blank_values it would vanish.
        query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True, errors="strict"))
        names = unquote_to_bytes(bucket).decode(), unquote_to_bytes(key).decode()
    except ValueError as error:
        raise ServiceError("InvalidURI", "Couldn't parse the specified URI: it is no UTF-8") from error
    return S3Request(
        scope["method"],
        *names,
        query,
        headers | _headers_of_query(query),
        receive,
        secrets=scope.get(SECRETS),
        chunk_signatures=scope.get(CHUNK_SIGNATURES),
    )


def _headers_of_query(query: Mapping[str, str]) -> dict[str, str]:
    """Headers that whoever made the address signed as parameters, and so wants sent whoever uses it."""
    found = {name.lower(): text for name, text in query.items() if name.lower().startswith("x-amz-")}
    # boto3's older signature puts these two there as well.
    if "Signature" in query:
        found |= {name: query[name] for name in ("content-type", "content-md5") if name in query}
    for name in found.keys() - _OF_SIGNATURE:
        # HTTP has no header with a line end or a letter beyond latin-1; an answer with one could not be sent.
        if not found[name].isprintable() or not found[name].isascii():
            raise invalid_argument(name, found[name], f"{name} cannot be sent as a header")
    return {name: found[name] for name in found.keys() - _OF_SIGNATURE}


def is_size(text: str) -> bool:
    """Whether a header says a number of bytes; no disk holds one of more digits, and int() refuses thousands."""
    return text.isascii() and text.isdigit() and len(text) <= 20


def without_framing(encoding: str) -> str:
    """A Content-Encoding without aws-chunked, which was the framing of the upload; all else byte for byte.

    Kept, it would be taken for a compression by whoever downloads.
    """
    if "aws-chunked" not in encoding:
        return encoding
    return ",".join(each for each in encoding.split(",") if each.strip() not in ("", "aws-chunked")).strip()


def _of_body(request: S3Request) -> Mapping[str, str]:
    """Its headers; of CompleteMultipartUpload without the checksums, which are of the object, not of the list sent."""
    if request.method != "POST" or "uploadId" not in request.query:
        return request.headers
    return {name: value for name, value in request.headers.items() if "-checksum-" not in name}


def _is_chunked(headers: Mapping[str, str]) -> bool:
    """Whether the body is framed; ``aws-chunked`` alone may also be a word that a program gave for a plain body."""
    named = "aws-chunked" in headers.get("content-encoding", "") and "x-amz-decoded-content-length" in headers
    return named or headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
