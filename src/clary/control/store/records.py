"""The store: what the platform knows of every resource, as records with a JSON body; their tags; metric data.

A record changes only by compare-and-swap on its version, so two that change it at once never lose a change. Every
method is one transaction: it happened wholly, or raised and left nothing. All block for well under a millisecond on
SQLite and may be called from any thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from clary.control.store import links, metrics
from clary.control.store.database import open_database, refusals
from clary.control.store.errors import AlreadyExists, Changed, NoSuchRecord, StoreError
from clary.control.store.links import PART, Link
from clary.control.store.metrics import Point, Series, Summary
from clary.control.store.pages import Query, select_page
from clary.control.store.schema import cursors, records, tags

__all__ = [
    "PART",
    "AlreadyExists",
    "Changed",
    "Link",
    "NoSuchRecord",
    "Page",
    "Point",
    "Query",
    "Record",
    "Series",
    "Store",
    "StoreError",
    "Summary",
]


@dataclass(frozen=True, slots=True)
class Record:
    """A resource as it was when read. Times in epoch seconds, to the millisecond.

    ``body`` belongs to the caller: changing it changes nothing in the store.
    """

    kind: str
    name: str
    arn: str
    status: str
    created: float
    modified: float
    version: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a list, and the token that gets the next ones; None at the end."""

    records: list[Record]
    next_token: str | None


# Built once: putting a statement together costs more than running it.
_GET = select(records).where(records.c.kind == bindparam("k"), records.c.name == bindparam("n"))
_BY_ARN = select(records).where(records.c.arn == bindparam("a"))
_INSERT = insert(records)
_UPDATE = (
    update(records)
    .where(records.c.kind == bindparam("k"), records.c.name == bindparam("n"))
    # The time of creation as well: a record deleted and made again is at version 1 too.
    .where(records.c.version == bindparam("v"), records.c.created == bindparam("c"))
    .values(status=bindparam("s"), modified=bindparam("m"), body=bindparam("b"), version=records.c.version + 1)
)
_DELETE = delete(records).where(records.c.kind == bindparam("k"), records.c.name == bindparam("n"))
_TAGS = select(tags.c.key, tags.c.value).where(tags.c.arn == bindparam("a")).order_by(tags.c.key)
_CURSOR = select(cursors.c.position).where(cursors.c.name == bindparam("n"))
_HOLD = update(records).where(records.c.arn == bindparam("a")).values(version=records.c.version)


class Store:
    """Raises StoreError wherever the database refuses; the store stays readable, and the next write may work."""

    def __init__(self, url: str) -> None:
        """Open ``sqlite:////path`` or ``postgresql://...``, made or brought to this version where need be.

        Raises UsageError for an address that cannot be used and for a store of a newer Clary.
        """
        self._engine = open_database(url)
        # Reads are single statements (a page is two, and bears what changes between them): no transaction around them.
        self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def close(self) -> None:
        self._engine.dispose()

    def create(
        self,
        kind: str,
        name: str,
        *,
        arn: str,
        body: Mapping[str, Any],
        status: str = "",
        tags: Mapping[str, str] | None = None,
        part_of: Collection[str] = (),
    ) -> Record:
        """A new record at version 1, a part of the records of the ARNs ``part_of``.

        Raises AlreadyExists, and StoreError where one of those is gone.
        """
        now = _now()
        text = _dump(body)
        record = Record(kind, name, arn, status, now, now, 1, json.loads(text))
        row = {"kind": kind, "name": name, "arn": arn, "status": status}
        inserted = False
        try:
            with self._writing() as connection:
                connection.execute(_INSERT, {**row, "created": now, "modified": now, "version": 1, "body": text})
                _put_tags(connection, arn, tags or {})
                inserted = True
                for whole in part_of:
                    links.add_link(connection, Link(arn, whole, PART, now))
        except StoreError as error:
            # Asked by the constraint, not before: between a look and an insert another may come.
            if isinstance(error.__cause__, IntegrityError) and not inserted:
                raise AlreadyExists(f"there is a {kind} `{name}` already") from error
            raise
        return record

    def get(self, kind: str, name: str) -> Record | None:
        with self._reading() as connection:
            row = connection.execute(_GET, {"k": kind, "n": name}).first()
        return _record(row) if row else None

    def by_arn(self, arn: str) -> Record | None:
        with self._reading() as connection:
            row = connection.execute(_BY_ARN, {"a": arn}).first()
        return _record(row) if row else None

    def update(self, record: Record, *, body: Mapping[str, Any], status: str | None = None) -> Record:
        """``record`` with another body and, unless None, status. Raises Changed when it is not as it was read."""
        text = _dump(body)
        status = record.status if status is None else status
        # The clock may be set back; lists by LastModifiedTime must not go backwards.
        modified = max(_now(), record.modified)
        values = {"k": record.kind, "n": record.name, "v": record.version, "c": record.created}
        with self._writing() as connection:
            done = connection.execute(_UPDATE, {**values, "s": status, "m": modified, "b": text})
            if done.rowcount != 1:
                raise Changed(f"the {record.kind} `{record.name}` was changed meanwhile")
        identity = (record.kind, record.name, record.arn, status, record.created)
        return Record(*identity, modified, record.version + 1, json.loads(text))

    def edit(
        self, kind: str, name: str, change: Callable[[Record], tuple[dict[str, Any], str] | None]
    ) -> Record | None:
        """Change a record whatever others do to it meanwhile; the record after, or None when there is none.

        ``change`` gets the record and returns its new body and status, or None to leave it; it may be called again
        with a newer record, so it must do nothing else.
        """
        while (record := self.get(kind, name)) is not None:
            new = change(record)
            if new is None:
                return record
            try:
                return self.update(record, body=new[0], status=new[1])
            except Changed:
                continue
        return None

    def delete(self, kind: str, name: str) -> bool:
        """Delete the record and its tags; False when there was none."""
        with self._writing() as connection:
            return connection.execute(_DELETE, {"k": kind, "n": name}).rowcount == 1

    def select(self, kind: str, statuses: Collection[str] | None = None) -> list[Record]:
        """All records of a kind, or those in one of ``statuses``; oldest first."""
        query = select(records).where(records.c.kind == kind).order_by(records.c.id)
        if statuses is not None:
            query = query.where(records.c.status.in_(sorted(statuses)))
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def page(self, kind: str, query: Query) -> Page:
        """One page of a list. Raises ValidationException for a token that was not given out for this query."""
        with self._reading() as connection:
            rows, token = select_page(connection, kind, query)
        return Page([_record(row) for row in rows], token)

    def tags(self, arn: str) -> dict[str, str]:
        """Tags of a record in key order; none for an unknown ARN."""
        with self._reading() as connection:
            return {row.key: row.value for row in connection.execute(_TAGS, {"a": arn})}

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, replacing those of the same keys. Raises NoSuchRecord."""
        with self._writing() as connection:
            # An update that changes nothing, first: it locks the row, so that the record cannot go before its tags are
            # there.
            if connection.execute(_HOLD, {"a": arn}).rowcount != 1:
                raise NoSuchRecord(f"there is no resource {arn}")
            _drop_tags(connection, arn, tags)
            _put_tags(connection, arn, tags)

    def untag(self, arn: str, keys: Collection[str]) -> None:
        """Remove tags; no error for those that are not there."""
        with self._writing() as connection:
            _drop_tags(connection, arn, keys)

    def link(self, source: str, destination: str, kind: str) -> bool:
        """Add a link between two records, by their ARNs; False where it is there. Raises NoSuchRecord."""
        try:
            with self._writing() as connection:
                return links.add_link(connection, Link(source, destination, kind, _now()))
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                gone = destination if self.by_arn(source) else source
                raise NoSuchRecord(f"there is no resource {gone}") from error
            raise

    def unlink(self, source: str, destination: str, kind: str | None = None) -> bool:
        """Remove the links from one to the other, of ``kind`` or (None) all but PART; False where there was none."""
        with self._writing() as connection:
            return links.remove_links(connection, source, destination, kind)

    def links(
        self, *, source: str | None = None, destination: str | None = None, kind: str | None = None
    ) -> list[Link]:
        """Links, the oldest first; those of the kind PART only when asked for."""
        with self._reading() as connection:
            return links.find_links(connection, source, destination, kind)

    def summaries(self, namespace: str, dimensions: Mapping[str, str], since: float = 0.0) -> list[Summary]:
        """What each metric with exactly these dimensions comes to, of its points since then (epoch seconds)."""
        with self._reading() as connection:
            return metrics.get_summaries(connection, namespace, dimensions, since)

    def forget_metrics(self, namespace: str, dimensions: Mapping[str, str]) -> None:
        """Remove all metrics of ``namespace`` whose dimensions hold these, with their points."""
        with self._writing() as connection:
            metrics.drop_series(connection, namespace, dimensions)

    def add_points(self, points: Sequence[Point], cursor: tuple[str, int] | None = None) -> bool:
        """Add metric data and set the cursor (name, position) at once.

        When the cursor stands at that position or further already, the points were counted before: nothing is added
        and False returned.
        """
        with self._writing() as connection:
            return metrics.add_points(connection, points, cursor)

    def cursor(self, name: str) -> int:
        """Position of a cursor; 0 for one never set."""
        with self._reading() as connection:
            return int(connection.execute(_CURSOR, {"n": name}).scalar() or 0)

    def points(self, namespace: str, name: str, dimensions: Mapping[str, str], start: float, end: float) -> list[Point]:
        """Points of the metric with exactly these dimensions, start <= time < end (epoch seconds), in time order."""
        with self._reading() as connection:
            return metrics.get_points(connection, namespace, name, dimensions, start, end)

    def series(
        self,
        namespace: str | None = None,
        name: str | None = None,
        dimensions: Mapping[str, str | None] | None = None,
        *,
        since: float | None = None,
    ) -> list[Series]:
        """Metrics that have all of ``dimensions`` (a value of None: any) and, if asked, points at ``since`` or later.

        Ordered by namespace, name, dimensions.
        """
        with self._reading() as connection:
            return metrics.get_series(connection, namespace, name, dimensions, since)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with refusals(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction. Its first statement must write, so that SQLite waits for its turn before it reads."""
        with refusals(), self._engine.begin() as connection:
            yield connection


def _now() -> float:
    # AWS answers milliseconds, and what was answered must be found again by CreationTimeAfter.
    return round(time.time(), 3)


def _dump(body: Mapping[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"), default=_plain)


def _plain(value: object) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


def _record(row: Row[*tuple[Any, ...]]) -> Record:
    _, kind, name, arn, status, created, modified, version, body = row
    return Record(kind, name, arn, status, created, modified, version, json.loads(body))


def _put_tags(connection: Connection, arn: str, new: Mapping[str, str]) -> None:
    if new:
        connection.execute(insert(tags), [{"arn": arn, "key": key, "value": value} for key, value in new.items()])


def _drop_tags(connection: Connection, arn: str, keys: Collection[str]) -> None:
    connection.execute(delete(tags).where(tags.c.arn == arn, tags.c.key.in_(list(keys))))
