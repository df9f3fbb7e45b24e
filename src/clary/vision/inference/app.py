"""The serving app: SageMaker's inference contract over one model.

    GET  /ping                   200 and nothing else when the last prediction worked, 503 otherwise
    POST /invocations            a picture in, the answer of the model's task out (inference.tasks)
    GET  /execution-parameters   what a batch transform job may ask at a time
    GET  /                       a page to drop a picture on

Errors are short plain text: 400 not a picture, 406, 408 the body took too long, 413, 415, 500 the engine failed, 503
with Retry-After where more requests wait than can be answered within a minute.
Source: SageMaker developer guide, "Use your own inference code with hosting services".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clary.errors import AlgorithmError, ArrivalError, BusyError, ImageError, RequestError, TooLargeError
from clary.vision.inference import content_types
from clary.vision.inference.admission import ARRIVAL_LIMIT, CALL_LIMIT, Admission, Visit
from clary.vision.inference.batching import Batcher
from clary.vision.inference.callers import HostNames, refusal
from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.disconnection import ClientGone, unless_gone
from clary.vision.inference.page import page
from clary.vision.inference.predictor import Model
from clary.vision.inference.server_settings import ServerSettings

__all__ = ["create_app"]

# The one header of the client's that comes back (developer guide, "Use your own inference code").
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"

USUAL_BODY = 25 << 20  # bytes that an endpoint takes; where more is let in, it may take longer than ARRIVAL_LIMIT

GRAY = 64  # pixels of the picture tried where the network takes any size: quick, and above any network's stride

log = logging.getLogger(__name__)


def create_app(
    model: Model,
    settings: ServerSettings | None = None,
    *,
    limit: float | None = CALL_LIMIT,
    admission: Admission | None = None,
    names: HostNames | None = None,
    ready: Callable[[], None] = lambda: None,
) -> Starlette:
    """The app for a loaded model, whose ``engine.streams`` calls run side by side.

    A request whose body is whole is answered within ``limit`` seconds (None: whenever its turn comes), or refused by
    ``admission``. ``names`` are those it may be called by, on a port that browsers reach; None: whoever reaches it may
    ask, by any name. ``ready`` is called once the app is warm. The model stays open; whoever opened it closes it.
    """
    settings = settings or ServerSettings.from_environment()
    endpoint = _Endpoint(model, settings, limit, admission or Admission(), ready)
    return Starlette(
        lifespan=endpoint.lifespan,
        middleware=[Middleware(_CallerCheck, names=names)],
        routes=[
            Route("/", endpoint.page),
            Route("/ping", endpoint.ping),
            Route("/invocations", endpoint.invocations, methods=["POST"]),
            Route("/execution-parameters", endpoint.execution_parameters),
        ],
    )


@dataclass(frozen=True, slots=True)
class _ImageRequest:
    """A picture, or what was made of it, and the answer that is wanted."""

    image: Any
    wanted: ResponseType[Any]


class _CallerCheck:
    """Lets in whom ``callers`` does; what goes out is nothing that a browser may guess at."""

    def __init__(self, app: ASGIApp, names: HostNames | None) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Content-Type-Options"] = "nosniff"
            await send(message)

        refused = self._names and refusal(
            scope["method"], Headers(scope=scope), self._names, page=scope["path"] == "/" and scope["method"] == "GET"
        )
        app = _text(refused.text, refused.status) if refused else self._app
        await app(scope, receive, guarded)


class _Endpoint:
    def __init__(
        self,
        model: Model,
        settings: ServerSettings,
        limit: float | None,
        admission: Admission,
        ready: Callable[[], None],
    ) -> None:
        self._model = model
        self._limit = limit
        self._admission = admission
        self._settings = settings
        self._ready = ready
        self._batcher: Batcher[_ImageRequest, _ImageRequest, bytes]

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        streams = self._model.engine.streams
        self._batcher = Batcher(self._prepare, self._answers, key=self._key, streams=streams)
        try:
            # The first picture of a size takes twice its time (engines.openvino): nobody is to wait for it.
            await self._try_engine()
            self._ready()
            yield
        finally:
            self._batcher.close()

    async def ping(self, request: Request) -> Response:
        if not self._batcher.healthy:
            # No traffic comes to an endpoint that is down: it has to find out itself.
            await self._try_engine()
        return Response(status_code=200 if self._batcher.healthy else 503)

    async def invocations(self, request: Request) -> Response:
        response = await _answered(self._invoke, request)
        # Errors carry them back as well.
        if (attributes := request.headers.get(ATTRIBUTES)) is not None:
            response.headers[ATTRIBUTES] = attributes
        return response

    async def execution_parameters(self, request: Request) -> Response:
        # Two requests a stream: while one is computed the next is decoded.
        return JSONResponse(self._settings.execution_parameters(2 * self._model.engine.streams))

    async def page(self, request: Request) -> Response:
        return HTMLResponse(page(self._model.manifest), headers={"Content-Security-Policy": _PAGE_POLICY})

    async def _invoke(self, request: Request) -> Response:
        sent = content_types.request_type(request.headers.get("content-type"))
        wanted = content_types.response_type(request.headers.get("accept"), self._model.task.responses)
        with self._batcher.expect() as submit, self._admission.visit() as visit:
            body = await _body(request, self._settings.max_payload << 20, visit)
            # Only now: clients that begin to send and do not end would keep others out.
            visit.enter(self._limit)
            answer = await unless_gone(
                request.receive, self._within_limit(submit, _ImageRequest(sent.image(body), wanted))
            )
        return Response(answer, media_type=wanted.media_type)

    async def _within_limit(self, submit: Callable[[_ImageRequest], Awaitable[bytes]], asked: _ImageRequest) -> bytes:
        try:
            async with asyncio.timeout(self._limit):
                return await submit(asked)
        except TimeoutError:
            raise BusyError(f"its turn did not come within {self._limit:g} seconds") from None

    # The batcher's three: a key on the event loop, the work in its threads, answers of megabytes too.

    def _key(self, asked: _ImageRequest) -> Hashable:
        return self._model.task.key(asked.image)

    def _prepare(self, asked: _ImageRequest) -> _ImageRequest:
        return _ImageRequest(self._model.prepare(asked.image), asked.wanted)

    def _answers(self, asked: list[_ImageRequest]) -> list[bytes | ImageError | RequestError]:
        predictions = self._model.run([one.image for one in asked])
        return [self._encoded(one.wanted, found) for one, found in zip(asked, predictions, strict=True)]

    def _encoded(self, wanted: ResponseType[Any], prediction: Any) -> bytes | ImageError | RequestError:
        try:
            return wanted.encode(prediction, batch=self._settings.batch)
        # Of this request alone: the others of the batch get theirs.
        except RequestError as error:
            return error

    async def _try_engine(self) -> None:
        """Predict a gray picture; ``healthy`` of the batcher says afterwards how it went."""
        how = self._model.manifest.input.how
        gray = np.full((how.height or GRAY, how.width or GRAY, 3), 128, np.uint8)
        try:
            await self._batcher(_ImageRequest(gray, self._model.task.responses[0]))
        except (AlgorithmError, RequestError) as error:
            log.error("%s", error)


# The page brings its own script and style, shows the picture from a blob and asks this server alone: whatever a label
# of a stranger's model smuggled in could load nothing and send nothing elsewhere.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'"
)


async def _answered(invoke: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The answer, or the error as one."""
    try:
        return await invoke(request)
    except ImageError as error:
        return _text(f"the body {error.what}", 400)
    except BusyError as error:
        return _text(str(error), error.status, {"Retry-After": str(error.retry_after)})
    except RequestError as error:
        return _text(str(error), error.status)
    except AlgorithmError as error:
        log.error("%s", error, exc_info=error.__cause__)
        return _text(str(error), 500)
    except (ClientDisconnect, ClientGone):
        # Nobody reads it; the server only wants some answer.
        return _text("the client went away", 400)


def _text(message: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    # With its end: at a terminal the prompt would follow on the same line.
    return Response(message + "\n", status, headers, media_type="text/plain")


async def _body(request: Request, limit: int, visit: Visit) -> bytes:
    """The whole body, counted as it comes.

    Raises TooLargeError as soon as it is known to exceed ``limit`` bytes (0: none), BusyError where too much is held,
    ArrivalError.
    """
    # Refused unread where it is told; a chunked body has none.
    length = request.headers.get("content-length", "")
    if limit and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(ARRIVAL_LIMIT if 0 < limit <= USUAL_BODY else None):
            async for chunk in request.stream():
                visit.hold(len(chunk))
                if limit and visit.size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise ArrivalError(f"the body did not come within {ARRIVAL_LIMIT:g} seconds") from None
    return b"".join(chunks)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {limit >> 20} MB", hint="shrink the picture or raise SAGEMAKER_MAX_PAYLOAD_IN_MB"
    )
