"""A body that is checked while it streams: its receiver never sees the end of one that is not what was signed."""

from __future__ import annotations

import hashlib

from clary.control.wire.asgi import ASGIApp, Message, Receive, Scope, Send

__all__ = ["CheckedBody"]


class CheckedBody:
    """Stands between the server and an application.

    One chunk is always held back, so that of a wrong body at least the last byte is missing; in its place the
    application is told that the client went away, and what it answers to that is dropped.
    """

    def __init__(self, receive: Receive, send: Send, digest: str) -> None:
        self.wrong = False
        self.answered = False
        self._receive, self._send, self._digest = receive, send, digest
        self._hash = hashlib.sha256()
        self._held: Message | None = None
        self._ended = False

    async def pass_to(self, app: ASGIApp, scope: Scope) -> None:
        """Run ``app``; how it fails over a body that broke off is nobody's concern."""
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            if not self.wrong:
                raise

    async def receive(self) -> Message:
        if self._ended:
            return {"type": "http.disconnect"} if self.wrong else await self._receive()
        message = self._held or await self._next()
        while message["type"] == "http.request" and message.get("more_body", False):
            following = await self._next()
            if following["type"] != "http.request":
                message = following
            # Never passed on with more_body and then nothing: the last piece that has bytes must be the one held back.
            elif following.get("body", b"") and message.get("body", b""):
                self._held = following
                return message
            else:
                body = message.get("body", b"") + following.get("body", b"")
                message = {**following, "body": body}
        self._ended = True
        self._held = None
        if message["type"] == "http.request" and self._hash.hexdigest() != self._digest:
            self.wrong = True
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        # An answer that has begun cannot be taken back; then the broken connection says it.
        if self.wrong and not self.answered:
            return
        self.answered = True
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._hash.update(message.get("body", b""))
        return message
