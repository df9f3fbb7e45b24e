"""Work for clients that stay and for clients that go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clary.vision.inference.disconnection import ClientGone, unless_gone


class Client:
    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.listening = 0

    async def receive(self) -> dict[str, Any]:
        self.listening += 1
        try:
            await self.gone.wait()
        finally:
            self.listening -= 1
        return {"type": "http.disconnect"}


def test_the_answer_or_its_error():
    async def scene() -> None:
        client = Client()
        assert await unless_gone(client.receive, asyncio.sleep(0, "answer")) == "answer"

        async def fail() -> None:
            raise KeyError("fault")

        with pytest.raises(KeyError, match="fault"):
            await unless_gone(client.receive, fail())
        await asyncio.sleep(0)
        assert client.listening == 0

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["gone", "cancelled"])
def test_work_ends_before_it_returns(how):
    async def scene() -> None:
        client, steps = Client(), []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.append("ended")

        waiting = asyncio.create_task(unless_gone(client.receive, work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if how == "gone":
            client.gone.set()
            with pytest.raises(ClientGone):
                await waiting
        else:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert steps == ["ended"]
        await asyncio.sleep(0)
        assert client.listening == 0

    asyncio.run(scene())
