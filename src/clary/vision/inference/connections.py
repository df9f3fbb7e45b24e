"""Connections of our servers: uvicorn's, with time limits for the client.

uvicorn closes a connection that is idle between two requests, and no other: one that never sends anything, stops in the
middle of a request, or sends a byte now and then, is kept for ever. Here a client that is waited for has to get on. Its
time does not run while the server is at work, or has not asked for more of the body yet.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["Connection", "Limits"]

# What a client is waited for: to send the head of a request, or its body; to send what is left of a body that was
# answered early; to take the answer. None: it waits for us.
Waiting: TypeAlias = Literal["head", "body", "rest", "answer"] | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client may take, in seconds.

    ``head``: from the connection, or the first byte of a later request, to the end of its headers. ``body``: in each
    such time ``least`` bytes come, or the end. ``rest``: until a body ends that was answered before (413): cut off at
    once, its client would be sending still and never read why. ``answer``: without taking a byte of it; minutes, for
    programs read objects at the pace of what they do with them. ``idle``: between two requests. ``look``: between two
    looks at a connection, by which all others are late at most.
    """

    head: float = 20.0
    # Apache's RequestReadTimeout has the same 20 seconds and 500 bytes a second.
    body: float = 20.0
    least: int = 10_000
    rest: float = 5.0
    answer: float = 300.0
    idle: float = 5.0
    look: float = 1.0


class Connection(HttpToolsProtocol):
    """One connection of a client. ``limits`` are those of the class: uvicorn makes the objects."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeout_keep_alive = self.limits.idle  # type: ignore[assignment]  # goes to loop.call_later
        self._looking: asyncio.TimerHandle | None = None
        self._sends_body = False  # the first byte of it is there
        self._in_request = self._in_body = False  # a request has begun, its head is whole, and its end is not there
        self._requests = 0  # begun
        self._progress = 0  # bytes received since ``_since``
        self._unsent = 0  # bytes in the transport's buffer at ``_since``
        self._seen: tuple[Waiting, int] = (None, 0)
        self._since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._progress += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._requests += 1
        self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade() and _has_body(self.headers):
            # httptools passes such a body over, and the request would be answered as an empty one.
            self.send_400_response("This server upgrades no connection; send the request without Upgrade.")
            return
        self._in_body, self._sends_body = True, False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._sends_body = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.transport.is_closing():
            return
        self._in_request = self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # A client that holds its body back until it is asked for it will not send it now; its next request would be
        # taken for that body.
        if self._in_body and self.expect_100_continue and not self._sends_body:
            self.transport.close()

    def resume_writing(self) -> None:
        # Whether it is paused again at the next look tells nothing: much may have been taken between.
        self._seen = (None, 0)
        super().resume_writing()

    def _should_upgrade_to_ws(self) -> bool:
        # Whatever is installed: no limits would hold any more.
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """An offer to speak another protocol is no fault; uvicorn would tell each time what to install for it."""

    def _look(self) -> None:
        """Close the connection when its client has taken too long; look again later."""
        now, state = self.loop.time(), (self._waiting(), self._requests)
        if state != self._seen:
            self._wait_anew(now, state)
        elif state[0] is not None and now - self._since >= getattr(self.limits, state[0]):
            if self._has_moved(state[0]):
                self._wait_anew(now, state)
            else:
                self._give_up(state[0])
        self._looking = self.loop.call_later(self.limits.look, self._look)

    def _waiting(self) -> Waiting:
        # Closed when the last byte is taken.
        if self.transport.is_closing():
            return "answer"
        if self.cycle is None or self.cycle.response_complete:
            return "rest" if self._in_body else "head"
        if self.flow.write_paused:
            return "answer"
        asked = not self.flow.read_paused and not self.cycle.waiting_for_100_continue
        return "body" if self._in_body and asked else None

    def _wait_anew(self, now: float, state: tuple[Waiting, int]) -> None:
        self._since, self._seen, self._progress = now, state, 0
        self._unsent = self.transport.get_write_buffer_size()

    def _has_moved(self, waiting: Waiting) -> bool:
        if waiting == "answer":
            return self.transport.get_write_buffer_size() < self._unsent
        return waiting == "body" and self._progress >= self.limits.least

    def _give_up(self, waiting: Waiting) -> None:
        # Closing waits for the client to take what is left, which this one does not.
        if waiting == "answer":
            self.transport.abort()
            return
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if self._in_request and waiting != "rest" and not answering:
            self.transport.write(_TIMED_OUT)
        self.transport.close()


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" or (name == b"content-length" and value != b"0") for name, value in headers)


_TEXT = b"the request did not come in time\n"
_TIMED_OUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_TEXT), _TEXT)
)
