"""Training jobs: a queue, as many jobs as the machine bears, and the taking up of what an earlier gateway left."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from functools import partial

from clary.control.jobs import capacity, status
from clary.control.jobs.job_lifecycle import KIND, JobContext, JobLifecycle, moved
from clary.control.jobs.launcher import LocalLauncher
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store
from clary.errors import one_line

__all__ = ["Jobs"]

ROOM_PAUSE = 5.0  # seconds until a job that waits for memory is looked at again
WARM_PAUSE = 0.5  # seconds between the start and that of the forkserver

_log = logging.getLogger(__name__)


class Jobs:
    """Runs the training jobs of the store. To be used from one event loop."""

    def __init__(self, settings: Settings, store: Store, objects: ObjectStore, logs: LogStore) -> None:
        self._settings = settings
        self._store = store
        self._launcher = LocalLauncher(settings)
        self._context = JobContext(settings, store, objects, logs, self._launcher, self._sharing)
        self._queue: deque[str] = deque()
        self._lifecycles: dict[str, JobLifecycle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._later: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._open = False

    async def start(self) -> None:
        """Take up every job that has not ended: those that run are found again, the others go on in their order."""
        self._open = True
        for record in self._store.select(KIND, {"InProgress", "Stopping"}):
            if record.body.get("_phase") in ("running", "uploading"):
                self._begin(record.name)
            else:
                self._queue.append(record.name)
        self._admit()
        self._opening = asyncio.create_task(self._open_launcher())

    async def close(self) -> None:
        """Leave the jobs running: the next gateway finds them."""
        self._open = False
        if self._later is not None:
            self._later.cancel()
        for task in self._tasks.values():
            task.cancel()
        if self._opening is not None:
            self._opening.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._launcher.close()

    def submit(self, name: str) -> None:
        """Queue a new job; its record is in the store."""
        self._queue.append(name)
        self._admit()
        if name in self._queue:
            self._store.edit(KIND, name, _waiting)

    def stop(self, name: str) -> None:
        """End a job: one that waits at once, one that runs after its program's answer to SIGTERM."""
        record = self._store.edit(KIND, name, _stopping)
        if name in self._queue and record is not None and status.ended(record.body):
            self._queue.remove(name)
        if name in self._lifecycles:
            self._lifecycles[name].stop_asked()

    async def _open_launcher(self) -> None:
        """Loading libraries takes a processor for seconds, which a gateway that starts has better use for."""
        await asyncio.sleep(WARM_PAUSE)
        await self._launcher.open()

    def _sharing(self) -> int:
        """Programs the machine is to be shared between: those that run, and those that wait for a place."""
        return min(len(self._lifecycles) + len(self._queue), max(capacity.slots(self._settings), len(self._lifecycles)))

    def _admit(self) -> None:
        """Start as many of the queue as there is room for."""
        while self._open and self._queue and capacity.has_room(len(self._lifecycles), self._settings):
            self._begin(self._queue.popleft())
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._open and self._queue:  # memory may come free without a job's end
            self._later = asyncio.get_running_loop().call_later(ROOM_PAUSE, self._admit)

    def _begin(self, name: str) -> None:
        lifecycle = JobLifecycle(name, self._context)
        task = asyncio.create_task(lifecycle.follow(), name=f"training job {name}")
        self._lifecycles[name], self._tasks[name] = lifecycle, task
        task.add_done_callback(partial(self._over, name))

    def _over(self, name: str, task: asyncio.Task[None]) -> None:
        del self._lifecycles[name], self._tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the life cycle of %s was left", name, exc_info=error)
            reason = f"InternalServerError: {type(error).__name__}: {one_line(str(error))}"[:1024]
            asyncio.get_running_loop().call_soon(self._store.edit, KIND, name, lambda found: _lost(found, reason))
        self._admit()


def _waiting(record: Record) -> tuple[dict[str, object], str] | None:
    if record.body["_phase"] != "queued" or record.body["SecondaryStatus"] == "Pending":
        return None
    return moved(record.body, "queued", "Pending")


def _stopping(record: Record) -> tuple[dict[str, object], str] | None:
    if status.ended(record.body):
        return None
    stopping = status.advance(record.body, "Stopping", now=time.time())
    if record.body["_phase"] == "queued":
        return moved(stopping, "ended", "Stopped")
    return stopping, stopping["TrainingJobStatus"]


def _lost(record: Record, reason: str) -> tuple[dict[str, object], str] | None:
    return None if status.ended(record.body) else moved(record.body, "ended", "Failed", FailureReason=reason)
