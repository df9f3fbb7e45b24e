"""Records and their tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "records",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("arn", _TEXT, nullable=False),
        sa.Column("status", _TEXT, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("modified", sa.Double, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.UniqueConstraint("kind", "name", name="uq_records_name"),
        sa.UniqueConstraint("arn", name="uq_records_arn"),
    )
    for name, columns in {
        "ix_records_by_name": ["kind", "name", "status", "created", "modified"],
        "ix_records_by_created": ["kind", "created", "name", "status", "modified"],
        "ix_records_by_modified": ["kind", "modified", "name", "status", "created"],
        "ix_records_by_status": ["kind", "status", "created", "name", "modified"],
    }.items():
        op.create_index(name, "records", columns)
    op.create_table(
        "tags",
        sa.Column("arn", _TEXT, sa.ForeignKey("records.arn", name="fk_tags_arn", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", _TEXT, primary_key=True),
        sa.Column("value", _TEXT, nullable=False),
    )
