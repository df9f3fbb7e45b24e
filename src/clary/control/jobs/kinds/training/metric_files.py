"""Metrics that a program writes to files: on SageMaker an agent reads them, here they are read when the job ends.

Each line of ``/opt/ml/output/metrics/sagemaker/*.json`` is a value, as the smexperiments package writes it. They are
metrics of the job's trial component. What is no such line is somebody's own: AWS's examples let their log go there.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator

from clary.control.jobs.job import Job
from clary.control.jobs.trial_components import component_name, metric_points
from clary.control.store.records import Point, StoreError
from clary.errors import ClaryError
from clary.vision.base.tree import opened

__all__ = ["METRIC_FILES", "METRIC_FILES_VARIABLE", "store_metrics"]

METRIC_FILES = ("output", "metrics", "sagemaker")  # below /opt/ml
METRIC_FILES_VARIABLE = "SAGEMAKER_METRICS_DIRECTORY"
LARGEST = 16 << 20  # bytes that are read of a file
NAME_LIMIT = 255  # characters; API reference, MetricName

_log = logging.getLogger(__name__)


def store_metrics(job: Job, host: str) -> None:
    """Store what the program of ``host`` has written; a second time nothing is added. Blocks.

    What cannot be read is left, and the platform's log says so: a job does not fail by it.
    """
    try:
        points = list(_points(job, host))
        if points:
            # The cursor makes it once: a gateway that was killed ends its jobs again.
            job.context.store.add_points(points, (f"{job.stream(host)} metric files", 1))
    except FileNotFoundError:  # the program has taken the folder away
        return
    except (ClaryError, OSError, StoreError) as error:
        _log.warning("metrics that %s wrote to files are not kept: %s", job.name, error)


def _points(job: Job, host: str) -> Iterator[Point]:
    component = component_name(job.record.kind, job.name)
    with opened(job.host_folder(host) / "opt_ml", *METRIC_FILES) as tree:
        for entry in tree.entries(refused=lambda error: _log.warning("%s", error)):
            if entry.is_folder or not entry.name.endswith(".json"):
                continue
            with entry.path.open("rb") as file:
                lines = file.read(LARGEST).splitlines()
            for line in lines:
                yield from _of_line(component, line)


def _of_line(component: str, line: bytes) -> list[Point]:
    try:
        match json.loads(line):
            case {
                "MetricName": str(name),
                "Value": int() | float() as value,
                "Timestamp": int() | float() as time,
                **rest,
            }:
                step = rest.get("IterationNumber")
                if 0 < len(name) <= NAME_LIMIT and math.isfinite(time):
                    return metric_points(component, name, time, float(value), step if isinstance(step, int) else None)
    except (ValueError, RecursionError, OverflowError):
        pass
    return []
