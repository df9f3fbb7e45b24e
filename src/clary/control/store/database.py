"""Opening a database: its settings, its version, and the way from an older version to this one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from clary.control.store import schema
from clary.control.store.errors import StoreError
from clary.errors import MissingPackageError, UsageError
from clary.vision.base.files import PRIVATE, disk_is_full, private_folder

__all__ = ["open_database", "refusals"]

BUSY_TIMEOUT = 10_000  # milliseconds to wait for another process's write
_CREATION_LOCK = 4_747_001  # any number: two gateways that open a fresh PostgreSQL at once


def open_database(text: str) -> Engine:
    """The database at URL ``text`` (``sqlite:///path`` or ``postgresql://...``), brought to this version.

    Raises UsageError for an address that cannot be used and for a store of a newer Clary, MissingPackageError where
    PostgreSQL's driver is not installed.
    """
    url = _address(text)
    shown = url.render_as_string(hide_password=True)
    try:
        engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
        try:
            # Without this an error on the way would leave the pool's connections, and with SQLite the file, open.
            _bring_up(engine, shown)
        except BaseException:
            engine.dispose()
            raise
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"the package {error.name} is not installed", where=shown, hint="pip install 'clary[postgres]'"
        ) from error
    except DBAPIError as error:
        hint = "give another address with --store"
        # SQLite says "disk I/O error" where the file of its own memory cannot grow.
        if url.get_backend_name() == "sqlite" and url.database and disk_is_full(Path(url.database).parent):
            hint = "the disk is full: free some space and start it again"
        raise UsageError(f"the store cannot be opened ({error.orig})", where=shown, hint=hint) from error
    return engine


@contextmanager
def refusals() -> Iterator[None]:
    """What the database raises inside becomes StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"the store refused: {getattr(error, 'orig', None) or error}") from error
    except UnicodeEncodeError as error:
        raise StoreError(f"the store takes no such text: {error.reason}") from error


def _address(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise _unusable(text) from error
    if url.drivername in ("postgres", "postgresql"):
        # SQLAlchemy would take psycopg2 for it; psycopg 3 comes with wheels for every Python here.
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise _unusable(url.drivername)
    # Each connection of the pool would have its own.
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise UsageError("a store in memory would be lost", where="--store", hint="write sqlite:////path/to/clary.db")
    return url


def _unusable(what: str) -> UsageError:
    scheme = what.partition(":")[0]  # the rest may hold a password
    return UsageError(f"`{scheme}` is no store", where="--store", hint="write sqlite:////path or postgresql://...")


def _sqlite(url: URL) -> Engine:
    try:
        private_folder(Path(str(url.database)).parent)
    except OSError as error:
        raise UsageError(f"the folder cannot be made ({error})", where=url.database or "") from error
    # SQLite would make it by the umask; its log (-wal, -shm) gets the rights of the database.
    with suppress(OSError):  # it is there, or SQLite says what is wrong
        os.close(os.open(str(url.database), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    # No upper end: to SQLite a connection is an open file, and a full pool would make threads wait for each other.
    engine = create_engine(url, pool_size=8, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _: Any) -> None:
        # Settings of a connection, not of the file: the pool makes new ones, so each is told. WAL: readers never wait
        # for a writer. NORMAL with WAL loses nothing when a process dies; the machine's power may take the last
        # transactions, never the file.
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -16384")  # KiB

    return engine


def _postgresql(url: URL) -> Engine:
    # pre_ping: a server that was restarted has closed the connections in the pool.
    return create_engine(url, pool_size=8, max_overflow=16, pool_pre_ping=True)


def _bring_up(engine: Engine, shown: str) -> None:
    with engine.connect() as connection:
        if _version(connection, shown) == schema.HEAD:
            return
    with engine.connect() as connection:
        _lock(connection)
        found = _version(connection, shown)
        if not found:
            schema.metadata.create_all(connection)
            connection.execute(insert(schema.version).values(version_num=schema.HEAD))
        elif found != schema.HEAD:
            _migrate(connection)
        connection.commit()


def _version(connection: Connection, shown: str) -> str:
    """The version of the store behind ``connection``; empty for one without tables. Raises UsageError for a newer."""
    if not inspect(connection).has_table(schema.version.name):
        return ""
    found = str(connection.execute(select(schema.version.c.version_num)).scalar() or "")
    # Never touched: an older program does not know what the newer one promised about its rows.
    if found > schema.HEAD:
        raise UsageError(
            f"the store is of version {found}, written by a newer Clary; this one knows versions up to {schema.HEAD}",
            where=shown,
            hint="install the newer Clary again, or give another --home",
        )
    return found


def _lock(connection: Connection) -> None:
    """Until the end of the transaction nobody else creates or migrates; all of it happens or nothing."""
    if connection.dialect.name == "sqlite":
        # Python's driver would begin a transaction only before the first write, after the version was read.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATION_LOCK})")


def _migrate(connection: Connection) -> None:
    from alembic import command  # only here: a store of this version is opened without alembic
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    command.upgrade(config, schema.HEAD)
