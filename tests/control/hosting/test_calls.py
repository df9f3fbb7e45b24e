"""How calls wait for a variant. Its worker is made up: it answers when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from clary.control.hosting.instance import Instance
from clary.control.hosting.process import Reply, Worker
from clary.errors import BusyError
from clary.vision.inference.admission import Admission


class Slow:
    """Keeps every call until ``answer``."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.calls: list[asyncio.Future[None]] = []

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        self.calls.append(asyncio.get_running_loop().create_future())
        await self.calls[-1]
        return Reply(200, body, CIMultiDictProxy(CIMultiDict()), 0.0)

    async def stop(self) -> None:
        self.ended.set()

    def answer(self, count: int) -> None:
        for call in [call for call in self.calls if not call.done()][:count]:
            call.set_result(None)


def play(scene: Callable[[Slow, Instance], Coroutine[Any, Any, None]], calls: int = 1000) -> None:
    async def main() -> None:
        worker = Slow()

        async def start() -> Worker:
            return cast(Worker, worker)

        instance = Instance(start, idle_after=0, note=lambda line: None, admission=Admission(calls))
        try:
            async with asyncio.timeout(20):
                await instance.open()
                await scene(worker, instance)
        finally:
            await instance.close()

    asyncio.run(main())


async def begun(instance: Instance, count: int, limit: float | None = 60) -> list[asyncio.Task[Reply]]:
    tasks = [asyncio.create_task(instance.call(b"%d" % number, {}, limit)) for number in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def test_two_hundred_are_all_answered():
    async def scene(worker: Slow, instance: Instance) -> None:
        tasks = await begun(instance, 200)
        for _ in range(25):
            worker.answer(8)
            await asyncio.sleep(0)
        assert [(await task).body for task in tasks] == [b"%d" % number for number in range(200)]

    play(scene)


def test_one_too_many_is_told_when_to_come_again():
    async def scene(worker: Slow, instance: Instance) -> None:
        tasks = await begun(instance, 3)
        with pytest.raises(BusyError, match="too many requests are waiting"):
            await instance.call(b"", {})
        tasks[1].cancel()
        await asyncio.wait({tasks[1]})
        tasks += await begun(instance, 1)
        worker.answer(4)
        assert [(await task).body for task in (tasks[0], tasks[2], tasks[3])] == [b"0", b"2", b"0"]

    play(scene, calls=3)


def test_who_goes_is_taken_back_from_the_worker():
    async def scene(worker: Slow, instance: Instance) -> None:
        (task,) = await begun(instance, 1)
        task.cancel()
        await asyncio.wait({task})
        assert worker.calls[0].cancelled()

    play(scene)


def test_time_is_up():
    async def scene(worker: Slow, instance: Instance) -> None:
        with pytest.raises(TimeoutError):
            await instance.call(b"", {}, 0.01)
        assert worker.calls[0].cancelled()

    play(scene)


def test_a_variant_that_is_full_takes_nothing_from_another():
    async def scene(worker: Slow, instance: Instance) -> None:
        async def other(quick: Slow, beside: Instance) -> None:
            for _ in range(3):
                tasks = await begun(beside, 3)
                quick.answer(3)
                await asyncio.gather(*tasks)

        waiting = await begun(instance, 3)
        with pytest.raises(BusyError):
            await instance.call(b"", {})
        quick = Slow()

        async def start() -> Worker:
            return cast(Worker, quick)

        beside = Instance(start, idle_after=0, note=lambda line: None)
        await beside.open()
        await other(quick, beside)
        await beside.close()
        worker.answer(3)
        await asyncio.gather(*waiting)

    play(scene, calls=3)
