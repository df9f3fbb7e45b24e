"""A platform's jobs without its gateway, and gateways that come and go; in memory or with processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from clary.control.jobs import folders
from clary.control.jobs.job_queue import Jobs
from clary.control.jobs.kind import JobKind
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.kinds.training.kind import KIND as TRAINING
from clary.control.jobs.launchers.base import Launcher
from clary.control.jobs.launchers.local import lock, orphans
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store

KIND = TRAINING.name
GROUP = TRAINING.log_group


class World:
    """Training jobs of tiny programs; ``launcher`` outlives the gateways, as what it starts does."""

    launcher: Any

    def __init__(
        self, settings: Settings, objects: LocalStore, make_body: Callable[..., dict[str, Any]], launcher: Launcher
    ) -> None:
        self.settings = replace(settings, warm=False, max_jobs=2, stop_grace=5.0)
        self.objects = objects
        self.launcher = launcher
        self.kinds: Iterable[JobKind] = KINDS
        self.logs = LogStore(settings.logs_root)
        settings.home.mkdir(parents=True, exist_ok=True)
        self.store = Store(settings.database)
        self._make_body = make_body
        self.jobs = self.next_jobs()

    def next_jobs(self) -> Jobs:
        return Jobs(self.settings, self.store, self.objects, self.logs, self.next_launcher(), self.kinds)

    def next_launcher(self) -> Launcher:
        launcher: Launcher = self.launcher
        return launcher

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Jobs]:
        """A gateway's life: what it leaves running runs on."""
        self.jobs = self.next_jobs()
        await self.jobs.start()
        try:
            yield self.jobs
        finally:
            await self.jobs.close()

    def create(self, name: str, **members: Any) -> None:
        body = self._make_body(name, CreationTime=time.time(), SecondaryStatusTransitions=[], **members)
        body |= {"TrainingJobStatus": "InProgress", "SecondaryStatus": "Starting", "_phase": "queued", "_attempt": 0}
        arn = self.settings.arn(f"training-job/{name}")
        self.store.create(KIND, name, arn=arn, body=body, status="InProgress")

    def submit(self, name: str, **members: Any) -> None:
        self.create(name, **members)
        self.jobs.submit(KIND, name)

    def stop(self, name: str) -> None:
        self.jobs.stop(KIND, name)

    def record(self, name: str) -> Record:
        found = self.store.get(KIND, name)
        assert found is not None
        return found

    def status(self, name: str) -> str:
        return self.record(name).status

    def secondary(self, name: str) -> str:
        return str(self.record(name).body["SecondaryStatus"])

    def history(self, name: str) -> list[str]:
        return [one["Status"] for one in self.record(name).body["SecondaryStatusTransitions"]]

    def folder(self, name: str) -> Path:
        return folders.job_folder(self.settings, KIND, name)

    def lines(self, name: str) -> list[str]:
        stream = self.stream(name)
        if not self.logs.has_stream(GROUP, stream):
            return []
        return [event.message for event in self.logs.events(GROUP, stream)]

    def stream(self, name: str) -> str:
        return folders.stream_name(name, folders.FIRST_HOST, self.record(name).created)

    async def until(self, condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, {r.name: r.body for r in self.store.select(KIND)}
            await asyncio.sleep(0.002)
        return found

    async def ended(self, *names: str) -> list[str]:
        async with asyncio.timeout(40.0):
            return [(await self.jobs.ended(KIND, name)).status for name in names]

    async def running(self, name: str) -> None:
        await self.until(lambda: "up" in self.lines(name) and self.record(name).body.get("_launched"))


OK = "echo loss=0.5; echo loss=0.25; cat input/data/train/a.txt; echo made > model/made; echo more > output/data/more"


class LocalWorld(World):
    """``program`` is the shell script that every job runs; each gateway has a launcher of its own."""

    program = OK

    def next_launcher(self) -> Launcher:
        self.launcher = LocalLauncher(self.settings)
        launcher: Launcher = self.launcher
        return launcher

    def job_monitor(self, name: str) -> int:
        return lock.holder(self.folder(name))

    def close(self) -> None:
        for folder in self.settings.jobs_root.glob("*"):
            process = lock.holder(folder)
            if process and lock.is_held(folder):
                os.kill(process, signal.SIGKILL)
                while lock.is_held(folder):
                    time.sleep(0.01)
                orphans.kill_orphans(folder, process, lock.last_started(folder))
        self.store.close()
