"""Bodies that are checked while they stream."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.wire.bodies import CheckedBody


def _pass(
    chunks: list[bytes], digest: str, *, cut: bool = False, fails: bool = True
) -> tuple[CheckedBody, bytes, bool, list[Any]]:
    """The body, what the application saw, whether it saw the end, and what was sent."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if cut:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    seen, ended, sent = [], [], []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                if fails:
                    raise ConnectionError("gone")
                break
            seen.append(message.get("body", b""))
            if not message.get("more_body", False):
                ended.append(True)
                break
        await send({"type": "http.response.start"})

    body = CheckedBody(receive, send, digest)
    asyncio.run(body.pass_to(app, {}))
    return body, b"".join(seen), bool(ended), sent


CHUNKS = st.lists(st.binary(max_size=4), min_size=1, max_size=6)


@given(CHUNKS)
def test_the_right_body_passes_whole(chunks):
    whole = b"".join(chunks)
    body, seen, ended, sent = _pass(chunks, hashlib.sha256(whole).hexdigest())
    assert (seen, ended, body.wrong, body.answered) == (whole, True, False, True)
    assert sent == [{"type": "http.response.start"}]


@given(CHUNKS, st.booleans())
def test_the_end_of_a_wrong_body_is_never_seen(chunks, fails):
    whole = b"".join(chunks)
    body, seen, ended, sent = _pass(chunks, hashlib.sha256(whole + b"!").hexdigest(), fails=fails)
    assert (ended, body.wrong, body.answered, sent) == (False, True, False, [])
    assert len(seen) < len(whole) or not whole
    assert whole.startswith(seen)


def test_a_client_that_goes_away_is_told_as_such():
    digest = hashlib.sha256(b"ab").hexdigest()
    with pytest.raises(ConnectionError):
        _pass([b"a", b"b"], digest, cut=True)
