"""The queue of jobs of every kind: starts as many as the machine has room for, resumes those of an earlier gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable
from functools import partial

from clary.control.jobs import capacity, trial_components
from clary.control.jobs.job import JobContext
from clary.control.jobs.job_lifecycle import JobLifecycle, entered
from clary.control.jobs.kind import JobKind
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.launchers.base import Launcher
from clary.control.jobs.status import Stage
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import NoSuchRecord, Record, Store, StoreError
from clary.errors import one_line

__all__ = ["Jobs"]

ROOM_PAUSE = 5.0  # seconds until a job that waits for memory is looked at again
WARM_PAUSE = 0.5  # seconds between the start and that of the forkserver

_log = logging.getLogger(__name__)

Name = tuple[str, str]  # of a job: its kind, and its name within that


class Jobs:
    """Runs the jobs of the store. To be used from one event loop."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        objects: ObjectStore,
        logs: LogStore,
        launcher: Launcher,
        kinds: Iterable[JobKind] = KINDS,
    ) -> None:
        self._settings = settings
        self._store = store
        self._launcher = launcher
        self._kinds = {kind.name: kind for kind in kinds}
        self._context = JobContext(settings, store, objects, logs, launcher, self, self._sharing)
        self._queue: deque[Name] = deque()
        self._lifecycles: dict[Name, JobLifecycle] = {}
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self._endings: dict[Name, asyncio.Future[Record]] = {}  # of jobs whose end somebody waits for
        self._later: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._open = False

    async def start(self) -> None:
        """Take up every job that has not ended: those that run are found again, the others go on in their order."""
        self._open = True
        left = [record for kind in self._kinds.values() for record in self._store.select(kind.name, kind.status.open)]
        # In the order of their creation over all kinds: the queue is one, and was so when they were put into it.
        for record in sorted(left, key=lambda record: record.created):
            self._begin_component(record)
            # These have their place already, more of them than fit perhaps: their programs may be running.
            if record.body.get("_phase") in ("running", "uploading"):
                self._begin(record)
            else:
                self._enqueue(record)
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
        for ending in self._endings.values():
            ending.cancel()
        # Last: those who follow jobs ask it until they are gone.
        await self._launcher.close()

    def submit(self, kind: str, name: str) -> None:
        """Queue a new job; its record is in the store."""
        if (record := self._store.get(kind, name)) is not None:
            self._enqueue(record)
        self._admit()
        # After the look for room: a job that starts at once never says that it waits.
        if (kind, name) in self._queue:
            self._store.edit(kind, name, partial(_waiting, self._kinds[kind]))

    def stop(self, kind: str, name: str) -> None:
        """End a job: one that waits at once, one that runs after its program's answer to SIGTERM."""
        # The record first: a gateway killed behind this line finds a job that is to stop.
        record = self._store.edit(kind, name, partial(_stopping, self._kinds[kind]))
        if record is None:
            return
        if (kind, name) in self._queue and self._kinds[kind].status.ended(record.body):
            self._queue.remove((kind, name))
        if (kind, name) in self._lifecycles:
            self._lifecycles[kind, name].stop_asked()
        self._announce(record)

    async def ended(self, kind: str, name: str) -> Record:
        """The job's record once it has ended, at once if it has. Raises NoSuchRecord.

        Any number may wait, and give up waiting. The end is that of the job, not of the clearing up after it.
        """
        record = self._store.get(kind, name)
        if record is None:
            raise NoSuchRecord(f"there is no {kind} `{name}`")
        if self._kinds[kind].status.ended(record.body):
            return record
        # Nothing ends between the look above and the line below: ends are announced by this event loop.
        ending = self._endings.setdefault((kind, name), asyncio.get_running_loop().create_future())
        # Others wait for the same future, and who gives up must not take it from them.
        return await asyncio.shield(ending)

    async def _open_launcher(self) -> None:
        """Loading libraries takes a processor for seconds, which a gateway that starts has better use for."""
        await asyncio.sleep(WARM_PAUSE)
        await self._launcher.open()

    def _begin_component(self, record: Record) -> None:
        """A gateway may have been killed between the job and its trial component."""
        try:
            trial_components.begin(self._kinds[record.kind], record, self._settings, self._store)
        except StoreError as error:  # the job comes first, and goes on without
            _log.warning("the trial component of %s cannot be made: %s", record.name, error)

    def _hosts(self) -> int:
        """Hosts that run, or are made ready to."""
        return sum(len(lifecycle.hosts) for lifecycle in self._lifecycles.values())

    def _sharing(self) -> int:
        """Programs the machine is to be shared between: those that run, and those that wait for a place."""
        running = self._hosts()
        return min(running + len(self._queue), max(capacity.slots(self._settings), running))

    def _enqueue(self, record: Record) -> None:
        """A job without hosts takes no place, and those it makes would wait for the one it had."""
        free = (record.kind, record.name) not in self._tasks
        if self._open and free and not self._kinds[record.kind].hosts(record.body):
            self._begin(record)
        else:
            self._queue.append((record.kind, record.name))

    def _admit(self) -> None:
        """Start as many of the queue as there is room for."""
        while self._open and (name := self._next()) and capacity.has_room(self._hosts(), self._settings):
            self._queue.remove(name)
            if (record := self._store.get(*name)) is not None:
                self._begin(record)
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._open and self._queue:  # memory may come free without a job's end
            self._later = asyncio.get_running_loop().call_later(ROOM_PAUSE, self._admit)

    def _next(self) -> Name | None:
        """The first of the queue that may start."""
        # Not one whose name a deleted job had while that one's threads still write to the folder, or clear it.
        return next((name for name in self._queue if name not in self._tasks), None)

    def _begin(self, record: Record) -> None:
        name = (record.kind, record.name)
        lifecycle = JobLifecycle(self._kinds[record.kind], record, self._context, self._announce)
        task = asyncio.create_task(lifecycle.follow(), name=f"{record.kind} {record.name}")
        self._lifecycles[name], self._tasks[name] = lifecycle, task
        task.add_done_callback(partial(self._over, name, record.created))

    def _over(self, name: Name, created: float, task: asyncio.Task[None]) -> None:
        del self._lifecycles[name], self._tasks[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the platform failed while it followed the job %s, which is failed", name[1], exc_info=error)
            reason = f"InternalServerError: {type(error).__name__}: {one_line(str(error))}"[:1024]
            # Not here: a store that refuses would raise out of a callback, and the next job would not be admitted.
            asyncio.get_running_loop().call_soon(self._give_up, name, created, reason)
        self._admit()

    def _give_up(self, name: Name, created: float, reason: str) -> None:
        record = self._store.edit(*name, partial(_lost, self._kinds[name[0]], created, reason))
        if record is not None:
            self._announce(record)

    def _announce(self, record: Record) -> None:
        """Tell those who wait for the job's end, if this is it."""
        if not self._kinds[record.kind].status.ended(record.body):
            return
        ending = self._endings.pop((record.kind, record.name), None)
        if ending is not None and not ending.done():
            ending.set_result(record)


def _waiting(kind: JobKind, record: Record) -> tuple[dict[str, object], str] | None:
    return entered(kind, record.body, "queued", Stage.PENDING) if record.body["_phase"] == "queued" else None


def _stopping(kind: JobKind, record: Record) -> tuple[dict[str, object], str] | None:
    if kind.status.ended(record.body):
        return None
    stopping = kind.status.advance(record.body, Stage.STOPPING, now=time.time())
    if record.body["_phase"] == "queued":
        return entered(kind, stopping, "ended", Stage.STOPPED)
    return stopping, kind.status.word(stopping)


def _lost(kind: JobKind, created: float, reason: str, record: Record) -> tuple[dict[str, object], str] | None:
    if record.created != created or kind.status.ended(record.body):
        return None
    return entered(kind, record.body, "ended", Stage.FAILED, FailureReason=reason)
