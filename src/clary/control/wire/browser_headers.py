"""Headers by which a browser takes what is stored here for bytes, and never for a page of this server."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from clary.control.wire.asgi import Head, Message, Send

__all__ = ["guarded"]

# Content types whose bytes can bring script along, wherever a parser might find the word.
PAGE = re.compile(rb"html|xml|svg|xsl|multipart/", re.IGNORECASE)
# On every answer, not only on those to a navigation: browsers do not tell all their navigations (Sec-Fetch-Dest is sent
# to trustworthy addresses alone), and to programs the header says nothing.
GUARDS = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]
_REPLACED = frozenset(name for name, _ in GUARDS)


def guarded(send: Send, head: Head) -> Send:
    """``send`` with the guards on the answer, in place of any that it has.

    A type that the address asks for (``response-content-type``) is whatever the writer of a link likes: where it could
    make a page, the answer is a download.
    """
    chosen = "response" in head.query and "response-content-type" in dict(parse_qsl(head.query, keep_blank_values=True))

    async def guarded_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message["headers"] if name.lower() not in _REPLACED]
            if chosen and any(name.lower() == b"content-type" and PAGE.search(value) for name, value in headers):
                headers = _as_download(headers)
            message = {**message, "headers": headers + GUARDS}
        await send(message)

    return guarded_send


def _as_download(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = next((value for name, value in headers if name.lower() == b"content-disposition"), b"")
    _, semicolon, name = given.partition(b";")
    rest = [(name, value) for name, value in headers if name.lower() != b"content-disposition"]
    return [*rest, (b"content-disposition", b"attachment" + semicolon + name)]
