"""Metrics that a program reports itself, point by point: put by trial component, read by ARN."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB
from clary.control.jobs.trial_components import METRICS, STEP, dimensions_of, metric_points
from clary.control.platform import Platform
from clary.control.store.records import Point
from clary.control.wire.operation import Answer, Request, operation

__all__: list[str] = []

JOBS = "/aws/sagemaker/TrainingJobs"
SECONDS = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3600}
MILLISECONDS = 100_000_000_000  # a time beyond this is no number of seconds
END = 1e12


@operation("sagemaker-metrics", "BatchPutMetrics")
def batch_put_metrics(platform: Platform, request: Request) -> Answer:
    component, points = request["TrialComponentName"], []
    for datum in request["MetricData"]:
        name, time = datum["MetricName"], datum["Timestamp"].timestamp()
        points += metric_points(component, name, time, datum["Value"], datum.get("Step"))
    platform.store.add_points(points)
    return {}


@operation("sagemaker-metrics", "BatchGetMetrics")
def batch_get_metrics(platform: Platform, request: Request) -> Answer:
    return {"MetricQueryResults": [_result(platform, query) for query in request["MetricQueries"]]}


def _result(platform: Platform, query: dict[str, Any]) -> dict[str, Any]:
    by_step = query["XAxisType"] == "IterationNumber"
    if by_step != (query["Period"] == "IterationNumber"):
        text = "The period IterationNumber goes with the x-axis IterationNumber, and no other with it"
        return {"Status": "ValidationError", "Message": text, "XAxisValues": [], "MetricValues": []}
    where = _where(platform, query["ResourceArn"])
    if where is None:
        text = f"Could not find {query['ResourceArn']}"
        return {"Status": "ValidationError", "Message": text, "XAxisValues": [], "MetricValues": []}
    buckets: dict[int, list[Point]] = defaultdict(list)
    for at, point in _placed(platform, query, *where):
        buckets[at].append(point)
    along = sorted(buckets)
    values = [_statistic(query["MetricStat"], buckets[at]) for at in along]
    return {"Status": "Complete", "XAxisValues": along, "MetricValues": values}


def _where(platform: Platform, arn: str) -> tuple[str, dict[str, str]] | None:
    """Namespace and dimensions of a resource's metrics; None for a job nobody created and for other resources."""
    kind, _, name = arn.split(":", 5)[5].partition("/")
    if kind == "experiment-trial-component":
        return METRICS, dimensions_of(name)
    record = platform.store.by_arn(arn) if kind == TRAINING_JOB else None
    return (JOBS, {"TrainingJobName": record.name}) if record else None


def _placed(
    platform: Platform, query: dict[str, Any], namespace: str, dimensions: dict[str, str]
) -> list[tuple[int, Point]]:
    """Each point with its place on the x-axis: a step, or the start of its period in epoch seconds."""
    name, by_step = query["MetricName"], query["XAxisType"] == "IterationNumber"
    first, last = query.get("Start"), query.get("End")
    if by_step:
        points = platform.store.points(namespace, name, dimensions, 0.0, END)
        steps = platform.store.points(namespace, name, dimensions | STEP, 0.0, END)
        # A job's metrics from its log have no steps: they are counted.
        numbers = [int(step.value) for step in steps] or list(range(len(points)))
        low, high = first or 0, math.inf if last is None else last
        return [(at, point) for at, point in zip(numbers, points, strict=False) if low <= at <= high]
    period = SECONDS[query["Period"]]
    points = platform.store.points(namespace, name, dimensions, _seconds(first, 0.0), _seconds(last, END))
    return [(int(point.time // period * period), point) for point in points]


def _seconds(time: int | None, default: float) -> float:
    if time is None:
        return default
    # A plain integer in the API's model, which does not say whether of seconds or of milliseconds.
    return time / 1000 if time > MILLISECONDS else float(time)


def _statistic(name: str, points: list[Point]) -> float:
    count = sum(point.count for point in points)
    mean = sum(point.value * point.count for point in points) / count
    match name:
        case "Min":
            return min(point.value if point.minimum is None else point.minimum for point in points)
        case "Max":
            return max(point.value if point.maximum is None else point.maximum for point in points)
        case "Count":
            return count
        case "Last":
            return points[-1].value
        case "StdDev":
            return math.sqrt(sum(point.count * (point.value - mean) ** 2 for point in points) / count)
    return mean
