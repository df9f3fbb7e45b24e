"""Serving an app on a socket until told to stop."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import Any, Literal

import uvicorn

from clary.errors import UsageError
from clary.vision.inference.connections import Connection

__all__ = ["PORT_VARIABLE", "address", "bind", "run", "run_within"]

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"

# Seconds that running requests have to end after SIGTERM; SageMaker sends SIGKILL after 30.
GRACE = 25

MANY_FILES = 1 << 16


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises UsageError when the port or host cannot be had."""
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"is no address of this machine ({error.strerror})", where=where) from error
    try:
        # Elsewhere the option would let two servers share a port.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        # Uvicorn's own backlog; with few, bursts of connections wait a second to be tried again.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _cannot_bind(where, error) from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL a client on this machine uses."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        # All addresses of the machine: good to listen on, not to connect to.
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: Any, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then let running requests end. Closes the socket."""
    run_within(lambda: nullcontext(app), listener, lifespan="on")


def run_within(
    opening: Callable[[], AbstractAsyncContextManager[Any]],
    listener: socket.socket,
    *,
    lifespan: Literal["on", "off"] = "off",
) -> None:
    """As ``run``, for an app that is opened on the event loop first and closed there afterwards."""
    _allow_many_files()
    config = uvicorn.Config(
        None,  # type: ignore[arg-type]  # known once it is open
        http=Connection,
        # The gateway and `clary serve` print lines of their own.
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan=lifespan,
        timeout_graceful_shutdown=GRACE,
    )

    async def serve() -> None:
        async with opening() as app:
            config.app = app
            with _signalled_once():
                await uvicorn.Server(config).serve(sockets=[listener])

    try:
        # uvicorn's own choice of loop (uvloop where it is), which Server.serve alone does not make.
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve())
    finally:
        listener.close()


def _allow_many_files() -> None:
    """Let this process have as many connections open as it may: most shells allow 1,024 files, hard limits more."""
    if sys.platform == "win32":
        return
    import resource  # of POSIX

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Not to the end: some programs that jobs run close every number there could be.
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _signalled_once() -> Iterator[None]:
    """The server sends itself the signal again once it has stopped; that must not count as a crash."""
    stop = {name: signal.signal(name, _stopped) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in stop.items():
            signal.signal(name, handler)


def _stopped(number: int, frame: object) -> None:
    """A stop that was already carried out."""


def _cannot_bind(where: str, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            "the port is taken", where=where, hint="stop what listens there, or use --port 0 for a free one"
        )
    if error.errno == errno.EACCES:
        return UsageError("the port needs an administrator", where=where, hint="use a port above 1023")
    return UsageError(f"cannot listen there ({error.strerror})", where=where, hint="use --host 127.0.0.1")
