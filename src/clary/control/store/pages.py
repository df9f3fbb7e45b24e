"""Lists of records, a page at a time: filtered, in one of four orders, from a token that stays good.

A token holds where the last page ended (the sort key of its last record), so records that come and go meanwhile
neither repeat nor hide others; and a mark of the query, so that it is refused with another one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, Row, func, select, tuple_

from clary.control.store.links import parts, wholes
from clary.control.store.schema import records
from clary.control.wire import paging
from clary.control.wire.errors import ValidationException

__all__ = ["Query", "select_page"]

Order = Literal["Name", "CreationTime", "LastModifiedTime", "Status"]

_COLUMNS: Final = records.c
# By what an order sorts, which index has it, and the types of a place in it; the name comes last, for it is unique.
_ORDERS: dict[str, tuple[str, tuple[ColumnElement[Any], ...], tuple[type, ...]]] = {
    "Name": ("ix_records_by_name", (_COLUMNS.name,), (str,)),
    "CreationTime": ("ix_records_by_created", (_COLUMNS.created, _COLUMNS.name), (float, str)),
    "LastModifiedTime": ("ix_records_by_modified", (_COLUMNS.modified, _COLUMNS.name), (float, str)),
    "Status": ("ix_records_by_status", (_COLUMNS.status, _COLUMNS.created, _COLUMNS.name), (str, float, str)),
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to list. Times in epoch seconds, after inclusive, before exclusive; an empty string or None does not filter.

    ``name_contains`` and ``name_prefix`` tell upper from lower case. ``limit`` is 1 or more. Equal sort keys are
    told apart by the name (by creation time, then name, in the order of Status). ``part_of`` and ``whole_of`` are ARNs:
    only parts of the one (with a ``depth`` of 2: parts of its parts), only what the other is a part of.
    """

    name_contains: str = ""
    status: str = ""
    created_after: float | None = None
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    sort_by: Order = "CreationTime"
    descending: bool = False
    limit: int = 100
    token: str | None = None
    name_prefix: str = ""
    part_of: str = ""
    depth: int = 1
    whole_of: str = ""


def select_page(connection: Connection, kind: str, query: Query) -> tuple[list[Row[*tuple[Any, ...]]], str | None]:
    """Rows of ``records`` and the token of the next page. Raises ValidationException for a token not of this query."""
    index, keys, types = _ORDERS[query.sort_by]
    if query.status and query.sort_by == "CreationTime":
        index = "ix_records_by_status"  # within one status it has this order too
    order = [key.desc() if query.descending else key.asc() for key in keys]
    listing = _listing(kind, query)
    found = select(*keys).where(_COLUMNS.kind == kind, *_filters(query, connection.dialect.name))
    if query.token:
        found = found.where(_beyond(keys, _place(query.token, listing, types), query.descending))
    # Not left to SQLite's planner: without statistics of the table it may sort every record of the kind. The few that
    # are linked it finds by their links, and sorts those.
    if not query.part_of and not query.whole_of:
        found = found.with_hint(records, f"INDEXED BY {index}", "sqlite")
    found = found.order_by(*order).limit(query.limit + 1)
    places = connection.execute(found).all()  # from the index alone; the records themselves only then
    token = paging.encode(listing, list(places[query.limit - 1])) if len(places) > query.limit else None
    return _records(connection, kind, [place[-1] for place in places[: query.limit]]), token


def _records(connection: Connection, kind: str, names: list[str]) -> list[Row[*tuple[Any, ...]]]:
    """Records in the order of ``names``; one deleted this moment is left out."""
    rows = connection.execute(select(records).where(_COLUMNS.kind == kind, _COLUMNS.name.in_(names))) if names else ()
    by_name = {row.name: row for row in rows}
    return [by_name[name] for name in names if name in by_name]


def _filters(query: Query, dialect: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.name_contains:
        if dialect == "sqlite":  # its LIKE takes upper and lower case for the same
            conditions.append(func.instr(_COLUMNS.name, query.name_contains) > 0)
        else:
            conditions.append(_COLUMNS.name.contains(query.name_contains, autoescape=True))
    if query.name_prefix:
        conditions.append(_COLUMNS.name >= query.name_prefix)
        # A range the index can use; LIKE it could not, and case would not count. Nothing sorts behind U+10FFFF.
        conditions.append(_COLUMNS.name < query.name_prefix + "\U0010ffff")
    if query.status:
        conditions.append(_COLUMNS.status == query.status)
    if query.part_of:
        conditions.append(_COLUMNS.arn.in_(parts(query.part_of, query.depth)))
    if query.whole_of:
        conditions.append(_COLUMNS.arn.in_(wholes(query.whole_of)))
    for column, after, before in (
        (_COLUMNS.created, query.created_after, query.created_before),
        (_COLUMNS.modified, query.modified_after, query.modified_before),
    ):
        if after is not None:
            conditions.append(column >= after)
        if before is not None:
            conditions.append(column < before)
    return conditions


def _beyond(keys: tuple[ColumnElement[Any], ...], last: list[Any], descending: bool) -> ColumnElement[bool]:
    left, right = tuple_(*keys), tuple_(*last)
    return left < right if descending else left > right


def _listing(kind: str, query: Query) -> str:
    """The query without its token and page size, in a few characters: what a token is good for."""
    values = astuple(replace(query, token=None, limit=1))
    return f"{kind} {hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]}"


def _place(token: str, listing: str, types: tuple[type, ...]) -> list[Any]:
    position = paging.decode(listing, token)
    if not isinstance(position, list) or [type(value) for value in position] != list(types):
        raise ValidationException("Invalid NextToken: it was not given out for this list")
    return position
