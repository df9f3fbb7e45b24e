"""A worker started ahead: its libraries are loaded, it waits for a model.

Loading the serving libraries is the longer half of a worker's start (0.35 of 0.75 seconds for an EfficientNet-Lite0
on two cores). One worker does that ahead for the next deployment, wake or restart, and is replaced once it is taken.
It holds about 90 MiB; when nobody took it for a while it is given up, and the next worker starts cold.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from clary.control.hosting.process import Worker

__all__ = ["WarmWorker"]

_DELAY = 1.0  # seconds: whoever took the last one needs the cores now
_GRACE = 2.0

log = logging.getLogger(__name__)

Spawn = Callable[[Path, Mapping[str, str]], Awaitable[Worker]]


class WarmWorker:
    """The one warm worker. ``idle_after`` is in seconds; 0 or less: never given up. Used in one event loop.

    ``spawn`` starts a worker that is wanted now, ``ahead`` one that is to be warm.
    """

    def __init__(
        self, folder: Path, *, warm: bool, idle_after: float, spawn: Spawn | None = None, ahead: Spawn | None = None
    ) -> None:
        self._folder = folder
        self._spawn = spawn or Worker.spawn
        self._ahead = ahead or self._spawn
        self._warm = warm
        self._idle_after = idle_after
        self._worker: Worker | None = None
        self._making: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, or None when there is none."""
        return self._worker.pid if self._worker is not None and self._worker.usable else None

    def prepare(self) -> None:
        """Have one soon, unless there is one or none is wanted."""
        if self._warm and self._worker is None and self._making is None:
            self._making = asyncio.create_task(self._make())

    async def take(self, environment: Mapping[str, str]) -> Worker:
        """A worker for a container with this environment: the warm one, or a new one. The caller owns it."""
        worker = self._release() if _may_come_late(environment) else None
        if worker is None:
            worker = await self._spawn(self._folder, environment)
        else:
            worker.warm = True
        self.prepare()
        return worker

    async def close(self) -> None:
        """End it, and make no more."""
        self._warm = False
        if self._making is not None:
            self._making.cancel()
        await self._give_up()

    def _release(self) -> Worker | None:
        """The warm worker, which is ours no more; None when there is none alive."""
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        if self._making is not None:
            self._making.cancel()  # it waits to give it up
            self._making = None
        return worker if worker.usable else None

    async def _make(self) -> None:
        await asyncio.sleep(_DELAY)
        try:
            self._worker = await self._ahead(self._folder, {})
        except OSError as error:
            log.warning("no worker can be started ahead: %s", error.strerror)
        else:
            if self._idle_after > 0:
                await asyncio.sleep(self._idle_after)
                await self._give_up()
        self._making = None

    async def _give_up(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(_GRACE)


def _may_come_late(environment: Mapping[str, str]) -> bool:
    """Whether all of it can be set after the libraries are loaded: they read none of SageMaker's own variables."""
    # OMP_NUM_THREADS and its like are read when the libraries are loaded, which has happened.
    return all(name.startswith("SAGEMAKER_") for name in environment)
