"""The life cycle of one training job: from the queue to its end, phase by phase.

    queued -> preparing -> running -> uploading -> ended

The phase stands in the job's record. Each step does its work and then moves the record on, so a gateway that was killed
takes a job up where its record says; every step may be done twice. What runs is told by the monitor's lock and
exit.json, never by the record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from clary.control.jobs import capacity, directory, job_monitor, orphans, outputs, reasons, status
from clary.control.jobs.launch import MAX_RUNTIME_EXCEEDED, STOPPED, Exit, Launch
from clary.control.jobs.launcher import LocalLauncher
from clary.control.jobs.metrics import Meter, final_metrics
from clary.control.jobs.watch import Watch
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store, StoreError
from clary.errors import ClaryError, UsageError
from clary.vision.base.torch_environment import torch_environment

__all__ = ["GROUP", "KIND", "JobContext", "JobLifecycle", "stream_of"]

KIND = "training-job"
GROUP = "/aws/sagemaker/TrainingJobs"
MOST_ATTEMPTS = 5
POLL = 5.0  # seconds between two looks at a running job: its metrics, its checkpoints, its monitor
CHECKPOINT_PAUSE = 30.0  # seconds between two uploads of checkpoints
STORE_PAUSE = 2.0  # seconds until a store that refused is asked again
INPUTS = ("opt_ml/input/data", "pipes", "feeds", "scratch", "hosts")
RESULTS = ("opt_ml/model", "opt_ml/output/data", "opt_ml/checkpoints")

_log = logging.getLogger(__name__)

Body = dict[str, Any]
Change = Callable[[Record], tuple[Body, str] | None]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What every job uses."""

    settings: Settings
    store: Store
    objects: ObjectStore
    logs: LogStore
    launcher: LocalLauncher
    share: Callable[[], int]  # programs that share the machine now


def stream_of(record: Record) -> str:
    """The log stream of a job, of all its attempts."""
    return f"{record.name}/algo-1-{int(record.created)}"


def moved(body: Mapping[str, Any], phase: str, secondary: str = "", message: str = "", **more: Any) -> tuple[Body, str]:
    """Body and status of a record after its job entered ``phase``; a job that is to stop keeps saying so."""
    new = {**body, **more, "_phase": phase}
    stopping = new["TrainingJobStatus"] == "Stopping" and status.PRIMARY.get(secondary) == "InProgress"
    if secondary and not stopping:
        new = status.advance(new, secondary, message, now=time.time())
    return new, new["TrainingJobStatus"]


class JobLifecycle:
    """One job. ``follow`` is its task; ``stop_asked`` is called when the record says Stopping."""

    def __init__(self, name: str, context: JobContext) -> None:
        self.name = name
        self._context = context
        self._folder = directory.job_folder(context.settings, name)
        self._watch: Watch | None = None
        self._stopping = asyncio.Event()

    def stop_asked(self) -> None:
        self._stopping.set()
        if self._watch is not None:
            self._watch.ask_to_stop()

    async def follow(self) -> None:
        """Take the job from where its record says to its end."""
        steps = {"queued": self._prepare, "preparing": self._prepare, "running": self._run, "uploading": self._upload}
        while (record := await self._edit(lambda found: None)) is not None:
            step = steps.get(record.body.get("_phase", ""))
            if step is None or status.ended(record.body):
                return
            await step(record)

    async def _prepare(self, record: Record) -> None:
        """Make the job's folder ready. A stop ends the job at once, and what is being fetched is thrown away."""
        begun = await self._edit(lambda found: _begun(found.body))
        if begun is None or status.ended(begun.body):
            return
        work = asyncio.create_task(asyncio.to_thread(self._fill_folder, begun))
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            await self._edit(lambda found: moved(found.body, "ended", "Stopped"))
        try:
            await work
        except (ClaryError, OSError) as error:
            reason = reasons.of_error(error)
            await self._edit(lambda found: _failed(found.body, reason))
        else:
            ready = await self._edit(lambda found: _ready(found.body))
            if ready is None or not status.ended(ready.body):
                return
        await asyncio.to_thread(self._clear, INPUTS)

    def _fill_folder(self, record: Record) -> None:
        stream = stream_of(record)
        context = self._context
        log = context.logs.writer(GROUP, stream)
        try:
            launch = directory.prepare(
                record.body,
                settings=context.settings,
                objects=context.objects,
                log=log,
                stream=context.logs.path(GROUP, stream),
            )
        finally:
            log.close()
        replace(launch, environment=self._own_variables() | dict(launch.environment)).write()

    def _own_variables(self) -> dict[str, str]:
        """What this machine adds to a job's environment, unless that says otherwise."""
        sharing = self._context.share()
        threads = {"OMP_NUM_THREADS": str(capacity.threads(sharing))} if sharing > 1 else {}
        return {**torch_environment(), **threads} | {
            "CLARY_PRECISION_CACHE": str(self._context.settings.home / "trials.json")
        }

    async def _run(self, record: Record) -> None:
        """Start the program unless it runs or has run; wait for its end."""
        attempt = int(record.body["_attempt"])
        if not job_monitor.is_held(self._folder) and Exit.read(self._folder, attempt) is None:
            if await self._gone_for_good(record):
                return
            if record.body.get("_launched", 0) >= attempt:
                attempt += 1
                await self._edit(lambda found: moved(found.body, "running", "Interrupted", _attempt=attempt))
                await self._edit(lambda found: moved(found.body, "running", "Restarting"))
            if not await self._launch(attempt):
                return
        started = await self._edit(lambda found: moved(found.body, "running", "Training", _launched=attempt))
        if started is not None:
            await self._watch_over(started)
        if Exit.read(self._folder, attempt) is not None:
            await self._edit(lambda found: moved(found.body, "uploading", "Uploading"))

    async def _gone_for_good(self, record: Record) -> bool:
        """Whether a job without a process is not to be started (again): asked to stop, or interrupted too often."""
        if record.status == "Stopping" and not record.body.get("_launched"):
            await self._edit(lambda found: moved(found.body, "ended", "Stopped"))
            return True
        if record.status == "Stopping":
            await asyncio.to_thread(orphans.kill_orphans, self._folder, orphans.holder(self._folder / "lock"))
            await self._edit(lambda found: moved(found.body, "uploading"))
            return True
        if int(record.body.get("_launched", 0)) < MOST_ATTEMPTS:
            return False
        await asyncio.to_thread(orphans.kill_orphans, self._folder, orphans.holder(self._folder / "lock"))
        reason = f"InternalServerError: the program was interrupted {MOST_ATTEMPTS} times without coming to its end"
        await self._edit(lambda found: _failed(found.body, reason))
        await asyncio.to_thread(self._clear, INPUTS)
        return True

    async def _launch(self, attempt: int) -> bool:
        """Start a monitor in the folder as it is, so that training goes on from its checkpoint."""
        try:
            launch = Launch.read(self._folder)
            if launch.attempt != attempt:
                launch = replace(launch, attempt=attempt)
                launch.write()
        except UsageError as error:
            reason = reasons.of_error(error)
            await self._edit(lambda found: _failed(found.body, reason))
            return False
        if not await self._context.launcher.start(launch):
            _log.warning("the monitor of %s did not start, see %s", self.name, self._folder / "monitor.log")
            await self._edit(lambda found: moved(found.body, "running", _launched=attempt))
            return False
        return True

    async def _watch_over(self, record: Record) -> None:
        """Until the monitor is gone: count metrics, upload checkpoints, pass on the wish to stop."""
        meter = self._meter(record)
        checkpoints = self._checkpoints(record.body)
        last = time.monotonic()
        with Watch(self._folder) as self._watch:
            if record.status == "Stopping" or self._stopping.is_set():
                self._watch.ask_to_stop()
            while await self._watch.wait(POLL):
                await self._scan(meter)
                if checkpoints and time.monotonic() - last >= CHECKPOINT_PAUSE:
                    await self._upload_checkpoints(checkpoints)
                    last = time.monotonic()
        self._watch = None

    async def _upload(self, record: Record) -> None:
        """Put what the program left into the bucket, then say how the job ended."""
        exit = Exit.read(self._folder, int(record.body["_attempt"]))
        secondary, reason = self._outcome(record, exit)
        try:
            made = await asyncio.to_thread(self._collect, record.body, secondary != "Failed")
        except (ClaryError, OSError) as error:
            secondary, made = ("Failed" if secondary == "Completed" else secondary), outputs.Artifacts()
            reason = reason or reasons.of_error(error)
        await self._scan(self._meter(record))
        await asyncio.to_thread(self._clear, INPUTS)
        final = final_metrics(record.body, self._context.store)
        more: Body = {"ModelArtifacts": {"S3ModelArtifacts": made.model}} if made.model else {}
        more |= {"FinalMetricDataList": final} if final else {}
        more |= {"FailureReason": reason} if reason else {}
        await self._edit(lambda found: moved(found.body, "ended", secondary, **more))
        await asyncio.to_thread(self._clear, RESULTS)

    def _outcome(self, record: Record, exit: Exit | None) -> tuple[str, str]:
        """Final SecondaryStatus and FailureReason."""
        if record.status == "Stopping" or exit is None or exit.reason == STOPPED:
            return "Stopped", ""
        if exit.reason == MAX_RUNTIME_EXCEEDED:
            return "MaxRuntimeExceeded", ""
        if exit.code == 0 and not exit.error:
            return "Completed", ""
        failure = reasons.read_failure(self._folder / "opt_ml" / "output" / "failure")
        reason = reasons.of_exit(
            exit.code, exit.signal, out_of_memory=exit.out_of_memory, failure=failure, error=exit.error
        )
        return "Failed", reason

    def _collect(self, body: Body, model: bool) -> outputs.Artifacts:
        if checkpoints := self._checkpoints(body):
            checkpoints.upload()
        return outputs.collect(body, settings=self._context.settings, objects=self._context.objects, model=model)

    def _clear(self, names: Sequence[str]) -> None:
        """Links into the store, and what is in the bucket now, need not stay; what says how the job went does."""
        for name in names:
            with suppress(FileNotFoundError):  # the job was deleted meanwhile
                directory.remove_tree(self._folder / name)

    def _meter(self, record: Record) -> Meter:
        return Meter(record.body, self._context.store, self._context.logs, GROUP, stream_of(record))

    def _checkpoints(self, body: Body) -> outputs.CheckpointUpload | None:
        if not body.get("CheckpointConfig"):
            return None
        return outputs.CheckpointUpload(body, settings=self._context.settings, objects=self._context.objects)

    async def _upload_checkpoints(self, checkpoints: outputs.CheckpointUpload) -> None:
        try:
            await asyncio.to_thread(checkpoints.upload)
        except (ClaryError, OSError) as error:  # it is tried again, and at the end it counts
            _log.warning("checkpoints of %s are not uploaded: %s", self.name, error)

    async def _scan(self, meter: Meter) -> None:
        try:
            await asyncio.to_thread(meter.scan)
        except StoreError as error:  # the next scan takes up where this one began
            _log.warning("metrics of %s are not stored: %s", self.name, error)

    async def _edit(self, change: Change) -> Record | None:
        """Change the record, as soon as the store lets it be: a full disk must not lose a job."""
        while True:
            try:
                return self._context.store.edit(KIND, self.name, change)
            except StoreError as error:
                _log.warning("the store refuses a change to %s: %s", self.name, error)
                await asyncio.sleep(STORE_PAUSE)


def _begun(body: Body) -> tuple[Body, str] | None:
    if status.ended(body):
        return None
    if body["TrainingJobStatus"] == "Stopping":
        return moved(body, "ended", "Stopped")
    return moved(body, "preparing", "Downloading", _attempt=1, _launched=0)


def _ready(body: Body) -> tuple[Body, str] | None:
    if status.ended(body):
        return None
    return moved(body, "ended", "Stopped") if body["TrainingJobStatus"] == "Stopping" else moved(body, "running")


def _failed(body: Body, reason: str) -> tuple[Body, str] | None:
    if status.ended(body):
        return None
    if body["TrainingJobStatus"] == "Stopping":
        return moved(body, "ended", "Stopped")
    return moved(body, "ended", "Failed", FailureReason=reason)
