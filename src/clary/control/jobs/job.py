"""A job as its life cycle and its kind see it: its record as it was read, and the parts of the platform it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from clary.control.jobs import folders
from clary.control.jobs.launchers.base import Launcher
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Record, Store

__all__ = ["Job", "JobContext", "JobService"]


class JobService(Protocol):
    """What may be asked of the jobs of the platform, by a job that makes other jobs as by the API."""

    def submit(self, kind: str, name: str) -> None:
        """Queue a new job, whose record is in the store."""

    def stop(self, kind: str, name: str) -> None:
        """End a job: one that waits at once, one that runs after its programs' answer to SIGTERM."""

    async def ended(self, kind: str, name: str) -> Record:
        """The job's record once it has ended, or if it has. Raises NoSuchRecord."""


@dataclass(frozen=True, slots=True)
class JobContext:
    """What every job uses."""

    settings: Settings
    store: Store
    objects: ObjectStore
    logs: LogStore
    launcher: Launcher
    jobs: JobService
    share: Callable[[], int]  # programs that share the machine now


@dataclass(frozen=True, slots=True)
class Job:
    """One job at one moment. Where its files lie is said in clary.control.jobs.folders."""

    record: Record
    group: str  # of its log streams
    context: JobContext

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def body(self) -> Mapping[str, Any]:
        return self.record.body

    @property
    def folder(self) -> Path:
        return folders.job_folder(self.context.settings, self.record.kind, self.record.name)

    @property
    def mark(self) -> str:
        """What tells it from a deleted job of the same name."""
        return folders.mark(self.record.arn, self.body.get("CreationTime", self.record.created))

    def host_folder(self, host: str) -> Path:
        return folders.host_folder(self.folder, host)

    def stream(self, host: str) -> str:
        """The log stream of a host, in ``group``."""
        return folders.stream_name(self.record.name, host, self.record.created)

    def log_file(self, host: str) -> Path:
        """The file of that stream, there or not."""
        return self.context.logs.path(self.group, self.stream(host))
