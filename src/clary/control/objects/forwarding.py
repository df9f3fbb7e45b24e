"""S3 requests of clients passed on to an S3 endpoint elsewhere, signed anew with the platform's keys for it.

Bodies stream through in both directions. ``aws-chunked`` framing is taken off on the way, and a body that is not what
its checksums say is cut off before its end, so that the endpoint stores nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from clary.control.objects import aws_buckets
from clary.control.objects.access import check_access
from clary.control.objects.base import NoSuchBucket
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.objects.request import S3Request, parse, without_framing
from clary.control.objects.responses import S3Response, error_response, failed_response, send_response
from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import Disconnected, Head, Receive, Scope, Send
from clary.control.wire.errors import ServiceError

if TYPE_CHECKING:
    import aiohttp

__all__ = ["S3Forwarder"]

log = logging.getLogger(__name__)

PIECE = 256 << 10
# RFC 9110, 7.6.1: they belong to one connection.
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "proxy-connection"}
)
# Taken off: what belongs to this hop, to the client's own signature, or to the framing.
_NOT_SENT = _HOP_BY_HOP | {
    *("host", "authorization", "expect", "content-length", "x-amz-date", "x-amz-security-token", "x-amz-trailer"),
    *("x-amz-content-sha256", "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "accept-encoding"),
    *("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner", "origin", "amz-sdk-invocation-id"),
    *("amz-sdk-request", "user-agent"),
}
# The server says these itself; and pages of other sites may read nothing here, whatever the endpoint lets them.
_NOT_PASSED = _HOP_BY_HOP | {"date", "server"}
_SIGNATURE = frozenset({"AWSAccessKeyId", "Signature", "Expires"})


class S3Forwarder:
    """An ASGI application. ``account`` is the one clients know: the endpoint's own is none of their business."""

    def __init__(self, endpoint: RemoteEndpoint, *, account: str) -> None:
        self._endpoint = endpoint
        self._account = account
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        import aiohttp

        # No limit in all: a download may take an hour. 300 seconds without a byte are a dead peer.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
        connector = aiohttp.TCPConnector(limit=256)
        # What aiohttp adds is not in the signature, and an endpoint may store Content-Type with the object.
        skipped = ("User-Agent", "Accept-Encoding", "Accept", "Content-Type")
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, skip_auto_headers=skipped
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        import aiohttp

        request = S3Request(scope["method"], "", "", {}, {}, receive)
        try:
            request = parse(scope, receive)
            check_access(request, self._account)
            # The endpoint could not check a policy that was signed with this platform's keys, and signed anew by us it
            # would store whatever the form holds.
            if request.method == "POST" and request.headers.get("content-type", "").startswith("multipart/form-data"):
                text = "Clary passes no uploads by form on to another S3 server; use a presigned PUT"
                raise ServiceError("NotImplemented", text, status=501)
            await self._forward(scope, request, send)
        except ServiceError as error:
            await send_response(error_response(error, request), request, send)
        except (aiohttp.ClientError, TimeoutError) as error:
            # aiohttp reports a body that failed as its own error; ours, a wrong checksum, lies below it.
            if isinstance(error.__cause__, ServiceError):
                await send_response(error_response(error.__cause__, request), request, send)
                return
            log.warning("%s %s: %r", request.method, request.resource, error)
            # SlowDown, 503: every SDK tries that again, and a server that is being restarted is back by then.
            text = f"The S3 server {self._endpoint.url} cannot be reached: {error}"
            await send_response(error_response(ServiceError("SlowDown", text, status=503), request), request, send)
        except Disconnected:
            return
        # The last net, as where the objects are ours.
        except Exception:
            log.exception("%s %s failed, request %s", request.method, request.resource, request.id)
            await send_response(failed_response(request), request, send)

    async def _forward(self, scope: Scope, request: S3Request, send: Send) -> None:
        from yarl import URL

        assert self._session is not None, "not started"
        url = self._endpoint.url + _target(scope)
        body = request.body()
        # All others go on, metadata and conditions among them: the endpoint judges them.
        headers = {name: _text(value) for name, value in request.headers.items() if name not in _NOT_SENT}
        _drop_framing(headers)
        if body.length is not None:
            headers["content-length"] = str(body.length)
        # S3 wants to know the length before the body.
        elif request.method in ("PUT", "POST"):
            raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
        _sign(request.method, url, headers, self._endpoint)
        # aiohttp wraps what a body raises in an error of its own, at a point that depends on how far it was.
        failure: list[BaseException] = []
        data = _pieces(body, failure) if body.length else None
        try:
            async with self._session.request(
                # As it came: yarl would quote the path once more, and the signature is over its exact bytes.
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=data,
                allow_redirects=False,
            ) as reply:
                if failure:
                    raise failure[0]
                answer = _answer(reply)
                if reply.status == 404 and aws_buckets.remark(request.bucket):
                    # Errors are small, and what was read is gone from the stream.
                    answer.body = await reply.read()
                    _refuse_missing_bucket(answer.body, request)
                await send_response(answer, request, send)
        except Exception as error:
            if failure and error is not failure[0]:
                raise failure[0] from error
            raise


async def _pieces(body: AsyncIterator[bytes] | Any, failure: list[BaseException]) -> AsyncIterator[bytes]:
    """The body; why it ended early is kept, for the client library reports it as its own failure."""
    try:
        async for piece in body:
            yield piece
    except (ServiceError, Disconnected) as error:
        failure.append(error)
        raise


def _refuse_missing_bucket(body: bytes, request: S3Request) -> None:
    """Raises NoSuchBucket in place of the endpoint's own: ours says how a bucket of AWS's is had."""
    if request.method == "HEAD" and not request.key:
        aws_buckets.log_remark(request.bucket)
    if b"<Code>NoSuchBucket</Code>" in body:
        raise NoSuchBucket(request.bucket)


def _answer(reply: aiohttp.ClientResponse) -> S3Response:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reply.raw_headers}
    headers = {n: v for n, v in headers.items() if n not in _NOT_PASSED and not n.startswith("access-control-")}
    status = reply.status
    if status in (200, 206) and "content-range" in headers:
        # Some servers answer a range with 200 and the checksum of the whole, which clients would hold against the part.
        headers = {n: v for n, v in headers.items() if not n.startswith("x-amz-checksum-")}
        status = 206
    return S3Response(status, headers, reply.content.iter_chunked(PIECE))


def _text(value: str) -> str:
    """A header, read as latin-1, as the letters it means: both who signs it and who sends it write UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value


def _target(scope: Scope) -> str:
    """Path and query byte for byte, without the signature of a presigned address; the bucket is in the path."""
    head = Head.of(scope)
    bucket = bucket_of_host(head.headers.get("host", ""))
    path = f"/{bucket}{head.path}" if bucket else head.path
    pairs = scope["query_string"].decode("latin-1").split("&")
    kept = "&".join(pair for pair in pairs if pair and not _is_signature(pair.partition("=")[0]))
    return f"{path}?{kept}" if kept else path


def _is_signature(name: str) -> bool:
    return name in _SIGNATURE or name.lower().startswith("x-amz-")


def _drop_framing(headers: dict[str, str]) -> None:
    if encoding := without_framing(headers.pop("content-encoding", "")):
        headers["content-encoding"] = encoding


def _sign(method: str, url: str, headers: dict[str, str], endpoint: RemoteEndpoint) -> None:
    """Signature version 4 over everything but the body, added to ``headers``."""
    if not endpoint.access_key:
        return
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    class Unsigned(S3SigV4Auth):  # type: ignore[misc]
        # The body streams; its digest would be known only at its end. Our own check of it has come before the last
        # byte.
        def payload(self, request: Any) -> str:
            return "UNSIGNED-PAYLOAD"

    credentials = Credentials(endpoint.access_key, endpoint.secret_key, endpoint.token or None)
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    Unsigned(credentials, "s3", endpoint.region).add_auth(request)
    headers.clear()
    headers.update({name.lower(): value for name, value in request.headers.items()})
    headers["host"] = urlsplit(url).netloc
