"""The worker started ahead: taken, replaced, given up."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from clary.control.hosting import warm_worker as module
from clary.control.hosting.warm_worker import WarmWorker


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(module, "_DELAY", 0.01)


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("s")


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[WarmWorker]:
    warm_worker = WarmWorker(folder, **{"warm": True, "idle_after": 0.0, **settings})
    try:
        yield warm_worker
    finally:
        await warm_worker.close()


def test_taken_and_replaced(folder, until):
    async def work():
        async with opened(folder) as warm_worker:
            warm_worker.prepare()
            await until(lambda: warm_worker.pid)
            first = warm_worker.pid
            worker = await warm_worker.take({"SAGEMAKER_PROGRAM": "x"})
            assert (worker.pid, worker.warm) == (first, True)
            await until(lambda: warm_worker.pid)
            assert warm_worker.pid != first
            await worker.kill()
        assert list(folder.iterdir()) == []

    asyncio.run(work())


def test_a_container_that_sets_what_libraries_read_starts_cold(folder, until):
    async def work():
        async with opened(folder) as warm_worker:
            warm_worker.prepare()
            await until(lambda: warm_worker.pid)
            first = warm_worker.pid
            worker = await warm_worker.take({"OMP_NUM_THREADS": "1"})
            assert not worker.warm
            assert b"OMP_NUM_THREADS=1\0" in Path(f"/proc/{worker.pid}/environ").read_bytes()
            assert warm_worker.pid == first
            await worker.kill()

    asyncio.run(work())


def test_given_up_and_made_again_with_the_next_need(folder, until):
    async def work():
        async with opened(folder, idle_after=0.05) as warm_worker:
            warm_worker.prepare()
            await until(lambda: warm_worker.pid)
            first = warm_worker.pid
            await until(lambda: not warm_worker.pid)
            await until(lambda: not list(folder.iterdir()))
            worker = await warm_worker.take({})
            assert not worker.warm
            assert worker.pid != first
            await until(lambda: warm_worker.pid)
            await worker.kill()

    asyncio.run(work())


def test_one_that_died_is_not_handed_out(folder, until):
    async def work():
        async with opened(folder) as warm_worker:
            warm_worker.prepare()
            await until(lambda: warm_worker.pid)
            assert warm_worker.pid is not None
            os.kill(warm_worker.pid, signal.SIGKILL)
            await until(lambda: not warm_worker.pid)
            worker = await warm_worker.take({})
            assert not worker.warm
            await worker.kill()

    asyncio.run(work())


def test_none_where_none_is_wanted(folder):
    async def work():
        async with opened(folder, warm=False) as warm_worker:
            warm_worker.prepare()
            worker = await warm_worker.take({})
            assert not worker.warm
            assert warm_worker.pid is None
            await worker.kill()

    asyncio.run(work())


def test_closed_while_one_is_made(folder):
    async def work():
        async with opened(folder) as warm_worker:
            warm_worker.prepare()
            await asyncio.sleep(0)
        assert list(folder.iterdir()) == []

    asyncio.run(work())
