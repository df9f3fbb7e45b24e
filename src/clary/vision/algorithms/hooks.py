"""Hooks that come from outside: other distributions listen to every training, whoever starts it.

    [project.entry-points."clary.hooks"]
    tensorboard = "clary_tensorboard.hook:make"

``make(job, log)`` looks at the job directory and gives a ``Hook``, or None when there is nothing to do for this job
(no debughookconfig.json, say). It is called once the hyperparameters are found right, before pictures are read; files
are better opened in ``on_start``, since ``on_close`` follows only that.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from itertools import pairwise
from typing import TypeAlias

from clary.errors import AlgorithmError, ClaryError, UsageError
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.events import Hook
from clary.vision.base.jobdir import JobDir

__all__ = ["GROUP", "MakeHook", "load_hooks"]

GROUP = "clary.hooks"

MakeHook: TypeAlias = Callable[[JobDir, JobLog], Hook | None]


def load_hooks(job: JobDir, log: JobLog) -> list[Hook]:
    """The hooks that have something to do for ``job``, in the order of their names.

    Raises UsageError for two of one name, AlgorithmError for one that cannot be loaded or made.
    """
    # Not in the order of sys.path.
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    for one, next_one in pairwise(points):
        if one.name == next_one.name and one.value != next_one.value:
            raise UsageError(f"two hooks are called `{one.name}`", hint="uninstall one of the packages they are from")
    hooks = []
    # By name: a distribution that is on sys.path twice tells of its hooks twice.
    for name, point in {point.name: point for point in points}.items():
        try:
            hook = point.load()(job, log)
        except ClaryError:
            raise
        # Whatever another distribution's code raises; the job's log is to name that distribution.
        except Exception as error:
            what = f"the hook `{name}` ({point.value}) cannot be made: {type(error).__name__}: {error}"
            raise AlgorithmError(what, hint="repair or uninstall the package it is from") from error
        if hook is not None:
            hooks.append(hook)
    return hooks
