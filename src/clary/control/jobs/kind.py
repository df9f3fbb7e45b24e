"""What a kind of job says of itself; all kinds share one life cycle (clary.control.jobs.job_lifecycle).

A kind is a folder ``control/jobs/kinds/<name>/`` whose ``kind.py`` has the object ``KIND``; other distributions add
kinds through entry points of the group ``clary.job_kinds``. Its operations are functions in control/resources.

What the life cycle does for every kind: queue, capacity, start of the hosts, watching, stop, time limit, new attempts
of what was lost, taking up after a restart of the gateway, clearing up. What a kind says: its record, its status, how
a host is prepared, what is looked at while it runs, what is collected, what is told in the end.

A kind whose job has no host works in the gateway itself (``conduct``): a tuner that makes other jobs.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from clary.control.jobs import folders
from clary.control.jobs.job import Job, JobService
from clary.control.jobs.launch import Exit, Launch
from clary.control.jobs.status import JobStatus
from clary.control.logs.streams import LogWriter
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.errors import ServiceError

__all__ = ["CreationContext", "JobKind"]

Body = Mapping[str, Any]


class CreationContext(Protocol):
    """What the creation of a job needs; a Platform has it, and a JobContext."""

    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> Store: ...
    @property
    def objects(self) -> ObjectStore: ...
    @property
    def jobs(self) -> JobService: ...


class JobKind(ABC):
    """One kind of job. Its methods know nothing of phases, attempts and launchers."""

    name: ClassVar[str]  # of its records, in its ARNs and of its folder: "training-job"
    name_member: ClassVar[str]  # of requests and answers: "TrainingJobName"
    status: ClassVar[JobStatus]
    log_group: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = folders.INPUTS  # of a host's folder: gone when its program has ended
    results: ClassVar[tuple[str, ...]] = folders.RESULTS  # of a host's folder: gone when they are in the bucket
    failure_note: ClassVar[str] = "opt_ml/output/failure"  # of a host's folder: where a program says why it failed
    unexplained: ClassVar[str] = ""  # the reason of a program that fails and says nothing

    def arn(self, settings: Settings, name: str, region: str) -> str:
        return settings.arn(f"{self.name}/{name.lower()}", region=region)

    def taken(self, arn: str) -> ServiceError:
        """The refusal of a name that was used."""
        what = "Job name must be unique within an AWS account and region, and a job with this name already exists"
        return ServiceError("ResourceInUse", f"{what} ({arn})")

    @abstractmethod
    def new_body(self, request: Body, context: CreationContext, *, arn: str, region: str) -> dict[str, Any]:
        """The record's body of a new job: the request with the API's defaults, in the stage STARTING. Blocks.

        Raises ValidationException for a request that could never run.
        """

    def trial_component(self, body: Body) -> dict[str, Any] | None:
        """What the trial component of a job says of it, in the members of DescribeTrialComponent: Status, Parameters,
        InputArtifacts, OutputArtifacts and, once they are known, StartTime and EndTime. None: such jobs make none."""
        return None

    def hosts(self, body: Body) -> tuple[str, ...]:
        """The names of the job's hosts; none for a job that works in the gateway."""
        return (folders.FIRST_HOST,)

    def prepare(self, job: Job, host: str, log: LogWriter) -> Launch:
        """Make the folder of a host ready for its first attempt, and say how its program is started. Blocks.

        May be called again for the same host after a gateway was killed. ``log`` writes to the host's log stream.
        Raises CustomerError or ServiceError for what the customer can mend, OSError or UsageError for what the machine
        lacks.
        """
        raise NotImplementedError(f"{self.name} has hosts but no prepare")

    async def conduct(self, job: Job, stopping: asyncio.Event) -> Exit:
        """Do the work of a job without hosts; its Exit is what a host's would be.

        ``stopping`` is set when somebody asked for its end. Cancelled when the gateway ends, and called again by the
        next one: what was done must be seen in the store.
        """
        raise NotImplementedError(f"{self.name} has neither hosts nor conduct")

    def observer(self, job: Job) -> Callable[[], None]:
        """What is called every few seconds while the job runs, in a thread, and a last time before ``final``."""
        return lambda: None

    def collect(self, job: Job, *, failed: bool) -> dict[str, Any]:
        """Put what the hosts left into the bucket; the members of the answer that say where. Blocks.

        A second call puts the same in the same places. Raises as ``prepare``.
        """
        return {}

    def final(self, job: Job) -> dict[str, Any]:
        """Further members of the answer of a job that ends, however it does. Blocks."""
        return {}
