"""The kinds of job there are: one folder a kind, whose ``kind.py`` has the object ``KIND``."""

from __future__ import annotations

from clary.control.jobs.kind import JobKind
from clary.registry import Registry

__all__ = ["KINDS"]

KINDS: Registry[JobKind] = Registry("job_kinds", "clary.control.jobs.kinds", "KIND", "kind")
