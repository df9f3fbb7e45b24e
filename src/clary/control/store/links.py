"""Links: that one record belongs to another, or was made from it. They go with either of their ends."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Select, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from clary.control.store.schema import links

__all__ = ["PART", "Link", "add_link", "find_links", "parts", "remove_links", "wholes"]

PART = "part"  # the kind of link that leads from a part to the whole it belongs to


@dataclass(frozen=True, slots=True)
class Link:
    """From one ARN to another; ``created`` in epoch seconds."""

    source: str
    destination: str
    kind: str
    created: float


def add_link(connection: Connection, link: Link) -> bool:
    """False where it is there already. Breaks the database's constraint where either end is no record."""
    upsert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    new = upsert(links).values(source=link.source, destination=link.destination, kind=link.kind, created=link.created)
    done = connection.execute(new.on_conflict_do_nothing(), execution_options={"preserve_rowcount": True})
    return done.rowcount == 1


def remove_links(connection: Connection, source: str, destination: str, kind: str | None) -> bool:
    """Those from one to the other, of one kind or (None) all but PART; False where there was none."""
    wanted = links.c.kind == kind if kind is not None else links.c.kind != PART
    where = (links.c.source == source, links.c.destination == destination, wanted)
    return connection.execute(delete(links).where(*where)).rowcount > 0


def find_links(connection: Connection, source: str | None, destination: str | None, kind: str | None) -> list[Link]:
    """Those with this source, destination and kind (None: any, but of the kind PART only when asked for), the oldest
    first."""
    found = select(links).order_by(links.c.created, links.c.source, links.c.destination, links.c.kind)
    found = found.where(links.c.kind == kind if kind is not None else links.c.kind != PART)
    if source is not None:
        found = found.where(links.c.source == source)
    if destination is not None:
        found = found.where(links.c.destination == destination)
    return [Link(*row) for row in connection.execute(found)]


def parts(whole: str, depth: int) -> Select[tuple[str]]:
    """ARNs of the parts of ``whole``; with a ``depth`` of 2 those of its parts' parts, and so on."""
    found = select(links.c.source).where(links.c.kind == PART, links.c.destination == whole)
    for _ in range(depth - 1):
        found = select(links.c.source).where(links.c.kind == PART, links.c.destination.in_(found))
    return found


def wholes(part: str) -> Select[tuple[str]]:
    """ARNs of all that ``part`` is a part of."""
    return select(links.c.destination).where(links.c.kind == PART, links.c.source == part)
