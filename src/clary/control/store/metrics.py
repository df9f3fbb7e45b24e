"""Metric data: series of points, and cursors that keep a line of a log from being counted twice."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, ScalarSelect, Select, bindparam, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from clary.control.store.schema import cursors, points, series

__all__ = ["Point", "Series", "Summary"]


@dataclass(frozen=True, slots=True)
class Point:
    """One or more samples of a metric at one time.

    ``time`` in epoch seconds. A point stands for ``count`` samples whose mean is ``value``, all equal unless
    ``minimum`` and ``maximum`` say otherwise.
    """

    namespace: str
    name: str
    dimensions: Mapping[str, str]
    time: float
    value: float
    unit: str = "None"
    count: float = 1.0
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A metric that has points."""

    namespace: str
    name: str
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """All samples of a metric in a few numbers; ``last`` is the value of the newest point, whose ``time`` is in epoch
    seconds. ``deviation`` is that of the population."""

    name: str
    count: float
    mean: float
    deviation: float
    minimum: float
    maximum: float
    last: float
    time: float


def add_points(connection: Connection, new: Sequence[Point], cursor: tuple[str, int] | None) -> bool:
    """Add ``new`` and move the cursor; neither when the cursor stands there or further already.

    A value that is not finite (the loss of a run that diverged) is left out: CloudWatch knows none either.
    """
    new = [point for point in new if math.isfinite(point.value)]
    # First: the cursor's row is the lock under which the points are added.
    if cursor and not _advance(connection, *cursor):
        return False
    identities: dict[tuple[str, str, str], int] = {}
    # Sorted, so that two writers lock the same series in the same order.
    for key in sorted({_key(point.namespace, point.name, point.dimensions) for point in new}):
        identities[key] = _identity(connection, *key)
    rows = [_row(point, identities[_key(point.namespace, point.name, point.dimensions)]) for point in new]
    if rows:
        connection.execute(insert(points), rows)
    return True


def get_points(
    connection: Connection, namespace: str, name: str, dimensions: Mapping[str, str], start: float, end: float
) -> list[Point]:
    """Points of exactly this metric with start <= time < end, in time order, then as they were added."""
    key = _key(namespace, name, dimensions)
    identity = connection.execute(_find(*key)).scalar()
    if identity is None:
        return []
    within = (points.c.series == identity, points.c.time >= start, points.c.time < end)
    columns = (points.c.time, points.c.value, points.c.unit, points.c.count, points.c.minimum, points.c.maximum)
    rows = connection.execute(select(*columns).where(*within).order_by(points.c.time, points.c.id))
    return [
        Point(namespace, name, dict(dimensions), time, value, unit, count, minimum, maximum)
        for time, value, unit, count, minimum, maximum in rows
    ]


def get_summaries(connection: Connection, namespace: str, dimensions: Mapping[str, str], since: float) -> list[Summary]:
    """A summary of each metric with exactly these dimensions, of its points at ``since`` or later; in name order."""
    of = _key(namespace, "", dimensions)
    found = []
    for name, count, total, squares, minimum, maximum, last, time in connection.execute(
        _SUMMARIES, {"n": of[0], "d": of[2], "s": since}
    ):
        mean = total / count
        # The difference of two large numbers may come out just below zero.
        deviation = math.sqrt(max(0.0, squares / count - mean * mean))
        found.append(Summary(name, count, mean, deviation, minimum, maximum, last, time))
    return found


def _newest(column: Column[float]) -> ScalarSelect[float]:
    """Of the newest point of each series."""
    newest = points.alias()
    order = (newest.c.time.desc(), newest.c.id.desc())
    found = select(newest.c[column.name]).where(newest.c.series == series.c.id).order_by(*order).limit(1)
    return found.correlate(series).scalar_subquery()


# Built once: a search for trial components runs it for each.
_SUMMARIES = (
    select(
        series.c.name,
        func.sum(points.c.count),
        func.sum(points.c.value * points.c.count),
        func.sum(points.c.value * points.c.value * points.c.count),
        func.min(points.c.minimum),
        func.max(points.c.maximum),
        _newest(points.c.value),
        _newest(points.c.time),
    )
    .join(points, points.c.series == series.c.id)
    .where(series.c.namespace == bindparam("n"), series.c.dimensions == bindparam("d"), points.c.time >= bindparam("s"))
    .group_by(series.c.id, series.c.name)
    .order_by(series.c.name)
)


def drop_series(connection: Connection, namespace: str, dimensions: Mapping[str, str]) -> None:
    """Remove the series of ``namespace`` that have all of ``dimensions``, with their points."""
    # A write first, that changes nothing: SQLite then waits for its turn before it reads.
    connection.execute(delete(series).where(series.c.id < 0))
    found = [
        one.id
        for one in connection.execute(select(series).where(series.c.namespace == namespace))
        if dimensions.items() <= json.loads(one.dimensions).items()
    ]
    for identity in found:
        connection.execute(delete(series).where(series.c.id == identity))


def get_series(
    connection: Connection,
    namespace: str | None,
    name: str | None,
    dimensions: Mapping[str, str | None] | None,
    since: float | None,
) -> list[Series]:
    """Series with all of ``dimensions`` (None: any value), ordered by namespace, name, dimensions."""
    query: Select[Any] = select(series).order_by(series.c.namespace, series.c.name, series.c.dimensions)
    if namespace is not None:
        query = query.where(series.c.namespace == namespace)
    if name is not None:
        query = query.where(series.c.name == name)
    if since is not None:
        recent = select(points.c.id).where(points.c.series == series.c.id, points.c.time >= since)
        query = query.where(recent.exists())
    found = [Series(row.namespace, row.name, json.loads(row.dimensions)) for row in connection.execute(query)]
    wanted = (dimensions or {}).items()
    return [
        one
        for one in found
        if all(key in one.dimensions and value in (None, one.dimensions[key]) for key, value in wanted)
    ]


def _key(namespace: str, name: str, dimensions: Mapping[str, str]) -> tuple[str, str, str]:
    return namespace, name, json.dumps(dict(dimensions), sort_keys=True, separators=(",", ":"))


def _row(point: Point, identity: int) -> dict[str, Any]:
    return {
        "series": identity,
        "time": point.time,
        "value": point.value,
        "count": point.count,
        "minimum": point.value if point.minimum is None else point.minimum,
        "maximum": point.value if point.maximum is None else point.maximum,
        "unit": point.unit,
    }


def _find(namespace: str, name: str, dimensions: str) -> Select[Any]:
    where = (series.c.namespace == namespace, series.c.name == name, series.c.dimensions == dimensions)
    return select(series.c.id).where(*where)


def _identity(connection: Connection, namespace: str, name: str, dimensions: str) -> int:
    found = connection.execute(_find(namespace, name, dimensions)).scalar()
    if found is None:
        values = {"namespace": namespace, "name": name, "dimensions": dimensions}
        # Another process may make it between the look and here.
        connection.execute(_upsert(connection)(series).values(values).on_conflict_do_nothing())
        found = connection.execute(_find(namespace, name, dimensions)).scalar_one()
    return int(found)


def _advance(connection: Connection, name: str, position: int) -> bool:
    new = _upsert(connection)(cursors).values(name=name, position=position)
    # Compare and set in one statement: of two that collect the same lines, one adds them.
    further = new.on_conflict_do_update(
        index_elements=[cursors.c.name],
        set_={"position": new.excluded.position},
        where=cursors.c.position < new.excluded.position,
    )
    return connection.execute(further, execution_options={"preserve_rowcount": True}).rowcount == 1


def _upsert(connection: Connection) -> Any:
    return sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
