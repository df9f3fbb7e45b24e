"""CloudWatch metrics: put, list, and read as statistics over periods."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from clary.control.platform import Platform
from clary.control.store.records import Point, Series
from clary.control.store.statistics import is_statistic, per_period, statistic
from clary.control.wire.errors import ServiceError
from clary.control.wire.operation import Answer, Request, operation

__all__: list[str] = []

# Limits of the API reference: PutMetricData, MetricDatum, GetMetricStatistics, GetMetricData, ListMetrics.
DATUMS = 1000  # of one PutMetricData
VALUES = 150  # of one datum
DATAPOINTS = 1440  # of one GetMetricStatistics
RESULTS = 100_800  # datapoints of one GetMetricData
METRICS = 500  # of one page of ListMetrics
LARGEST = 2.0**360
OLDEST, NEWEST = -14 * 86_400, 2 * 3600  # seconds from now that a datum may have
ACTIVE = 3 * 3600  # seconds of RecentlyActive
SHORT_PERIODS = (1, 5, 10, 20, 30)


@operation("cloudwatch", "PutMetricData")
async def put_metric_data(platform: Platform, request: Request) -> Answer:
    """All of the data or, when a datum is wrong, none."""
    data = list(request.get("MetricData") or [])
    for entity in request.get("EntityMetricData") or []:
        data += entity.get("MetricData") or []
    if not data:
        raise ServiceError("MissingParameter", "The parameter MetricData is required.")
    if len(data) > DATUMS:
        raise _wrong(f"The collection MetricData must not have a size greater than {DATUMS}.")
    _check_text(request["Namespace"], "Namespace")
    points: list[Point] = []
    for number, datum in enumerate(data, 1):
        points += _points(request["Namespace"], datum, f"MetricData.member.{number}")
    await asyncio.to_thread(platform.store.add_points, points)
    return {}


@operation("cloudwatch", "GetMetricStatistics")
async def get_metric_statistics(platform: Platform, request: Request) -> Answer:
    """Periods are counted from the start, which is rounded down; data of different units stay apart."""
    return await asyncio.to_thread(_statistics, platform, request)


@operation("cloudwatch", "GetMetricData")
async def get_metric_data(platform: Platform, request: Request) -> Answer:
    """Periods begin at whole multiples since the epoch. Only metrics themselves are given, no expressions on them."""
    return await asyncio.to_thread(_data, platform, request)


@operation("cloudwatch", "ListMetrics")
def list_metrics(platform: Platform, request: Request) -> Answer:
    since = time.time() - ACTIVE if "RecentlyActive" in request else None
    wanted = {one["Name"]: one.get("Value") for one in request.get("Dimensions") or []}
    found = platform.store.series(request.get("Namespace"), request.get("MetricName"), wanted, since=since)
    skip = _place(request.get("NextToken"), "InvalidParameterValue")
    page = found[skip : skip + METRICS]
    more = {"NextToken": str(skip + METRICS)} if skip + METRICS < len(found) else {}
    return {"Metrics": [_metric(series) for series in page], **more}


def _statistics(platform: Platform, request: Request) -> Answer:
    period, names = request["Period"], _wanted(request)
    start, end = request["StartTime"].timestamp(), request["EndTime"].timestamp()
    _check_range(start, end, period)
    # Only the start is rounded; the end stays where it is, and is not part of the range.
    start = _rounded(start, period)
    if (end - start) / period > DATAPOINTS:
        raise ServiceError(
            "InvalidParameterCombination",
            f"You have requested up to {math.ceil((end - start) / period):,} datapoints, which exceeds the limit of"
            f" {DATAPOINTS:,}. You may reduce the datapoints requested by increasing Period, or decreasing the time"
            " range.",
        )
    dimensions = _dimensions(request.get("Dimensions"), "Dimensions")
    found = platform.store.points(request["Namespace"], request["MetricName"], dimensions, start, end)
    # Data of different units are never added up (API reference, GetMetricStatistics).
    units = [request["Unit"]] if "Unit" in request else sorted({point.unit for point in found})
    datapoints = [
        _datapoint(begin, unit, names, points)
        for unit in units
        for begin, points in per_period([point for point in found if point.unit == unit], start, period).items()
    ]
    return {"Label": request["MetricName"], "Datapoints": sorted(datapoints, key=lambda one: one["Timestamp"])}


def _data(platform: Platform, request: Request) -> Answer:
    queries = request["MetricDataQueries"]
    identities = [query["Id"] for query in queries]
    if len(set(identities)) < len(identities):
        raise _refused("The values for parameter Id in MetricDataQueries are not unique.")
    for query in queries:
        _check_query(query)
    start, end = request["StartTime"].timestamp(), request["EndTime"].timestamp()
    # The API's default, the reverse of what a curve needs.
    newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    skip, room = _place(request.get("NextToken"), "InvalidNextToken"), request.get("MaxDatapoints") or RESULTS
    results, passed = [], 0
    for query in queries:
        if query.get("ReturnData", True):
            values = _series(platform, query, start, end, newest_first)
            part = values[max(0, skip - passed) : max(0, skip + room - passed)]
            passed += len(values)
            results.append(_result(query, part, whole=passed <= skip + room))
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    return answer | ({"NextToken": str(skip + room)} if skip + room < passed else {})


def _points(namespace: str, datum: dict[str, Any], where: str) -> Iterator[Point]:
    """The points a datum stands for; raises InvalidParameterValue and its kin, naming the member."""
    _check_text(datum["MetricName"], f"{where}.MetricName")
    dimensions = _dimensions(datum.get("Dimensions"), f"{where}.Dimensions")
    at = datum["Timestamp"].timestamp() if "Timestamp" in datum else time.time()
    # CloudWatch refuses the whole request; nothing of it has been stored yet.
    if not OLDEST <= at - time.time() <= NEWEST:
        raise _wrong(f"The parameter {where}.Timestamp must specify a time within the last two weeks.")
    given = [member for member in ("Value", "Values", "StatisticValues") if member in datum]
    if len(given) != 1:
        raise ServiceError(
            "InvalidParameterCombination",
            f"The parameters {where}.Value, {where}.Values and {where}.StatisticValues are mutually exclusive and you"
            " have specified " + (" and ".join(given) or "none") + ".",
        )
    metric = (namespace, datum["MetricName"], dimensions, at)
    unit = datum.get("Unit", "None")
    if "StatisticValues" in datum:
        yield _set_of_samples(metric, unit, datum["StatisticValues"], where)
        return
    values = [datum["Value"]] if "Value" in datum else datum["Values"]
    counts = datum.get("Counts") or [1.0] * len(values)
    if not values or len(values) != len(counts) or len(values) > VALUES:
        raise _wrong(f"The parameters {where}.Values and {where}.Counts must have the same size, 1 to {VALUES}.")
    for value, count in zip(values, counts, strict=True):
        _check_number(value, f"{where}.Value")
        _check_number(count, f"{where}.Counts", above=0)
        yield Point(*metric, float(value), unit, float(count))


def _set_of_samples(
    metric: tuple[str, str, dict[str, str], float], unit: str, given: dict[str, Any], where: str
) -> Point:
    for member in ("Sum", "Minimum", "Maximum"):
        _check_number(given[member], f"{where}.StatisticValues.{member}")
    count = float(given["SampleCount"])
    _check_number(count, f"{where}.StatisticValues.SampleCount", above=0)
    if given["Minimum"] > given["Maximum"]:
        raise _wrong(f"The parameter {where}.StatisticValues.Minimum is greater than Maximum.")
    return Point(*metric, given["Sum"] / count, unit, count, float(given["Minimum"]), float(given["Maximum"]))


def _dimensions(given: Sequence[dict[str, str]] | None, where: str) -> dict[str, str]:
    dimensions: dict[str, str] = {}
    for number, one in enumerate(given or [], 1):
        _check_text(one["Name"], f"{where}.member.{number}.Name")
        _check_text(one["Value"], f"{where}.member.{number}.Value")
        if one["Name"] in dimensions:
            raise _wrong(f"The dimension {one['Name']} is given twice in {where}.")
        dimensions[one["Name"]] = one["Value"]
    return dimensions


def _check_text(text: str, where: str) -> None:
    if not text.isprintable() or not text.strip():
        raise _wrong(f"The value {text!a} for parameter {where} is invalid.")


def _check_number(value: float, where: str, *, above: float = -math.inf) -> None:
    if not (math.isfinite(value) and abs(value) <= LARGEST and value > above):
        raise _wrong(f"The value {value} for parameter {where} is invalid.")


def _check_range(start: float, end: float, period: int) -> None:
    # As CloudWatch counts: in whole seconds.
    if int(start) >= int(end):
        raise _wrong("The parameter StartTime must be less than the parameter EndTime.")
    if period not in SHORT_PERIODS and (period < 60 or period % 60):
        raise _wrong(f"The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60; {period} is none of these.")


def _wanted(request: Request) -> list[str]:
    names, percentiles = request.get("Statistics") or [], request.get("ExtendedStatistics") or []
    if bool(names) == bool(percentiles):
        code = "InvalidParameterCombination" if names else "MissingParameter"
        raise ServiceError(code, "Must specify either Statistics or ExtendedStatistics")
    for name in [*names, *percentiles]:
        if not is_statistic(name):
            raise _wrong(f"The value {name} for parameter ExtendedStatistics is not supported: give p0 to p100.")
    return [*names, *percentiles]


def _rounded(start: float, period: int) -> float:
    """Down to the second, minute, five minutes or hour, as the age of the data wants it."""
    if period in SHORT_PERIODS:
        return float(start // period * period)
    # As CloudWatch keeps data: by the minute for 15 days, by five minutes for 63, then by the hour.
    days = (time.time() - start) / 86_400
    grain = 60 if days < 15 else 300 if days < 63 else 3600
    return float(start // grain * grain)


def _datapoint(begin: float, unit: str, names: list[str], points: Sequence[Point]) -> dict[str, Any]:
    values = {name: statistic(name, points) for name in names}
    plain = {name: value for name, value in values.items() if not name.startswith("p")}
    percentiles = {name: value for name, value in values.items() if name.startswith("p") and value is not None}
    datapoint: dict[str, Any] = {"Timestamp": datetime.fromtimestamp(begin, UTC), "Unit": unit, **plain}
    return datapoint | ({"ExtendedStatistics": percentiles} if percentiles else {})


def _check_query(query: dict[str, Any]) -> None:
    wanted = query.get("MetricStat")
    if not wanted or query.get("Expression"):
        raise _refused(f"The query {query['Id']}: expressions are not supported here; give a MetricStat.")
    if not is_statistic(wanted["Stat"]):
        raise _refused(f"The value {wanted['Stat']} for parameter Stat of the query {query['Id']} is not supported.")


def _series(
    platform: Platform, query: dict[str, Any], start: float, end: float, newest_first: bool
) -> list[tuple[float, float]]:
    """Times and values of one query, every period whole."""
    wanted = query["MetricStat"]
    metric, period = wanted["Metric"], wanted["Period"]
    _check_range(start, end, period)
    first = start // period * period
    dimensions = _dimensions(metric.get("Dimensions"), "Dimensions")
    found = platform.store.points(metric.get("Namespace", ""), metric.get("MetricName", ""), dimensions, first, end)
    points = [point for point in found if point.unit == wanted.get("Unit", point.unit)]
    values = [(at, statistic(wanted["Stat"], some)) for at, some in per_period(points, first, period).items()]
    known = [(at, value) for at, value in values if value is not None]
    return known[::-1] if newest_first else known


def _result(query: dict[str, Any], part: list[tuple[float, float]], *, whole: bool) -> dict[str, Any]:
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or query["MetricStat"]["Metric"].get("MetricName", ""),
        "Timestamps": [datetime.fromtimestamp(at, UTC) for at, _ in part],
        "Values": [value for _, value in part],
        "StatusCode": "Complete" if whole else "PartialData",
    }


def _metric(series: Series) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in series.dimensions.items()]
    return {"Namespace": series.namespace, "MetricName": series.name, "Dimensions": dimensions}


def _place(token: str | None, code: str) -> int:
    if token is None:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 10):
        raise ServiceError(code, "The token that was provided is not valid.")
    return int(token)


def _wrong(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def _refused(message: str) -> ServiceError:
    return ServiceError("ValidationError", message)
