"""One ASGI application for every AWS service: calls are checked and answered, S3's requests handed through."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from clary.control.wire import alternatives, refusals
from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import (
    CHUNK_SIGNATURES,
    ASGIApp,
    Disconnected,
    Head,
    Receive,
    Response,
    Scope,
    Send,
    answer,
    decoded,
    read_body,
)
from clary.control.wire.bodies import CheckedBody
from clary.control.wire.browser_headers import guarded
from clary.control.wire.errors import ServiceError, StorageFull
from clary.control.wire.form_signature import SECRETS, is_form_upload
from clary.control.wire.json_writer import dumped
from clary.control.wire.operation import OPERATIONS, Call, Handler, calling
from clary.control.wire.routing import Route, is_browser, is_s3, route
from clary.control.wire.services import Operation, describe
from clary.control.wire.signature import digest_mismatch, known, verify, verify_body
from clary.control.wire.sigv4_header import Refused, SigV4Header, read_header
from clary.control.wire.validation import Validator, validation_code
from clary.errors import BusyError, CustomerError, out_of_space
from clary.version import __version__
from clary.vision.inference.admission import ARRIVAL_LIMIT, Admission, Visit
from clary.vision.inference.callers import HostNames, refusal
from clary.vision.inference.disconnection import ClientGone

__all__ = ["BODY_LIMIT", "create_app"]

logger = logging.getLogger(__name__)

# InvokeEndpoint takes 25 MB; the rest is room for a form or JSON around it.
BODY_LIMIT = (25 << 20) + (1 << 16)  # bytes of a call that is no S3 request
# All calls together, while they arrive and are answered. Those that wait for one variant of an endpoint may fill a
# quarter of it (hosting.instance), so that the rest is left to others.
BODIES = 1 << 30  # bytes
HEALTH = "/clary/health"
# A browser sends a GET for any page's picture. No client in use sends a form so; signed links of old ones
# (GetCallerIdentity, as tokens) only read.
_READS = re.compile("Get|List|Describe")


def create_app(
    context: object,
    *,
    region: str,
    account: str,
    s3: ASGIApp,
    credentials: Mapping[str, str] | None = None,
    front_page: Callable[[Head], Response] | None = None,
    names: HostNames | None = None,
) -> ASGIApp:
    """The application.

    ``context`` is handed to every operation as its first argument. ``region`` is that of requests whose signature names
    none; ``account`` is told by ``GET /clary/health``. ``s3`` answers the object store's requests. ``credentials`` maps
    access keys to their secrets: given, every request must be signed by one of them (but ``GET /clary/health``); None,
    signatures are only read. A form to upload is signed in its fields: it reaches ``s3`` with the secrets in its scope,
    under ``SECRETS``, and must be verified or refused there. ``front_page`` answers who opens ``/`` in a browser,
    signed or not; None: S3 does. ``names`` are those that unsigned requests may ask for; None: loopback's.
    """
    return _App(context, region, account, s3, credentials, front_page, names or HostNames("127.0.0.1"))


@dataclass(frozen=True, slots=True)
class _App:
    context: object
    region: str
    account: str
    s3: ASGIApp
    credentials: Mapping[str, str] | None
    front_page: Callable[[Head], Response] | None
    names: HostNames
    bodies: Admission = field(default_factory=lambda: Admission(memory=BODIES))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            # 1003: a kind of data that is not accepted (RFC 6455, 7.4.1).
            await send({"type": "websocket.close", "code": 1003})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Both names of the id are sent: botocore shows x-amzn-requestid, S3 clients x-amz-request-id.
        head, request_id = Head.of(scope), str(uuid.uuid4())
        visit = self.front_page is not None and is_browser(head)
        plain, send = send, guarded(send, head)
        try:
            # Without signatures the address on loopback is all that guards the store, and any page a browser shows can
            # reach that. Signed requests a page cannot make.
            if self.credentials is None:
                _check_caller(head, self.names, page=visit)
            auth = read_header(head)
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=_looks_like_s3(head))
            return
        # Before S3: /clary/health would be the key "health" of a bucket.
        if auth is None and head.path == HEALTH and not bucket_of_host(head.headers.get("host", "")):
            await answer(send, self._health(request_id))
        elif auth is None and visit and self.front_page is not None:
            await answer(plain, self.front_page(head))  # it brings a policy of its own
        elif is_s3(head, auth):
            await self._object(head, auth, request_id, scope, receive, send)
        else:
            await self._call(head, auth, request_id, receive, send)

    async def _object(
        self, head: Head, auth: SigV4Header | None, request_id: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if self.credentials is None:
            await self.s3(scope, receive, send)
            return
        # It is signed in its fields: who reads them compares, with what the scope says.
        if is_form_upload(head, auth):
            await self.s3({**scope, SECRETS: self.credentials}, receive, send)
            return
        try:
            promise = verify(head, auth, self.credentials)
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=True)
            return
        if not promise.digest:
            await self.s3({**scope, CHUNK_SIGNATURES: promise.chunks}, receive, send)
            return
        # The digest is known before the body and true of it only at its end; S3's bodies are too large to be read
        # first.
        body = CheckedBody(receive, send, promise.digest)
        await body.pass_to(self.s3, scope)
        if body.wrong and not body.answered:
            await self._refuse(head, digest_mismatch(), request_id, send, s3=True)

    async def _call(self, head: Head, auth: SigV4Header | None, request_id: str, receive: Receive, send: Send) -> None:
        try:
            if self.credentials is not None:
                known(auth, self.credentials)  # a stranger's body is not even read
            with self.bodies.visit() as visit:
                body = await _body(head, receive, visit)
                if self.credentials is not None and body is not None:  # one too large reaches no operation
                    verify_body(head, auth, body, self.credentials)
                response = await self._answer(head, auth, body, request_id, receive)
        except Refused as refused:
            await self._refuse(head, refused, request_id, send, s3=False)
        except ServiceError as error:
            told = _with_pause(refusals.plain_error(head, error, request_id), error)
            await answer(send, _identified(told, request_id))
        except (Disconnected, ClientGone):
            return
        else:
            await answer(send, response)

    def _health(self, request_id: str) -> Response:
        health = {"status": "ok", "version": __version__, "region": self.region, "account": self.account}
        return _identified(Response(200, [(b"content-type", b"application/json")], dumped(health)), request_id)

    async def _refuse(self, head: Head, refused: Refused, request_id: str, send: Send, *, s3: bool) -> None:
        logger.info("%s %s refused: %s", head.method, head.path, refused.message)
        if s3:
            response = refusals.s3_error(head, refused, request_id)
        else:
            response = refusals.plain_error(head, refusals.for_calls(refused, head), request_id)
        if "expect" in head.headers:  # a body that is held back never comes now: nothing else can either
            response.headers.append((b"connection", b"close"))
        await answer(send, _identified(response, request_id))

    async def _answer(
        self, head: Head, auth: SigV4Header | None, body: bytes | None, request_id: str, receive: Receive
    ) -> Response:
        """Raises ServiceError where no service can be made out; every other error is answered in its protocol."""
        matched = route(head, auth, body or b"")
        try:
            response = await self._perform(matched, head, auth, body, request_id, receive)
        except ClientGone:
            raise
        except ServiceError as error:
            response = _with_pause(matched.protocol.error(error, request_id), error)
        except CustomerError as error:
            response = matched.protocol.error(_refusal(error, matched), request_id)
        # Shapes that contain themselves (Search's expressions) are read and walked by functions that call themselves.
        except RecursionError:
            text = "the request is nested too deeply"
            response = matched.protocol.error(ServiceError(_code(matched), text), request_id)
        # The last net: a client must get an answer in its protocol, with a request id that the log has too. 500 is
        # tried again by every SDK, so a fault of the moment heals.
        except Exception as error:
            failure: ServiceError = StorageFull()
            if out_of_space(error):  # no fault of ours: nobody has to look into it
                logger.warning("%s %s: no space is left, request %s", matched.service, matched.asked, request_id)
            else:
                logger.exception("%s %s failed, request %s", matched.service, matched.asked, request_id)
                text = f"Clary failed while answering {matched.asked}; its log says why, under request {request_id}"
                failure = ServiceError("InternalFailure", text, status=500)
            response = matched.protocol.error(failure, request_id)
        logger.debug("%s %s: %d", matched.service, matched.asked, response.status)
        return _identified(response, request_id)

    async def _perform(
        self,
        matched: Route,
        head: Head,
        auth: SigV4Header | None,
        body: bytes | None,
        request_id: str,
        receive: Receive,
    ) -> Response:
        operation, handler = _handler(matched)
        if head.method != operation.method and not _READS.match(operation.name):
            text = f"{operation.name} may change something, so it is taken by {operation.method} only"
            raise ServiceError("MethodNotAllowed", f"{text}, not by {head.method}", status=405)
        # A payload (the picture of InvokeEndpoint) goes to the container as it came; what it is packed in is between
        # those two.
        if body is not None and not _payload(operation):
            body = decoded(body, head.headers.get("content-encoding", ""), BODY_LIMIT)
        if body is None:
            raise _too_large(operation)
        request = matched.protocol.read(operation, head, body, matched.labels)
        _validator(matched.service).check(operation, request)
        region = auth.region if auth else ""
        with calling(Call(matched.service, operation.name, region or self.region, request_id, head.headers, receive)):
            result = handler(self.context, request)
            if inspect.isawaitable(result):
                result = await result
        return matched.protocol.write(operation, result, request_id)


async def _body(head: Head, receive: Receive, visit: Visit) -> bytes | None:
    """The whole body of a call, counted as it comes; None when it is too large.

    Raises ServiceError where too much is held or it takes too long, Disconnected.
    """
    try:
        async with asyncio.timeout(ARRIVAL_LIMIT):
            return await read_body(receive, BODY_LIMIT, head.headers.get("content-length", ""), visit.hold)
    except BusyError as busy:
        raise ServiceError("ServiceUnavailable", str(busy), status=503, retry_after=busy.retry_after) from None
    except TimeoutError:
        raise ServiceError("RequestTimeout", "the body did not come in time", status=408) from None


@cache
def _validator(service: str) -> Validator:
    return Validator(describe(service))


def _handler(matched: Route) -> tuple[Operation, Handler]:
    """Raises ServiceError, which clients do not try again, for what nobody wrote a function for."""
    handler = OPERATIONS.get((matched.service, matched.asked))
    # The description knows some 400 operations; those nobody wrote a function for are refused by name.
    if matched.operation is None or handler is None:
        # Not a code of the 5xx: SDKs would ask again and again for what will never be there.
        description = describe(matched.service)
        code = "InvalidAction" if "query" in description.protocols[:1] else "UnknownOperationException"
        instead = alternatives.of_operation(description, matched.asked)
        asked = matched.asked or "this operation"
        raise ServiceError(code, f"Clary does not answer {asked} of {matched.service}; {instead}")
    return matched.operation, handler


def _refusal(error: CustomerError, matched: Route) -> ServiceError:
    """What Clary's own code says of a wrong input is, to a client, a request that breaks a constraint."""
    return StorageFull() if out_of_space(error) else ServiceError(_code(matched), str(error))


def _code(matched: Route) -> str:
    return validation_code(describe(matched.service), matched.operation) if matched.operation else "ValidationException"


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


def _identified(response: Response, request_id: str) -> Response:
    identity = request_id.encode()
    headers = [*response.headers, (b"x-amzn-requestid", identity), (b"x-amz-request-id", identity)]
    return Response(response.status, headers, response.body)


def _with_pause(response: Response, error: ServiceError) -> Response:
    """The response, which says when to try again where the error does."""
    if error.retry_after is None:
        return response
    return Response(response.status, [*response.headers, (b"retry-after", b"%d" % error.retry_after)], response.body)


def _check_caller(head: Head, names: HostNames, *, page: bool) -> None:
    """Raises Refused for who comes by a foreign name, or from a foreign page."""
    if found := refusal(head.method, head.headers, names, page=page):
        code = "MisdirectedRequest" if found.status == 421 else "AccessDenied"
        raise Refused(code, found.text, status=found.status)


def _looks_like_s3(head: Head) -> bool:
    """What a request whose signature cannot be read was probably meant for."""
    return "/s3/aws4_request" in head.headers.get("authorization", "") or is_s3(head, None)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
