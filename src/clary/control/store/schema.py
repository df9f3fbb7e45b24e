"""The tables. The same on SQLite and PostgreSQL; ``migrations`` leads older stores here.

Names compare by their code points on both, so that lists come in one order whatever the server's locale.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = ["HEAD", "cursors", "links", "metadata", "points", "records", "series", "tags", "version"]

HEAD = "0003"  # the newest of migrations/versions

metadata = MetaData()
# SQLite compares bytes by default; PostgreSQL by the locale of its server unless told "C".
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_ID = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up only an INTEGER primary key

# Times in epoch seconds; ``body`` is JSON.
records = Table(
    "records",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("kind", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("arn", _TEXT, nullable=False),
    Column("status", _TEXT, nullable=False),
    Column("created", Double, nullable=False),
    Column("modified", Double, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "name", name="uq_records_name"),
    UniqueConstraint("arn", name="uq_records_arn"),
    # One index an order of listing. Each holds all that a filter asks for, so that a page reads no other record's body.
    Index("ix_records_by_name", "kind", "name", "status", "created", "modified"),
    Index("ix_records_by_created", "kind", "created", "name", "status", "modified"),
    Index("ix_records_by_modified", "kind", "modified", "name", "status", "created"),
    Index("ix_records_by_status", "kind", "status", "created", "name", "modified"),
)

tags = Table(
    "tags",
    metadata,
    Column("arn", _TEXT, ForeignKey("records.arn", name="fk_tags_arn", ondelete="CASCADE"), primary_key=True),
    Column("key", _TEXT, primary_key=True),
    Column("value", _TEXT, nullable=False),
)

# From one record to another (store.links); they go with either.
links = Table(
    "links",
    metadata,
    Column("source", _TEXT, ForeignKey("records.arn", name="fk_links_source", ondelete="CASCADE"), primary_key=True),
    Column(
        "destination",
        _TEXT,
        ForeignKey("records.arn", name="fk_links_destination", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", _TEXT, primary_key=True),
    Column("created", Double, nullable=False),
    Index("ix_links_by_destination", "destination", "kind", "source"),
)

# A metric: ``dimensions`` is JSON with sorted keys.
series = Table(
    "series",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("namespace", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("dimensions", _TEXT, nullable=False),
    UniqueConstraint("namespace", "name", "dimensions", name="uq_series"),
    Index("ix_series_by_dimensions", "namespace", "dimensions", "name"),
)

points = Table(
    "points",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("series", _ID, ForeignKey("series.id", name="fk_points_series", ondelete="CASCADE"), nullable=False),
    Column("time", Double, nullable=False),
    Column("value", Double, nullable=False),
    Column("count", Double, nullable=False),
    Column("minimum", Double, nullable=False),
    Column("maximum", Double, nullable=False),
    Column("unit", _TEXT, nullable=False),
    Index("ix_points_by_time", "series", "time"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", _TEXT, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
)
