"""The parts of a running platform, as an operation sees them."""

from __future__ import annotations

from dataclasses import dataclass

from clary.control.hosting.supervisor import Hosting
from clary.control.jobs.job_queue import Jobs
from clary.control.logs.streams import LogStore
from clary.control.objects.base import ObjectStore
from clary.control.settings import Settings
from clary.control.store.records import Store

__all__ = ["Platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """Handed to every operation as its first argument."""

    settings: Settings
    store: Store
    objects: ObjectStore
    logs: LogStore
    jobs: Jobs
    hosting: Hosting
