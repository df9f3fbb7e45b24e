"""Two kinds of job for tests: toys, whose programs run on as many hosts as they like, and herds, which make toys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from clary.control.jobs import creation, folders
from clary.control.jobs.job import Job
from clary.control.jobs.kind import CreationContext, JobKind
from clary.control.jobs.launch import STOPPED, Command, Exit, Launch
from clary.control.jobs.status import WORDS, JobStatus, Stage
from clary.control.logs.streams import LogWriter
from clary.control.wire.errors import ValidationException

OWN_WORDS = {
    Stage.PENDING: "InTheBox",
    Stage.STOPPING: "BeingPutAway",
    Stage.COMPLETED: "Played",
    Stage.FAILED: "Broken",
}


class Toys(JobKind):
    """Runs the shell script ``Script`` on ``Hosts`` hosts."""

    name: ClassVar[str] = "toy-job"
    name_member: ClassVar[str] = "ToyName"
    status: ClassVar[JobStatus] = JobStatus("ToyState", "ToyStartTime", "ToyEndTime", {**WORDS, **OWN_WORDS})
    log_group: ClassVar[str] = "/toys"

    def new_body(
        self, request: Mapping[str, Any], context: CreationContext, *, arn: str, region: str
    ) -> dict[str, Any]:
        if "Script" not in request:
            raise ValidationException("a toy needs a Script")
        body = {"Hosts": 1, **request, "ToyArn": arn, "_phase": "queued", "_attempt": 0}
        return self.status.advance(body, Stage.STARTING, now=time.time())

    def hosts(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        return folders.host_names(body["Hosts"])

    def prepare(self, job: Job, host: str, log: LogWriter) -> Launch:
        folder = job.host_folder(host)
        (folder / "opt_ml").mkdir(parents=True, exist_ok=True)
        log.write(f"{host} is made ready")
        return Launch(
            kind=self.name,
            job=job.name,
            host=host,
            folder=folder,
            log=job.log_file(host),
            program=Command(("sh", "-c", job.body["Script"])),
            environment={"PATH": "/usr/bin:/bin"},
            namespace=job.context.launcher.isolated(),
            max_run=float(job.body.get("Seconds", 60.0)),
            grace=5.0,
        )

    def collect(self, job: Job, *, failed: bool) -> dict[str, Any]:
        marks = [job.host_folder(host) / "opt_ml" / "mark" for host in self.hosts(job.body)]
        return {"Marks": sum(mark.exists() for mark in marks), "Failed": failed}


class Herds(JobKind):
    """Makes ``Toys`` toys, one after another, and ends with the last: it has no host of its own."""

    name: ClassVar[str] = "herd-job"
    name_member: ClassVar[str] = "HerdName"
    status: ClassVar[JobStatus] = JobStatus("HerdState")
    log_group: ClassVar[str] = "/herds"

    def new_body(
        self, request: Mapping[str, Any], context: CreationContext, *, arn: str, region: str
    ) -> dict[str, Any]:
        return self.status.advance({**request, "_phase": "queued", "_attempt": 0}, Stage.STARTING, now=time.time())

    def hosts(self, body: Mapping[str, Any]) -> tuple[str, ...]:
        return ()

    async def conduct(self, job: Job, stopping: asyncio.Event) -> Exit:
        """Takes up the toys of an earlier gateway: their names tell them."""
        began = time.time()
        for name in (f"{job.name}-{number}" for number in range(job.body["Toys"])):
            if stopping.is_set():
                break
            if job.context.store.get(TOYS.name, name) is None:
                await creation.create(TOYS, {"ToyName": name, "Script": "toy"}, job.context, region="eu-west-1")
            end = asyncio.create_task(job.context.jobs.ended(TOYS.name, name))
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait({end, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not end.done():
                job.context.jobs.stop(TOYS.name, name)
            if TOYS.status.word((await end).body) == "Broken":
                return Exit(1, 1, started=began, ended=time.time())
        return Exit(1, 0, reason=STOPPED if stopping.is_set() else "", started=began, ended=time.time())

    def final(self, job: Job) -> dict[str, Any]:
        return {"Made": len(job.context.store.select(TOYS.name))}


TOYS, HERDS = Toys(), Herds()
