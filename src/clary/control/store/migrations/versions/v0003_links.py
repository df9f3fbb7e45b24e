"""Links between records, and metrics found by what they are of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "links",
        sa.Column(
            "source", _TEXT, sa.ForeignKey("records.arn", name="fk_links_source", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column(
            "destination",
            _TEXT,
            sa.ForeignKey("records.arn", name="fk_links_destination", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("kind", _TEXT, primary_key=True),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("ix_links_by_destination", "links", ["destination", "kind", "source"])
    op.create_index("ix_series_by_dimensions", "series", ["namespace", "dimensions", "name"])
