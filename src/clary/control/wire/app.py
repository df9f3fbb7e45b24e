"""One ASGI application for every AWS service: calls are checked and answered, S3's requests handed through."""

from __future__ import annotations

import inspect
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from clary.control.wire import refusals
from clary.control.wire.asgi import (
    ASGIApp,
    Disconnected,
    Head,
    Outgoing,
    Receive,
    Scope,
    Send,
    answer,
    decoded,
    read_body,
)
from clary.control.wire.bodies import CheckedBody
from clary.control.wire.errors import ServiceError
from clary.control.wire.json_writer import dumped
from clary.control.wire.operation import OPERATIONS, Call, Handler, calling
from clary.control.wire.routing import Route, is_s3, route
from clary.control.wire.services import Operation, describe
from clary.control.wire.signature import digest_mismatch, known, verify, verify_body
from clary.control.wire.sigv4_header import Refused, SigV4Header, read_header
from clary.control.wire.validation import Validator, validation_code
from clary.errors import CustomerError
from clary.version import __version__

__all__ = ["BODY_LIMIT", "create_app"]

logger = logging.getLogger(__name__)

BODY_LIMIT = (25 << 20) + (1 << 16)  # bytes of a call that is no S3 request
HEALTH = "/clary/health"


def create_app(
    context: object, *, region: str, account: str, s3: ASGIApp, credentials: Mapping[str, str] | None = None
) -> ASGIApp:
    """The application.

    ``context`` is handed to every operation as its first argument. ``region`` is that of requests whose signature names
    none; ``account`` is told by ``GET /clary/health``. ``s3`` answers the object store's requests. ``credentials`` maps
    access keys to their secrets: given, every request must be signed by one of them (but ``GET /clary/health``); None,
    signatures are only read.
    """
    return _App(context, region, account, s3, credentials)


@dataclass(frozen=True, slots=True)
class _App:
    context: object
    region: str
    account: str
    s3: ASGIApp
    credentials: Mapping[str, str] | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, request_id = Head.of(scope), str(uuid.uuid4())
        try:
            found = read_header(head)
            if self.credentials is None and refusals.from_foreign_page(head):
                raise Refused("AccessDenied", "Web pages of another origin may not call this server")
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=_looks_like_s3(head))
            return
        if found is None and head.path == HEALTH:
            await answer(send, self._health(request_id))
        elif is_s3(head, found):
            await self._object(head, found, request_id, scope, receive, send)
        else:
            await self._call(head, found, request_id, receive, send)

    async def _object(
        self, head: Head, found: SigV4Header | None, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if self.credentials is None:
            await self.s3(scope, receive, send)
            return
        try:
            digest = verify(head, found, self.credentials)
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=True)
            return
        if not digest:
            await self.s3(scope, receive, send)
            return
        body = CheckedBody(receive, send, digest)
        await body.pass_to(self.s3, scope)
        if body.wrong and not body.answered:
            await self._refuse(head, digest_mismatch(), request_id, send, s3=True)

    async def _call(self, head: Head, found: SigV4Header | None, request_id: str, receive: Receive, send: Send) -> None:
        try:
            if self.credentials is not None:
                known(found, self.credentials)  # a stranger's body is not even read
            body = await read_body(receive, BODY_LIMIT)
            if self.credentials is not None and body is not None:  # one too large reaches no operation
                verify_body(head, found, body, self.credentials)
            outgoing = await self._answer(head, found, body, request_id)
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=False)
        except ServiceError as error:
            await answer(send, _identified(refusals.plain_error(head, error, request_id), request_id))
        except Disconnected:
            return
        else:
            await answer(send, outgoing)

    def _health(self, request_id: str) -> Outgoing:
        health = {"status": "ok", "version": __version__, "region": self.region, "account": self.account}
        return _identified(Outgoing(200, [(b"content-type", b"application/json")], dumped(health)), request_id)

    async def _refuse(self, head: Head, refused: Refused, request_id: str, send: Send, *, s3: bool) -> None:
        logger.info("%s %s refused: %s", head.method, head.path, refused.message)
        if s3:
            outgoing = refusals.s3_error(head, refused, request_id)
        else:
            outgoing = refusals.plain_error(head, refusals.for_calls(refused, head), request_id)
        if "expect" in head.headers:  # a body that is held back never comes now: nothing else can either
            outgoing.headers.append((b"connection", b"close"))
        await answer(send, _identified(outgoing, request_id))

    async def _answer(self, head: Head, found: SigV4Header | None, body: bytes | None, request_id: str) -> Outgoing:
        """Raises ServiceError where no service can be made out; every other error is answered in its protocol."""
        way = route(head, found, body or b"")
        try:
            outgoing = await self._perform(way, head, found, body, request_id)
        except ServiceError as error:
            outgoing = way.protocol.error(error, request_id)
        except CustomerError as error:
            outgoing = way.protocol.error(ServiceError(_code(way), str(error)), request_id)
        except Exception:
            logger.exception("%s %s failed, request %s", way.service, way.asked, request_id)
            text = f"Clary failed while answering {way.asked}; its log says why, under request {request_id}"
            outgoing = way.protocol.error(ServiceError("InternalFailure", text, status=500), request_id)
        logger.debug("%s %s: %d", way.service, way.asked, outgoing.status)
        return _identified(outgoing, request_id)

    async def _perform(
        self, way: Route, head: Head, found: SigV4Header | None, body: bytes | None, request_id: str
    ) -> Outgoing:
        operation, handler = _handler(way)
        if body is not None and not _payload(operation):
            body = decoded(body, head.headers.get("content-encoding", ""), BODY_LIMIT)
        if body is None:
            raise _too_large(operation)
        request = way.protocol.read(operation, head, body, way.labels)
        _validator(way.service).check(operation, request)
        region = found.region if found else ""
        with calling(Call(way.service, operation.name, region or self.region, request_id, head.headers)):
            result = handler(self.context, request)
            if inspect.isawaitable(result):
                result = await result
        return way.protocol.write(operation, result, request_id)


@cache
def _validator(service: str) -> Validator:
    return Validator(describe(service))


def _handler(way: Route) -> tuple[Operation, Handler]:
    """Raises ServiceError, which clients do not try again, for what nobody wrote a function for."""
    handler = OPERATIONS.get((way.service, way.asked))
    if way.operation is None or handler is None:
        code = "InvalidAction" if "query" in describe(way.service).protocols[:1] else "UnknownOperationException"
        raise ServiceError(code, f"Clary does not answer {way.asked or 'this operation'} of {way.service}")
    return way.operation, handler


def _code(way: Route) -> str:
    return validation_code(describe(way.service), way.operation) if way.operation else "ValidationException"


def _payload(operation: Operation) -> str:
    """The shape of a member that is the whole body as it comes; empty where there is none."""
    shape = describe(operation.service).shapes.get(operation.input, {})
    return str(shape["members"][shape["payload"]]["shape"]) if shape.get("payload") else ""


def _too_large(operation: Operation) -> ServiceError:
    description = describe(operation.service)
    limit = description.shapes.get(_payload(operation), {}).get("max", BODY_LIMIT)
    text = "1 validation error detected: Value at 'body' failed to satisfy constraint: "
    text += f"Member must have length less than or equal to {limit}"
    return ServiceError(validation_code(description, operation), text)


def _identified(outgoing: Outgoing, request_id: str) -> Outgoing:
    identity = request_id.encode()
    headers = [*outgoing.headers, (b"x-amzn-requestid", identity), (b"x-amz-request-id", identity)]
    return Outgoing(outgoing.status, headers, outgoing.body)


def _looks_like_s3(head: Head) -> bool:
    """What a request whose signature cannot be read was probably meant for."""
    return "/s3/aws4_request" in head.headers.get("authorization", "") or is_s3(head, None)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
