"""When an instance starts again, waits, gives up. Its workers are real; how a start ends is up to each test."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from clary.control.hosting import instance as module
from clary.control.hosting.assignment import Assignment
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.instance import SENDINGS, Instance, NotServing
from clary.control.hosting.log import VariantLog
from clary.control.hosting.process import Worker
from clary.control.logs.streams import LogStore

# Each test starts a real worker.
pytestmark = pytest.mark.slow

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture
def start(tmp_path_factory, tmp_path, model_folder):
    """``await start()``: a worker that serves."""

    async def work() -> Worker:
        worker = await Worker.spawn(sockets, {})
        worker.assign(Assignment(str(model_folder), {}).line(), log)
        await worker.serving(60)
        return worker

    sockets = tmp_path_factory.mktemp("s")
    log = VariantLog(LogStore(tmp_path), "pets", "v")
    yield work
    log.close()


@asynccontextmanager
async def opened(
    start: Callable[[], Awaitable[Worker]], notes: list[str], idle_after: float = 0
) -> AsyncIterator[Instance]:
    instance = Instance(start, idle_after=idle_after, note=notes.append)
    try:
        yield instance
    finally:
        await instance.close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)


def test_pauses_double_up_to_half_a_minute(monkeypatch):
    monkeypatch.undo()

    async def work():
        instance = Instance(failing, idle_after=0, note=lambda line: None)
        pauses = []
        for failures in range(10):
            instance._failures = failures
            pauses.append(instance._pause())
        assert pauses == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]

    asyncio.run(work())


async def failing() -> Worker:
    raise StartFailed("no such thing")


def test_a_first_start_that_fails_is_told_and_not_repeated():
    async def work():
        notes: list[str] = []
        async with opened(failing, notes) as instance:
            with pytest.raises(StartFailed, match="no such thing"):
                await instance.open()
            assert notes == []

    asyncio.run(work())


def test_starts_that_fail_again_and_again_fail_the_calls(start, jpeg):
    async def work():
        notes: list[str] = []
        starts = 0

        async def fifth() -> Worker:
            nonlocal starts
            starts += 1
            return await (start() if starts == 5 else failing())

        async with opened(fifth, notes) as instance:
            with pytest.raises(NotServing, match="no such thing"):
                await instance.call(jpeg(), JPEG)
            assert notes[:2] == [f"no such thing; next try in {pause} seconds" for pause in (0.01, 0.02)]
            async with asyncio.timeout(60):
                while instance.worker is None:
                    with pytest.raises(NotServing):
                        await instance.call(jpeg(), JPEG)
                    await asyncio.sleep(0.001)
            assert (await instance.call(jpeg(), JPEG)).status == 200
        assert starts == 5

    asyncio.run(work())


@pytest.mark.slow
def test_a_call_that_kills_workers_takes_only_some_with_it(start, jpeg):
    async def work():
        notes: list[str] = []
        starts = 0

        async def doomed() -> Worker:
            nonlocal starts
            starts += 1
            worker: Worker = await start()
            if starts <= SENDINGS:
                os.kill(worker.pid, signal.SIGKILL)
            return worker

        async with opened(doomed, notes) as instance:
            with pytest.raises(NotServing, match="4 workers in a row died under this request"):
                await instance.call(jpeg(), JPEG)
            assert (await instance.call(jpeg(), JPEG)).status == 200
        assert notes.count("the worker was ended by SIGKILL; another is started") == SENDINGS

    asyncio.run(work())


def test_a_call_waits_for_the_start(start, jpeg):
    async def work():
        async with opened(start, []) as instance:
            assert instance.worker is None
            assert (await instance.call(jpeg(), JPEG)).status == 200

    asyncio.run(work())


def test_a_call_that_is_given_up_leaves_the_others(start, jpeg):
    async def work():
        async with opened(start, []) as instance:
            calls = [asyncio.create_task(instance.call(jpeg(), JPEG)) for _ in range(3)]
            await asyncio.sleep(0)
            calls[0].cancel()
            assert [(await call).status for call in calls[1:]] == [200, 200]
            await instance.drain(60)
            assert instance.worker is None

    asyncio.run(work())


def test_calls_do_not_wait_for_one_that_is_closed(jpeg):
    async def never() -> Worker:
        await asyncio.Event().wait()
        raise AssertionError

    async def work():
        async with opened(never, []) as instance:
            call = asyncio.create_task(instance.call(jpeg(), JPEG))
            await asyncio.sleep(0)
            await instance.drain(0.01)
            with pytest.raises(NotServing, match="changed or deleted under this request"):
                await call

    asyncio.run(work())


def test_closed_while_it_starts(start):
    async def work():
        async with opened(start, []) as instance:
            instance.wake()
            await asyncio.sleep(0)

    asyncio.run(work())


def test_one_that_is_told_to_stop_from_outside_is_replaced(start, jpeg):
    async def work():
        notes: list[str] = []
        async with opened(start, notes) as instance:
            await instance.open()
            worker = instance.worker
            assert worker is not None
            os.kill(worker.pid, signal.SIGTERM)
            calls = [(await instance.call(jpeg(), JPEG)).status for _ in range(20)]
            assert calls == [200] * 20
            await worker.ended.wait()
            assert (await instance.call(jpeg(), JPEG)).status == 200
            assert notes == ["the worker ended with exit code 0; another is started"]

    asyncio.run(work())
