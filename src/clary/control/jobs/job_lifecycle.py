"""The life cycle of one job of any kind: from the queue to its end, phase by phase.

    queued -> preparing -> running -> uploading -> ended

The phase stands in the job's record. Each step does its work and then moves the record on, so a gateway that was killed
takes a job up where its record says; every step may be done twice. How its hosts stand is told by the launcher, never
by the record: a record cannot know of a machine that went away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from clary.control.jobs import capacity, folders, reasons
from clary.control.jobs.job import Job, JobContext
from clary.control.jobs.kind import JobKind
from clary.control.jobs.launch import MAX_RUNTIME_EXCEEDED, STOPPED, Exit, HostAttempt, Launch
from clary.control.jobs.launchers.base import Exited, HostState, Lost, NeverStarted, NotStarted
from clary.control.jobs.status import ENDINGS, Stage
from clary.control.store.records import Record, StoreError
from clary.errors import ClaryError, UsageError
from clary.vision.base.files import disk_is_full
from clary.vision.base.torch_environment import torch_environment

__all__ = ["JobLifecycle", "entered"]

# Chosen: a machine that is started anew a few times in the life of a job is no fault of the program.
MOST_ATTEMPTS = 5  # so that a program that takes its monitor with it, every time, comes to an end
POLL = 5.0  # seconds between two looks at a running job: its metrics, its checkpoints
STORE_PAUSE = 2.0  # seconds until a store that refused is asked again

_log = logging.getLogger(__name__)

Body = dict[str, Any]
Change = Callable[[Record], tuple[Body, str] | None]


def entered(
    kind: JobKind, body: Mapping[str, Any], phase: str, stage: Stage | None = None, **more: Any
) -> tuple[Body, str]:
    """Body and status of a record after its job entered ``phase``; a job that is to stop keeps saying so."""
    new = {**body, **more, "_phase": phase}
    if stage is not None and (stage in ENDINGS or not kind.status.stopping(new)):
        new = kind.status.advance(new, stage, now=time.time())
    return new, kind.status.word(new)


def _entered_unless_ended(
    kind: JobKind, body: Mapping[str, Any], phase: str, stage: Stage | None = None, **more: Any
) -> tuple[Body, str] | None:
    """The same for a job that goes on: one that is to stop has stopped, and one that has ended is left (None)."""
    if kind.status.ended(body):
        return None
    if kind.status.stopping(body):
        return entered(kind, body, "ended", Stage.STOPPED)
    return entered(kind, body, phase, stage, **more)


class JobLifecycle:
    """One job. ``follow`` is its task; ``stop_asked`` is called when the record says that it is to stop.

    ``changed`` is told of the record after every change.
    """

    def __init__(self, kind: JobKind, record: Record, context: JobContext, changed: Callable[[Record], None]) -> None:
        self.hosts = kind.hosts(record.body)
        self._kind = kind
        self._name = record.name
        self._created = record.created
        self._context = context
        self._folders = {host: self._job(record).host_folder(host) for host in self.hosts}
        self._changed = changed
        self._stopping = asyncio.Event()
        self._running: tuple[HostAttempt, ...] = ()
        self._stops: set[asyncio.Task[None]] = set()

    def stop_asked(self) -> None:
        self._stopping.set()
        self._stop_hosts(self._running)

    async def follow(self) -> None:
        """Take the job from where its record says to its end."""
        steps = {"queued": self._prepare, "preparing": self._prepare, "running": self._run, "uploading": self._upload}
        while (record := await self._edit(lambda found: None)) is not None:
            step = steps.get(record.body.get("_phase", ""))
            if step is None or self._kind.status.ended(record.body):
                return
            await step(record)

    async def _prepare(self, record: Record) -> None:
        """Make the hosts' folders ready. A stop ends the job at once, and what is being fetched is thrown away."""
        # A gateway killed while it prepared begins anew, at the first attempt: nothing was started.
        begun = await self._enter_unless_ended("preparing", Stage.DOWNLOADING, _attempt=1, _launched=0)
        if begun is None or self._kind.status.ended(begun.body):
            return
        work = asyncio.create_task(asyncio.to_thread(self._fill_folders, self._job(begun)))
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        # Said before the thread ends: it may be in the middle of gigabytes.
        if not work.done():
            await self._enter("ended", Stage.STOPPED)
        try:
            await work  # a thread cannot be cancelled, and what it still writes is to be cleared away after it
        except (ClaryError, OSError) as error:
            await self._enter_unless_ended("ended", Stage.FAILED, FailureReason=reasons.of_error(error))
        else:
            ready = await self._enter_unless_ended("running")
            if ready is None or not self._kind.status.ended(ready.body):
                return
        # Nothing was started: what lies where results would is an input too.
        await asyncio.to_thread(self._clear, (*self._kind.inputs, *self._kind.results))

    def _fill_folders(self, job: Job) -> None:
        folders.claim(job.folder, job.mark)
        for host in self.hosts:
            log = job.context.logs.writer(job.group, job.stream(host))
            try:
                launch = self._kind.prepare(job, host, log)
            finally:
                log.close()
            replace(launch, environment=self._own_variables() | dict(launch.environment)).write()

    def _own_variables(self) -> dict[str, str]:
        """What this machine adds to a host's environment; what the launch itself sets wins."""
        sharing = self._context.share()
        # Alone a program has every core, which is what libraries take by themselves.
        threads = {"OMP_NUM_THREADS": str(capacity.threads(sharing))} if sharing > 1 else {}
        return {**torch_environment(), **threads} | {
            # Which arithmetic is faster is tried by the first job of its kind and known to all after it: 1.17 s to
            # the first batch, then 0.42 (docs/benchmarks.md).
            "CLARY_PRECISION_CACHE": str(self._context.settings.home / "trials.json")
        }

    async def _run(self, record: Record) -> None:
        """Start the hosts unless they run or have run; wait for their end.

        ``_launched`` in the record is the attempt that was started, as far as this gateway knows; it is written after
        the start, so a gateway killed in between asks the launcher, and starts nothing twice.
        """
        if not self.hosts:
            await self._run_in_gateway(record)
            return
        attempt = int(record.body["_attempt"])
        states = await self._probed(self._attempts(attempt))
        lost = _is_lost(states, launched=record.body.get("_launched", 0) >= attempt)
        if lost or any(isinstance(state, NeverStarted) for state in states):
            if await self._gone_for_good(record, attempt, lost=lost):
                return
            if lost:
                attempt += 1  # written before it is started: from here on the one before is not listened to
                await self._enter("running", Stage.INTERRUPTED, _attempt=attempt)
                await self._enter("running", Stage.RESTARTING)
            if not await self._launch(attempt):
                return
        started = await self._enter("running", Stage.RUNNING, _launched=attempt)
        if started is not None:
            await self._watch_over(started, self._attempts(attempt))
        if all(isinstance(state, Exited) for state in await self._probed(self._attempts(attempt))):
            await self._enter("uploading", Stage.UPLOADING)

    async def _gone_for_good(self, record: Record, attempt: int, *, lost: bool) -> bool:
        """Whether hosts that do not run are not to be started (again): asked to stop, or interrupted too often."""
        tries = attempt if lost else int(record.body.get("_launched", 0))
        stopping = self._kind.status.stopping(record.body)
        if stopping and not tries:
            await self._enter("ended", Stage.STOPPED)
            return True
        if lost:
            # Of several hosts some may run on, which alone can come to nothing.
            for host in self._attempts(attempt):
                await self._context.launcher.kill(host)
        if stopping:
            await self._enter("uploading")
            return True
        if tries < MOST_ATTEMPTS:
            return False
        reason = f"InternalServerError: the program was interrupted {MOST_ATTEMPTS} times without coming to its end"
        await self._enter_unless_ended("ended", Stage.FAILED, FailureReason=reason)
        await asyncio.to_thread(self._clear, self._kind.inputs)
        return True

    async def _launch(self, attempt: int) -> bool:
        """Start every host in its folder as it is, so that training goes on from its checkpoint."""
        try:
            for host in self.hosts:
                launch = Launch.read(self._folders[host])
                await self._context.launcher.start(replace(launch, attempt=attempt))
        except UsageError as error:
            await self._enter_unless_ended("ended", Stage.FAILED, FailureReason=reasons.of_error(error))
            return False
        except NotStarted as error:
            _log.warning("%s does not start: %s", self._name, error)
            # Counts as started, so that the next look finds it lost and not new: attempts have an end.
            await self._enter("running", _launched=attempt)
            return False
        return True

    async def _watch_over(self, record: Record, hosts: tuple[HostAttempt, ...]) -> None:
        """Until no host runs: look at the job now and then, pass on the wish to stop, end all with one that failed."""
        observe = self._kind.observer(self._job(record))
        waiting = {asyncio.create_task(self._context.launcher.ended(host)) for host in hosts}
        self._running = hosts
        try:
            if self._kind.status.stopping(record.body) or self._stopping.is_set():
                self._stop_hosts(hosts)
            while waiting:
                over, waiting = await asyncio.wait(waiting, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
                ends = [task.result() for task in over]
                if waiting and not all(_is_clean(end) for end in ends):
                    # They wait for it in their next collective call, and could only fail there, minutes later.
                    self._stop_hosts(hosts)
                if not over:
                    await asyncio.to_thread(observe)
        finally:
            self._running = ()
            for task in waiting:
                task.cancel()

    async def _run_in_gateway(self, record: Record) -> None:
        """The work of a job without hosts. Its end is kept in the record, as that of a host in its folder."""
        started = await self._enter("running", Stage.RUNNING)
        if started is None:
            return
        if self._kind.status.stopping(started.body):
            self._stopping.set()
        exit = await self._kind.conduct(self._job(started), self._stopping)
        await self._enter("uploading", Stage.UPLOADING, _exit=asdict(exit))

    async def _upload(self, record: Record) -> None:
        """Put what the programs left into the bucket, then say how the job ended."""
        job = self._job(record)
        stage, reason = await self._outcome(job)
        collected = True
        try:
            made = await asyncio.to_thread(self._kind.collect, job, failed=stage is Stage.FAILED)
        except (ClaryError, OSError) as error:
            collected, stage, made = False, (Stage.FAILED if stage is Stage.COMPLETED else stage), {}
            # Hours of work, perhaps: it stays, and whoever reads why it is not in the bucket reads where it is.
            reason = reason or reasons.with_place(reasons.of_error(error), self._left())
        # The last lines of the log have metrics too, and clients read no more once the job has ended.
        await asyncio.to_thread(self._kind.observer(job))
        # Before the job is said to have ended: who sees that may delete the bucket's objects, or the job.
        await asyncio.to_thread(self._clear, self._kind.inputs)
        made = made | await asyncio.to_thread(self._kind.final, job) | ({"FailureReason": reason} if reason else {})
        # The results go last: until the record says the end, a gateway that comes after a kill collects them again.
        await self._enter("ended", stage, **made)
        if collected:
            await asyncio.to_thread(self._clear, self._kind.results)

    def _left(self) -> Path | None:
        """The folder of the first of a job's results that holds anything."""
        places = (folder / name for folder in self._folders.values() for name in self._kind.results)
        return next((place for place in places if place.is_dir() and any(place.iterdir())), None)

    async def _outcome(self, job: Job) -> tuple[Stage, str]:
        """The last stage and FailureReason; of several hosts that of the first to fail decides."""
        if self.hosts:
            states = await self._probed(self._attempts(int(job.body["_attempt"])))
            exits = [(host, s.exit) for host, s in zip(self.hosts, states, strict=True) if isinstance(s, Exited)]
        else:
            exits = [("", Exit(**job.body["_exit"]))]
        # A host without an exit was lost, or not started yet, when a stop kept it from being started again.
        if self._kind.status.stopping(job.body) or len(exits) < len(self.hosts):
            return Stage.STOPPED, ""
        host, exit = min(exits, key=lambda one: _weight(one[1]))
        if exit.reason == STOPPED:
            return Stage.STOPPED, ""
        if exit.reason == MAX_RUNTIME_EXCEEDED:
            return Stage.OUT_OF_TIME, ""
        if exit.code == 0 and not exit.error:
            return Stage.COMPLETED, ""
        failure = reasons.read_failure(self._folders[host], self._kind.failure_note) if host else ""
        # A program whose folder is taken away fails, and has nowhere to say so.
        if (
            host
            and not failure
            and not exit.error
            and (gone := folders.missing(self._folders[host], "opt_ml", "launch.json"))
        ):
            return Stage.FAILED, reasons.of_error(gone)
        # A program that could not even write down why.
        if not failure and host and disk_is_full(self._folders[host]):
            failure = reasons.DISK_FULL
        reason = reasons.of_exit(
            exit.code,
            exit.signal,
            out_of_memory=exit.out_of_memory,
            failure=failure or self._kind.unexplained,
            error=exit.error,
        )
        return Stage.FAILED, reason

    def _clear(self, names: Sequence[str]) -> None:
        """Links into the store, and what is in the bucket now, need not stay; what says how the job went does."""
        for folder in self._folders.values():
            for name in names:
                with suppress(FileNotFoundError):  # the job was deleted meanwhile
                    folders.remove_below(folder, name)

    def _job(self, record: Record) -> Job:
        return Job(record, self._kind.log_group, self._context)

    def _attempts(self, attempt: int) -> tuple[HostAttempt, ...]:
        return tuple(HostAttempt(self._kind.name, self._name, host, attempt) for host in self.hosts)

    async def _probed(self, hosts: tuple[HostAttempt, ...]) -> list[HostState]:
        return [await self._context.launcher.probe(host) for host in hosts]

    def _stop_hosts(self, hosts: tuple[HostAttempt, ...]) -> None:
        """Ask them all, in tasks of their own: who asks for a stop does not wait for machines to answer."""
        for host in hosts:
            task = asyncio.ensure_future(self._context.launcher.stop(host))
            # The event loop keeps weak references only; a task that nobody holds may vanish before it has run.
            self._stops.add(task)
            task.add_done_callback(self._stops.discard)

    async def _enter(self, phase: str, stage: Stage | None = None, **more: Any) -> Record | None:
        return await self._edit(lambda found: entered(self._kind, found.body, phase, stage, **more))

    async def _enter_unless_ended(self, phase: str, stage: Stage | None = None, **more: Any) -> Record | None:
        return await self._edit(lambda found: _entered_unless_ended(self._kind, found.body, phase, stage, **more))

    async def _edit(self, change: Change) -> Record | None:
        """Change the record as soon as the store lets it be: a full disk must not lose a job. None: it is gone.

        A job may be deleted once it has ended, and another created under its name, while this one still clears up.
        """

        def mine(found: Record) -> tuple[Body, str] | None:
            return change(found) if found.created == self._created else None

        while True:
            try:
                record = self._context.store.edit(self._kind.name, self._name, mine)
            except StoreError as error:
                _log.warning("the record of the job %s cannot be written, trying again: %s", self._name, error)
                await asyncio.sleep(STORE_PAUSE)
            else:
                if record is None or record.created != self._created:
                    return None
                self._changed(record)
                return record


def _is_lost(states: Sequence[HostState], *, launched: bool) -> bool:
    """Whether an attempt can come to nothing any more: a host is lost, or was to be started and never began."""
    return any(isinstance(state, Lost) or (launched and isinstance(state, NeverStarted)) for state in states)


def _is_clean(state: HostState) -> bool:
    return isinstance(state, Exited) and state.exit.code == 0 and not state.exit.error


def _weight(exit: Exit) -> tuple[int, float]:
    """Which of several hosts' exits tells how the job ended, the least: one that failed by itself, then the time
    limit, then a stop, which those get that wait for one that failed; among equals the first."""
    if exit.reason:
        return (1 if exit.reason == MAX_RUNTIME_EXCEEDED else 2), exit.ended
    return (3 if exit.code == 0 and not exit.error else 0), exit.ended
