"""Metric data, and how far logs were read for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "series",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("namespace", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("dimensions", _TEXT, nullable=False),
        sa.UniqueConstraint("namespace", "name", "dimensions", name="uq_series"),
    )
    op.create_table(
        "points",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column(
            "series", _ID, sa.ForeignKey("series.id", name="fk_points_series", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("count", sa.Double, nullable=False),
        sa.Column("minimum", sa.Double, nullable=False),
        sa.Column("maximum", sa.Double, nullable=False),
        sa.Column("unit", _TEXT, nullable=False),
    )
    op.create_index("ix_points_by_time", "points", ["series", "time"])
    op.create_table(
        "cursors",
        sa.Column("name", _TEXT, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
    )
