"""Run by alembic: the steps go through the connection, and into the transaction, of whoever opened the store."""

from __future__ import annotations

from alembic import context

from clary.control.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
