"""A program of the user's own that is a server: started with `serve`, asked over HTTP on a port of this machine."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from clary.errors import CustomerError
from clary.toolkit import mounts
from clary.toolkit.serving.service import Answer, Request

__all__ = ["AWS_PORT", "Command"]

AWS_PORT = 8080  # where a container's server listens on SageMaker
PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
STREAMS = 16  # calls at a time: how many it makes of them is the program's own matter
_PAUSE = 0.05  # seconds between two pings while it starts
_GRACE = 25.0  # seconds between SIGTERM and SIGKILL; SageMaker sends the second after 30
_PING_SECONDS = 2.0  # as SageMaker's (developer guide, "Use your own inference code")
_NOT_PASSED_ON = frozenset({"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})


class Command:
    """A running server. Made once it has answered a ping with 200; how long that may take is up to who waits for it.

    It is told a free port in SAGEMAKER_BIND_TO_PORT; one that listens on 8080 all the same is asked there, if that port
    was free when it was started. ``say`` takes lines for the log. Raises CustomerError where it cannot be started, ends
    by itself, or finds port 8080 taken.
    """

    streams = STREAMS

    def __init__(
        self, words: Sequence[str], variables: Mapping[str, str], folder: Path, say: Callable[[str], object]
    ) -> None:
        own, self._may_take_awss = _free_port(), _is_free(AWS_PORT)
        try:
            self._process = subprocess.Popen(
                words,
                env={**variables, PORT_VARIABLE: str(own)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # it may start others, which end with it
                preexec_fn=_die_with_worker if sys.platform == "linux" else None,  # there is one thread yet
            )
        except OSError as error:
            raise CustomerError(f"the program `{words[0]}` cannot be started: {error.strerror}") from error
        self._port = self._wait(own)
        if self._port == AWS_PORT:
            say(f"the program listens on port {AWS_PORT}, whatever {PORT_VARIABLE} says: one such endpoint at a time")
        self._closing = False
        self._idle: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()
        threading.Thread(target=self._end_with_it, name="program", daemon=True).start()

    def answer(self, request: Request) -> Answer:
        """What the program answers; 500 where it breaks off."""
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED_ON}
        connection = self._connection()
        try:
            connection.request("POST", "/invocations", request.body, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return Answer(500, f"the program broke off: {error!r}\n".encode(), "text/plain")
        self._idle.put(connection)
        kind, attributes = (answer.getheader(name, "") for name in ("content-type", _ATTRIBUTES))
        return Answer(answer.status, body, kind, attributes)

    def close(self) -> None:
        self._closing = True
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _connection(self) -> http.client.HTTPConnection:
        """One that is open still, or a new one: programs close idle ones, which shows as bytes to read."""
        while True:
            try:
                found = self._idle.get_nowait()
            except Empty:
                return http.client.HTTPConnection("127.0.0.1", self._port)
            if found.sock is not None and not _readable(found.sock):
                return found
            found.close()

    def _wait(self, own: int) -> int:
        """The port that a ping was answered on."""
        while (code := self._process.poll()) is None:
            for port in (own, AWS_PORT) if self._may_take_awss else (own,):
                if _pings(port):
                    return port
            time.sleep(_PAUSE)
        raise CustomerError(*self._ended(code))

    def _ended(self, code: int) -> tuple[str]:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        taken = (
            "" if self._may_take_awss else f"; port {AWS_PORT}, which it may want, was taken: it is for one at a time"
        )
        return (f"the program {how} before it answered a ping{taken}",)

    def _end_with_it(self) -> None:
        code = self._process.wait()
        if self._closing:
            return
        os.write(2, f"the program ended with exit code {code}\n".encode())
        os._exit(1)  # another worker is started

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def _die_with_worker() -> None:
    """However that ends: killed, it could not end the program."""
    mounts.kill_with_parent(signal.SIGKILL)


_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"


def _pings(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PING_SECONDS)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what ended a moment ago does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _readable(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.setblocking(True)
    return True
