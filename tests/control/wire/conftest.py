"""What tests of the wire share: functions registered for one test, a server on loopback, real AWS clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config

from clary.control.wire.app import create_app
from clary.control.wire.operation import OPERATIONS

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.fixture
def operations() -> Iterator[dict[tuple[str, str], Any]]:
    """The registered operations, empty; whatever was there comes back afterwards."""
    before = dict(OPERATIONS)
    OPERATIONS.clear()
    yield OPERATIONS
    OPERATIONS.clear()
    OPERATIONS.update(before)


@pytest.fixture
def serving() -> Iterator[Callable[[Any], str]]:
    """``serving(app)``: the address of a real server that answers with the app until the test ends."""
    with ExitStack() as stack:

        def start(app: Any) -> str:
            listener = socket.create_server(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
            started = threading.Event()
            startup = server.startup

            async def announced(sockets: Any = None) -> None:
                await startup(sockets)
                started.set()

            server.startup = announced  # type: ignore[method-assign]
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join()
                listener.close()

            stack.callback(stop)
            assert started.wait(20)
            return f"http://127.0.0.1:{listener.getsockname()[1]}"

        yield start


@pytest.fixture(scope="session")
def _session() -> boto3.Session:
    return boto3.Session(KEY, SECRET, region_name="eu-west-1")


@pytest.fixture
def client(_session: boto3.Session) -> Callable[..., Any]:
    """``client(service, url, **config)``: a real client that signs with the example key, in eu-west-1."""

    def make(service: str, url: str, *, secret: str = SECRET, **config: Any) -> Any:
        options = Config(retries={"total_max_attempts": 1}, **config)
        return _session.client(
            service, endpoint_url=url, config=options, aws_access_key_id=KEY, aws_secret_access_key=secret
        )

    return make


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An object store that answers every request with 200, the request's path, and the length of its body."""
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client went away")
        length += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    headers = [(b"x-path", scope["raw_path"]), (b"x-length", b"%d" % length), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def store() -> Any:
    """An object store that tells what reached it: headers x-path and x-length."""
    return nothing


@pytest.fixture
def make_app(store: Any) -> Callable[..., Any]:
    """``make_app(context=None, credentials=None, front_page=None)``."""

    def make(context: object = None, credentials: dict[str, str] | None = None, front_page: Any = None) -> Any:
        return create_app(
            context,
            region="us-east-1",
            account="000000000000",
            s3=store,
            credentials=credentials,
            front_page=front_page,
        )

    return make
