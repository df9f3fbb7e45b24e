"""The server of a user's code: SageMaker's contract on the socket that the platform listens on.

    GET  /ping          200, also while a call is made
    POST /invocations   what the service answers
    anything else       404

One thread reads all connections; calls are made by the thread that runs the server, one after another in the order
they came, and by further ones where the service has more streams. So users' code has the main thread to itself, and a
ping is answered while it computes.

Its one client is the platform, over a UNIX socket of this user's: of HTTP it speaks what that client sends. With the
standard library alone: users' requirements may bring any server's libraries in any version, a Python of theirs none.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from queue import SimpleQueue
from types import FrameType

from clary.toolkit.serving.service import Answer, Request, Service
from clary.toolkit.serving.settings import ServingSettings

__all__ = ["Server"]

_CHUNK = 1 << 18
_MOST_HEAD = 1 << 16  # bytes of a request's head
_SEND_SECONDS = 60.0  # for a client to take an answer
_ENDING = 70  # exit code of a worker that ended itself
_LOOK = 1.0  # seconds between two looks at how long calls take


class Server:
    """Serves until SIGTERM; then calls that have come are answered. Made and run by the process's main thread."""

    def __init__(self, listener: socket.socket, service: Service, settings: ServingSettings) -> None:
        self._listener, self._service, self._settings = listener, service, settings
        self._calls: SimpleQueue[_Connection | None] = SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()[::-1]
        self._running: dict[int, tuple[float, _Connection]] = {}  # by thread: since when
        self._stopping = False

    def run(self) -> None:
        """Returns once it was told to stop and all is answered."""
        signal.signal(signal.SIGTERM, self._stop)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        threading.Thread(target=self._ending_on_error, args=[self._read], name="connections", daemon=True).start()
        more = [
            threading.Thread(target=self._ending_on_error, args=[self._call], name=f"stream {number}", daemon=True)
            for number in range(1, self._service.streams)
        ]
        for thread in more:
            thread.start()
        # The same for this one: an interpreter that was told to end waits for threads of users' code.
        self._ending_on_error(self._call)
        for thread in more:
            thread.join()
        self._service.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        os.write(self._wake, b"s")

    def _ending_on_error(self, work: Callable[[], None]) -> None:
        """Of a thread that has ended nobody else would notice."""
        try:
            work()
        except BaseException:  # noqa: BLE001  # whatever it is
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(_ENDING)

    # The threads that call.

    def _call(self) -> None:
        while (connection := self._calls.get()) is not None:
            request = connection.request
            if request is None or connection.gone:  # its client gave up meanwhile
                continue
            self._running[threading.get_ident()] = (time.monotonic(), connection)
            connection.answer(self._service.answer(request))
            del self._running[threading.get_ident()]
            if self._stopping:
                os.write(self._wake, b"a")
        self._calls.put(None)  # for the next thread

    # The thread that reads.

    def _read(self) -> None:
        while not self._stopping or self._pending():
            for key, _ in self._selector.select(_LOOK):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._woken:
                    os.read(self._woken, 64)
                else:
                    self._receive(key.data)
            self._look()
        self._listener.close()
        self._calls.put(None)

    def _pending(self) -> bool:
        """Whether a request has begun to come that is not answered; who stops lets it end."""
        keys = list(self._selector.get_map().values())
        return any(key.data is not None and key.data.busy for key in keys)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        accepted.setblocking(False)
        self._selector.register(accepted, selectors.EVENT_READ, _Connection(accepted, self._settings.most))

    def _receive(self, connection: _Connection) -> None:
        for path in connection.receive():
            if path == "POST /invocations":
                self._calls.put(connection)
            elif path == "GET /ping":
                connection.answer(Answer(200, b"", "application/json"))
            elif path == "too large":
                connection.answer(_too_large(self._settings.most))
            else:
                connection.answer(Answer(404, b"there is /ping and /invocations\n", "text/plain"))
        if connection.gone:
            self._selector.unregister(connection.socket)
            connection.close()

    def _look(self) -> None:
        """End the process of a call that takes too long: what is stuck in it cannot be ended alone."""
        for since, connection in list(self._running.values()):
            if time.monotonic() - since > self._settings.timeout:
                what = (
                    f"a call took longer than {self._settings.timeout:g} seconds (SAGEMAKER_MODEL_SERVER_TIMEOUT), and "
                    "its worker is ended"
                )
                sys.stderr.write(f"{what}\n")
                sys.stderr.flush()
                connection.answer(Answer(500, f"{what}\n".encode(), "text/plain"))
                os._exit(_ENDING)


class _Connection:
    """One connection: a request is read, answered, and the next is read."""

    def __init__(self, accepted: socket.socket, most: int) -> None:
        self.socket, self._most = accepted, most
        self.request: Request | None = None
        self.gone = False  # closed by the client
        self._buffer = bytearray()
        self._head: tuple[str, dict[str, str], int] | None = None
        self._left = 0  # bytes of a body that is too large, still to be passed over
        self._sending = threading.Lock()  # who closes waits: the number would be another connection's

    @property
    def busy(self) -> bool:
        """Whether a request has begun that is not answered."""
        return bool(self._buffer) or self._head is not None or self.request is not None

    def receive(self) -> Iterator[str]:
        """Read what is there; the method and path of each request that is whole by now, whose body is in
        ``request``."""
        try:
            data = self.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.gone = True
            return
        self._buffer += data
        while (path := self._next()) is not None:
            yield path

    def _next(self) -> str | None:
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        path, headers, size = self._head
        if self._most and size > self._most:
            # Passed over to its end: a client that is still sending would not read the answer.
            passed = min(self._left, len(self._buffer))
            self._left -= passed
            del self._buffer[:passed]
            if self._left:
                return None
            self._head = None
            return "too large"
        if len(self._buffer) < size:
            return None
        body = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        self._head = None
        if path == "POST /invocations":
            self.request = Request(
                body,
                headers.get("content-type", ""),
                headers.get("accept", ""),
                headers.get("x-amzn-sagemaker-custom-attributes", ""),
                headers,
            )
        return path

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, _MOST_HEAD)
        if end < 0:
            self.gone |= len(self._buffer) >= _MOST_HEAD  # no client of ours
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = headers.get("content-length", "0")
        method, _, rest = first.partition(" ")
        if not size.isdigit() or "transfer-encoding" in headers:
            self.gone = True
            return False
        self._left = int(size)
        self._head = (f"{method} {rest.partition(' ')[0]}", headers, int(size))
        return True

    def answer(self, answer: Answer) -> None:
        """Send it whole, unless the client is gone."""
        answer = _checked(answer)
        lines = [
            f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Status')}",
            f"content-type: {_line(answer.content_type)}",
            f"content-length: {len(answer.body)}",
        ]
        if answer.custom_attributes:
            lines.append(f"x-amzn-sagemaker-custom-attributes: {_line(answer.custom_attributes)}")
        # ASCII: clients differ in what they read another byte as, and the platform could not hand it on.
        head = "\r\n".join([*lines, "", ""]).encode("ascii", "replace")
        pieces = [head + answer.body] if len(answer.body) < _CHUNK else [head, answer.body]
        with self._sending:
            self.request = None
            try:
                for piece in pieces:
                    self._send(memoryview(piece))
            except OSError:
                with suppress(OSError):
                    self.socket.shutdown(socket.SHUT_RDWR)  # which the thread that reads sees, and closes it

    def _send(self, view: memoryview) -> None:
        """Raises OSError, TimeoutError among them."""
        while view:
            try:
                view = view[self.socket.send(view) :]
            except BlockingIOError:
                if not _writable(self.socket, _SEND_SECONDS):
                    raise TimeoutError from None

    def close(self) -> None:
        with self._sending:
            self.socket.close()


def _writable(connection: socket.socket, seconds: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_WRITE)
        return bool(selector.select(seconds))


def _line(text: str) -> str:
    """As a header may be: users' code says what is in it."""
    return " ".join(_NO_TEXT.sub("", text).split())


def _checked(answer: Answer) -> Answer:
    """What users' code answered, or that it is no answer of HTTP: the platform could not read it, or would take a part
    of it for the next one."""
    wrong = ""
    if not 200 <= answer.status <= 599:
        wrong = f"the status {answer.status}, which is none of an answer (200 to 599)"
    for name, text in (("a content type", answer.content_type), ("custom attributes", answer.custom_attributes)):
        if len(text) > _MOST_OF_A_LINE:
            wrong = f"{name} of {len(text)} characters; {_MOST_OF_A_LINE} are the most"
    if wrong:
        return Answer(500, f"the code answered with {wrong}\n".encode(), "text/plain")
    return replace(answer, body=b"") if answer.status in _WITHOUT_BODY else answer


def _too_large(most: int) -> Answer:
    what = f"the body is larger than {most >> 20} MB; send less or raise SAGEMAKER_MAX_PAYLOAD_IN_MB in the model's env"
    return Answer(413, f"{what}\n".encode(), "text/plain")


_NO_TEXT = re.compile(r"[^\t\n\x0b\x0c\r\x20-\x7e\xa0-\U0010ffff]")  # what no header may hold; spaces are _line's
_MOST_OF_A_LINE = 1024  # characters; the API's own limit of both (InvokeEndpoint)
_WITHOUT_BODY = (204, 304)  # whatever follows, no client reads it (RFC 9110, 15.3.5 and 15.4.5)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
