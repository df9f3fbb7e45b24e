"""Metrics that programs report themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clary.control.store.records import Point

START = datetime(2024, 5, 6, 7, 8, 0, tzinfo=UTC)
COMPONENT = "arn:aws:sagemaker:eu-west-1:000000000000:experiment-trial-component/mine"


@pytest.fixture
def metrics(platform, clients) -> Any:
    return clients("sagemaker-metrics")


@pytest.fixture
def get(metrics) -> Any:
    """``get(stat, **query)``: status, x-axis, values of the metric ``loss``."""

    def get(
        stat: str, arn: str = COMPONENT, axis: str = "IterationNumber", **query: Any
    ) -> tuple[str, list[int], list[float]]:
        period = query.pop("Period", "IterationNumber" if axis == "IterationNumber" else "OneMinute")
        asked = {"MetricName": "loss", "ResourceArn": arn, "MetricStat": stat, "Period": period, "XAxisType": axis}
        result = metrics.batch_get_metrics(MetricQueries=[{**asked, **query}])["MetricQueryResults"][0]
        return result["Status"], result["XAxisValues"], result["MetricValues"]

    return get


def _put(metrics: Any, values: list[tuple[int, float]], every: int = 20) -> None:
    data = [
        {"MetricName": "loss", "Timestamp": START + timedelta(seconds=every * index), "Step": step, "Value": value}
        for index, (step, value) in enumerate(values)
    ]
    assert "Errors" not in metrics.batch_put_metrics(TrialComponentName="mine", MetricData=data)


def test_values_by_step(metrics, get):
    _put(metrics, [(0, 4.0), (1, 2.0), (1, 3.0), (2, 1.0)])
    assert get("Avg") == ("Complete", [0, 1, 2], [4.0, 2.5, 1.0])
    assert get("Min")[2] == [4.0, 2.0, 1.0]
    assert get("Max")[2] == [4.0, 3.0, 1.0]
    assert get("Last")[2] == [4.0, 3.0, 1.0]
    assert get("Count")[2] == [1.0, 2.0, 1.0]
    assert get("StdDev")[2] == [0.0, 0.5, 0.0]
    assert get("Avg", Start=1, End=1) == ("Complete", [1], [2.5])


def test_values_by_time(metrics, get):
    _put(metrics, [(step, float(step)) for step in range(6)])
    minute = int(START.timestamp())
    assert get("Avg", axis="Timestamp") == ("Complete", [minute, minute + 60], [1.0, 4.0])
    assert get("Count", axis="Timestamp", Period="OneHour") == ("Complete", [minute // 3600 * 3600], [6.0])
    assert get("Last", axis="Timestamp", Start=minute + 60)[1:] == ([minute + 60], [5.0])
    assert get("Last", axis="Timestamp", End=(minute + 60) * 1000)[1:] == ([minute], [2.0])


def test_metrics_of_a_training_job(platform, get):
    arn = platform.settings.arn("training-job/job-a", region="eu-west-1")
    assert get("Avg", arn)[0] == "ValidationError"
    platform.store.create("training-job", "Job-A", arn=arn, body={})
    dimensions = {"TrainingJobName": "Job-A"}
    times = [START.timestamp() + 5 * number for number in range(3)]
    platform.store.add_points([Point("/aws/sagemaker/TrainingJobs", "loss", dimensions, time, 1.0) for time in times])
    assert get("Avg", arn) == ("Complete", [0, 1, 2], [1.0, 1.0, 1.0])


def test_nothing_reported_is_nothing_found(get):
    assert get("Avg") == ("Complete", [], [])


def test_an_axis_has_its_period(get):
    assert get("Avg", Period="OneMinute")[0] == "ValidationError"
    assert get("Avg", axis="Timestamp", Period="IterationNumber")[0] == "ValidationError"


def test_a_batch_has_at_most_ten(metrics, refusal):
    datum = {"MetricName": "loss", "Timestamp": START, "Value": 1.0}
    code, message = refusal(metrics.batch_put_metrics, TrialComponentName="mine", MetricData=[datum] * 11)
    assert code == "ValidationException"
    assert "less than or equal to 10" in message
