"""What a browser is told of every answer, and what a link may not make of an object."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clary.control.wire.asgi import Head, Response, answer
from clary.control.wire.browser_headers import guarded


def sent(headers: dict[str, str], query: str = "") -> dict[str, str]:
    """The headers of an answer as they leave."""
    found: list[Any] = []

    async def send(message: Any) -> None:
        found.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    asyncio.run(answer(guarded(send, Head("GET", "/b/k", query, {})), Response(200, raw, b"x")))
    assert found[1]["body"] == b"x"
    named = [name.decode().lower() for name, _ in found[0]["headers"]]
    assert len(set(named)) == len(named)
    return {name.decode().lower(): value.decode() for name, value in found[0]["headers"]}


def test_guards_stand_on_every_answer_once():
    weak = {"Content-Security-Policy": "default-src *", "X-Content-Type-Options": "x", "content-type": "text/html"}
    headers = sent(weak)
    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-type"] == "text/html"
    assert "content-disposition" not in headers


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/HTML; charset=x",
        "image/svg+xml",
        "text/xml",
        "application/xhtml+xml",
        "multipart/x-mixed-replace",
    ],
)
def test_a_link_makes_no_page_of_an_object(kind):
    assert sent({"content-type": kind}, "response-content-type=x")["content-disposition"] == "attachment"
    named = {"content-type": kind, "content-disposition": 'inline; filename="a.html"'}
    assert sent(named, "a=1&response%2Dcontent%2Dtype=x")["content-disposition"] == 'attachment; filename="a.html"'


@pytest.mark.parametrize(
    ("kind", "query"), [("image/png", "response-content-type=image/png"), ("text/html", "x=response-content-type")]
)
def test_other_types_are_shown(kind, query):
    assert "content-disposition" not in sent({"content-type": kind}, query)
