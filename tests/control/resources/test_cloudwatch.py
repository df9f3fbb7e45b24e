"""CloudWatch metrics, as boto3 sees them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from clary.control.platform import Platform
from clary.control.store.records import Point

Refusal = Callable[..., tuple[str, str]]
NAMESPACE = "/aws/sagemaker/TrainingJobs"
JOB = [{"Name": "TrainingJobName", "Value": "job"}]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def hour() -> datetime:
    """A whole hour, two hours ago or so."""
    return datetime.fromtimestamp(time.time() // 3600 * 3600 - 7200, UTC)


@pytest.fixture
def job(platform: Platform, hour: datetime) -> list[tuple[float, float]]:
    """Seconds after ``hour`` and values of the metric ``train:accuracy`` that a job printed."""
    printed = [(5.0, 0.25), (59.999, 0.75), (60.0, 0.5), (125.5, 0.875), (600.0, 1.0)]
    start = hour.timestamp()
    dimensions = {"TrainingJobName": "job"}
    platform.store.add_points([Point(NAMESPACE, "train:accuracy", dimensions, start + at, v) for at, v in printed])
    return printed


def _statistics(cloudwatch: Any, start: datetime, end: datetime, **more: Any) -> list[dict[str, Any]]:
    request = {"Namespace": NAMESPACE, "MetricName": "train:accuracy", "Dimensions": JOB, "Period": 60}
    request |= {"StartTime": start, "EndTime": end, "Statistics": ["Average"]}
    for name, value in more.items():
        request[name] = value
    request = {name: value for name, value in request.items() if value is not None}
    return list(cloudwatch.get_metric_statistics(**request)["Datapoints"])


class TestGetMetricStatistics:
    def test_what_the_sdk_asks_of_a_training_job(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        """TrainingJobAnalytics: from the start of training to a minute after its end, averages of a minute."""
        found = _statistics(cloudwatch, hour + timedelta(seconds=3), hour + timedelta(seconds=661))
        assert [(one["Timestamp"], one["Average"], one["Unit"]) for one in found] == [
            (hour, 0.5, "None"),
            (hour + MINUTE, 0.5, "None"),
            (hour + 2 * MINUTE, 0.875, "None"),
            (hour + 10 * MINUTE, 1.0, "None"),
        ]
        assert set(found[0]) == {"Timestamp", "Average", "Unit"}

    def test_by_the_protocol_of_older_clients(self, cloudwatch: Any, door: Any, hour: datetime, job: Any) -> None:
        form = {"Action": "GetMetricStatistics", "Version": "2010-08-01", "Namespace": NAMESPACE, "Period": "60"}
        form |= {"MetricName": "train:accuracy", "Statistics.member.1": "Average"}
        form |= {"Dimensions.member.1.Name": "TrainingJobName", "Dimensions.member.1.Value": "job"}
        form |= {"StartTime": f"{hour:%Y-%m-%dT%H:%M:%SZ}", "EndTime": f"{hour + MINUTE:%Y-%m-%dT%H:%M:%SZ}"}
        with urlopen(door.url, urlencode(form).encode()) as answer:
            text = answer.read().decode()
        assert text.count("<member>") == 1
        assert "<Average>0.5</Average>" in text

    def test_all_statistics(self, cloudwatch: Any, hour: datetime, job: list[tuple[float, float]]) -> None:
        names = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
        (found,) = _statistics(cloudwatch, hour, hour + 60 * MINUTE, Period=3600, Statistics=names)
        values = [value for _, value in job]
        assert [found[name] for name in names] == [5, statistics.mean(values), sum(values), 0.25, 1.0]

    def test_percentiles(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        more = {"Statistics": None, "ExtendedStatistics": ["p0", "p50", "p90.5"], "Period": 3600}
        (found,) = _statistics(cloudwatch, hour, hour + 60 * MINUTE, **more)
        assert found["ExtendedStatistics"] == {"p0": 0.25, "p50": 0.75, "p90.5": 1.0}
        assert "Average" not in found

    def test_the_start_is_rounded_down_and_periods_count_from_it(
        self, cloudwatch: Any, hour: datetime, job: Any
    ) -> None:
        found = _statistics(cloudwatch, hour + timedelta(seconds=119), hour + 30 * MINUTE, Period=300)
        assert [one["Timestamp"] for one in found] == [hour + MINUTE, hour + 6 * MINUTE]
        found = _statistics(cloudwatch, hour + timedelta(seconds=57), hour + MINUTE, Period=10)
        assert [(one["Timestamp"], one["Average"]) for one in found] == [(hour + timedelta(seconds=50), 0.75)]

    def test_the_end_is_exclusive(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        assert len(_statistics(cloudwatch, hour, hour + 10 * MINUTE)) == 3
        assert len(_statistics(cloudwatch, hour, hour + 10 * MINUTE + timedelta(seconds=1))) == 4

    def test_nothing_there(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        others: list[dict[str, Any]] = [{"MetricName": "loss"}, {"Dimensions": []}, {"Namespace": "x"}]
        for other in [*others, {"Unit": "Seconds"}]:
            assert _statistics(cloudwatch, hour, hour + 20 * MINUTE, **other) == []

    def test_units_stay_apart(self, cloudwatch: Any, platform: Platform, hour: datetime) -> None:
        start = hour.timestamp()
        for value, unit in ((1.0, "Seconds"), (3.0, "Seconds"), (500.0, "Milliseconds")):
            platform.store.add_points([Point("n", "m", {}, start, value, unit)])
        request = {"Namespace": "n", "MetricName": "m", "Dimensions": []}
        found = _statistics(cloudwatch, hour, hour + MINUTE, **request)
        assert {one["Unit"]: one["Average"] for one in found} == {"Seconds": 2, "Milliseconds": 500}
        found = _statistics(cloudwatch, hour, hour + MINUTE, Unit="Seconds", **request)
        assert [one["Average"] for one in found] == [2]

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"Statistics": None}, "MissingParameter"),
            ({"ExtendedStatistics": ["p50"]}, "InvalidParameterCombination"),
            ({"Statistics": None, "ExtendedStatistics": ["p101"]}, "InvalidParameterValue"),
            ({"Period": 90}, "InvalidParameterValue"),
            ({"Period": 7}, "InvalidParameterValue"),
            ({"Period": 1}, "InvalidParameterCombination"),
        ],
    )
    def test_what_is_refused(
        self, cloudwatch: Any, hour: datetime, refusal: Refusal, change: dict[str, Any], code: str
    ) -> None:
        got, message = refusal(lambda **_: _statistics(cloudwatch, hour, hour + 60 * MINUTE, **change))
        assert (got, bool(message)) == (code, True)

    def test_a_range_that_is_none(self, cloudwatch: Any, hour: datetime, refusal: Refusal) -> None:
        """As long as the times are told apart, though the start would be rounded down to before the end."""
        refused = ("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.")
        for later in (timedelta(0), timedelta(seconds=1), timedelta(milliseconds=900), 90 * MINUTE):
            start = hour + timedelta(seconds=30)
            assert refusal(lambda start=start, later=later: _statistics(cloudwatch, start + later, start)) == refused
        stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Average"}
        query = [{"Id": "a", "MetricStat": stat}]
        both = {"StartTime": hour, "EndTime": hour}
        assert refusal(cloudwatch.get_metric_data, MetricDataQueries=query, **both) == refused


class TestPutMetricData:
    def test_values_counts_and_sets(self, cloudwatch: Any, hour: datetime) -> None:
        names = ["SampleCount", "Sum", "Minimum", "Maximum"]
        data = [
            {"MetricName": "m", "Timestamp": hour, "Value": 2.0, "Unit": "Count"},
            {"MetricName": "m", "Timestamp": hour, "Values": [1.0, 4.0], "Counts": [3, 1], "Unit": "Count"},
            {
                "MetricName": "m",
                "Timestamp": hour,
                "Unit": "Count",
                "StatisticValues": {"SampleCount": 4, "Sum": 20, "Minimum": -1, "Maximum": 9},
            },
        ]
        cloudwatch.put_metric_data(Namespace="n", MetricData=data)
        request = {"Namespace": "n", "MetricName": "m", "Dimensions": None, "Statistics": names}
        (found,) = _statistics(cloudwatch, hour, hour + MINUTE, **request)
        assert [found[name] for name in names] == [9, 29, -1, 9]
        assert found["Unit"] == "Count"

    def test_now_where_no_time_is_given(self, cloudwatch: Any) -> None:
        cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1, "Dimensions": JOB}])
        now = datetime.now(UTC)
        assert len(_statistics(cloudwatch, now - MINUTE, now + MINUTE, Namespace="n", MetricName="m")) == 1

    @pytest.mark.parametrize(
        ("datum", "code"),
        [
            ({"Value": math.nan}, "SerializationException"),  # JSON has no such number
            ({"Value": 2.0**361}, "InvalidParameterValue"),
            ({"Values": [1.0, 2.0], "Counts": [1.0]}, "InvalidParameterValue"),
            ({"Values": [1.0], "Counts": [0.0]}, "InvalidParameterValue"),
            ({"Values": []}, "InvalidParameterValue"),
            ({"Values": [float(n) for n in range(151)]}, "InvalidParameterValue"),
            ({}, "InvalidParameterCombination"),
            ({"Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination"),
            ({"Value": 1.0, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}, "InvalidParameterValue"),
            ({"Value": 1.0, "Dimensions": JOB + JOB}, "InvalidParameterValue"),
            ({"Value": 1.0, "MetricName": "a\0b"}, "InvalidParameterValue"),
            ({"Value": 1.0, "Dimensions": [{"Name": "a", "Value": "\n"}]}, "InvalidParameterValue"),
            (
                {"StatisticValues": {"SampleCount": 0, "Sum": 1, "Minimum": 1, "Maximum": 1}},
                "InvalidParameterValue",
            ),
            (
                {"StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1}},
                "InvalidParameterValue",
            ),
        ],
    )
    def test_one_wrong_datum_and_nothing_is_put(
        self, cloudwatch: Any, refusal: Refusal, datum: dict[str, Any], code: str
    ) -> None:
        data = [{"MetricName": "m", "Value": 1.0}, {"MetricName": "m"} | datum]
        assert refusal(cloudwatch.put_metric_data, Namespace="n", MetricData=data)[0] == code
        assert cloudwatch.list_metrics()["Metrics"] == []

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_the_older_protocol_can_say(self, cloudwatch: Any, door: Any, value: str) -> None:
        form = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "n"}
        form |= {"MetricData.member.1.MetricName": "m", "MetricData.member.1.Value": value}
        with pytest.raises(HTTPError) as caught:
            urlopen(door.url, urlencode(form).encode())
        with caught.value as answer:
            assert answer.status == 400
        assert cloudwatch.list_metrics()["Metrics"] == []

    def test_no_data_or_too_much(self, cloudwatch: Any, refusal: Refusal) -> None:
        assert refusal(cloudwatch.put_metric_data, Namespace="n")[0] == "MissingParameter"
        data = [{"MetricName": "m", "Value": 1.0}] * 1001
        assert refusal(cloudwatch.put_metric_data, Namespace="n", MetricData=data)[0] == "InvalidParameterValue"


def _query(identity: str = "a", stat: str = "Average", period: int = 60, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": NAMESPACE, "MetricName": "train:accuracy", "Dimensions": JOB}
    return {"Id": identity, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}} | more


class TestGetMetricData:
    def test_newest_first_unless_asked(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        window = {"StartTime": hour + timedelta(seconds=30), "EndTime": hour + 20 * MINUTE}
        (found,) = cloudwatch.get_metric_data(MetricDataQueries=[_query()], **window)["MetricDataResults"]
        assert (found["Id"], found["Label"], found["StatusCode"]) == ("a", "train:accuracy", "Complete")
        times = [hour + 10 * MINUTE, hour + 2 * MINUTE, hour + MINUTE, hour]
        assert (found["Timestamps"], found["Values"]) == (times, [1.0, 0.875, 0.5, 0.5])
        found = cloudwatch.get_metric_data(MetricDataQueries=[_query()], ScanBy="TimestampAscending", **window)
        assert found["MetricDataResults"][0]["Timestamps"] == times[::-1]

    def test_periods_begin_at_whole_multiples(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        queries = [_query("a", "Maximum", 300), _query("b", "p50", 3600, Label="median"), _query("c", ReturnData=False)]
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=queries, StartTime=hour + timedelta(seconds=90), EndTime=hour + 20 * MINUTE
        )
        first, second = answer["MetricDataResults"]
        assert (first["Timestamps"], first["Values"]) == ([hour + 10 * MINUTE, hour], [1.0, 0.875])
        assert (second["Timestamps"], second["Values"], second["Label"]) == ([hour], [0.75], "median")

    def test_pages(self, cloudwatch: Any, hour: datetime, job: Any) -> None:
        request = {"MetricDataQueries": [_query("a"), _query("b", "Sum")], "StartTime": hour}
        request |= {"EndTime": hour + 20 * MINUTE, "ScanBy": "TimestampAscending"}
        values: dict[str, list[float]] = {"a": [], "b": []}
        token: dict[str, str] = {}
        pages = 0
        while True:
            answer = cloudwatch.get_metric_data(MaxDatapoints=3, **request, **token)
            for one in answer["MetricDataResults"]:
                values[one["Id"]] += one["Values"]
            pages += 1
            if "NextToken" not in answer:
                break
            token = {"NextToken": answer["NextToken"]}
        assert pages == 3
        assert values == {"a": [0.5, 0.5, 0.875, 1.0], "b": [1.0, 0.5, 0.875, 1.0]}

    @pytest.mark.parametrize(
        "queries",
        [
            [{"Id": "a", "Expression": "b / 2"}],
            [{"Id": "a"}],
            [_query(), _query()],
            [_query(stat="tm90")],
        ],
    )
    def test_what_is_refused(self, cloudwatch: Any, hour: datetime, refusal: Refusal, queries: Any) -> None:
        request = {"MetricDataQueries": queries, "StartTime": hour, "EndTime": hour + MINUTE}
        assert refusal(cloudwatch.get_metric_data, **request)[0] == "ValidationError"

    def test_a_wrong_token(self, cloudwatch: Any, hour: datetime, refusal: Refusal) -> None:
        request = {"MetricDataQueries": [_query()], "StartTime": hour, "EndTime": hour + MINUTE, "NextToken": "x"}
        assert refusal(cloudwatch.get_metric_data, **request)[0] == "InvalidNextToken"


class TestListMetrics:
    def test_filters(self, cloudwatch: Any, platform: Platform, job: Any) -> None:
        platform.store.add_points([Point("mine", "m", {"a": "1", "b": "2"}, 5.0, 1.0)])
        metrics = cloudwatch.list_metrics()["Metrics"]
        training = {"Namespace": NAMESPACE, "MetricName": "train:accuracy", "Dimensions": JOB}
        mine = {
            "Namespace": "mine",
            "MetricName": "m",
            "Dimensions": [{"Name": "a", "Value": "1"}, {"Name": "b", "Value": "2"}],
        }
        assert metrics == [training, mine]
        for request, wanted in (
            ({"Namespace": "mine"}, [mine]),
            ({"MetricName": "train:accuracy"}, [training]),
            ({"Dimensions": [{"Name": "a"}]}, [mine]),
            ({"Dimensions": [{"Name": "a", "Value": "2"}]}, []),
            ({"Dimensions": JOB}, [training]),
            ({"RecentlyActive": "PT3H"}, [training]),
        ):
            assert cloudwatch.list_metrics(**request)["Metrics"] == wanted, request

    def test_pages(self, cloudwatch: Any, platform: Platform) -> None:
        platform.store.add_points([Point("n", f"m{number:04d}", {}, 5.0, 1.0) for number in range(1100)])
        pages = list(cloudwatch.get_paginator("list_metrics").paginate(Namespace="n"))
        assert [len(page["Metrics"]) for page in pages] == [500, 500, 100]
        assert len({metric["MetricName"] for page in pages for metric in page["Metrics"]}) == 1100
