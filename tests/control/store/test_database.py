"""Opening: fresh, of today, older, newer, and what is no store."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from clary.control.store import database, schema
from clary.control.store.records import Point, Store
from clary.errors import UsageError

MIGRATIONS = Path(schema.__file__).with_name("migrations")


@contextlib.contextmanager
def _engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


def _migrate(url: str, revision: str) -> None:
    """Make a store as a Clary of that version left it."""
    with _engine(url) as engine, engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, revision)


def _version(url: str) -> str:
    with _engine(url) as engine, engine.connect() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def _schema(url: str) -> dict[str, Any]:
    with _engine(url) as engine:
        look = inspect(engine)
        return {
            table: {
                "columns": [{**column, "type": str(column["type"])} for column in look.get_columns(table)],
                "key": look.get_pk_constraint(table)["constrained_columns"],
                "foreign": look.get_foreign_keys(table),
                "indexes": sorted(look.get_indexes(table), key=lambda one: str(one["name"])),
                "unique": sorted(look.get_unique_constraints(table), key=lambda one: str(one["name"])),
            }
            for table in sorted(look.get_table_names())
        }


def _folder(url: str) -> None:
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


class TestVersions:
    def test_the_head_is_the_newest_migration(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD

    def test_a_fresh_store_is_what_migrations_lead_to(self, url: str) -> None:
        _folder(url)
        _migrate(url, "head")
        migrated = _schema(url)
        with _engine(url) as engine, engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
        with _engine(url) as engine:
            schema.metadata.drop_all(engine)
        Store(url).close()
        assert _schema(url) == migrated
        assert _version(url) == schema.HEAD

    def test_an_older_store_is_migrated_with_what_it_holds(self, url: str) -> None:
        _folder(url)
        _migrate(url, "0001")
        with _engine(url) as engine, engine.begin() as connection:
            row = "1, 'model', 'a', 'arn:a', 'InService', 5.5, 6.5, 3, '{\"x\":1}'"
            connection.exec_driver_sql(f"INSERT INTO records VALUES ({row})")
            connection.execute(text("INSERT INTO tags VALUES ('arn:a', 'k', 'v')"))
        store = Store(url)
        record = store.by_arn("arn:a")
        assert record is not None
        assert (record.body, record.created, record.version) == ({"x": 1}, 5.5, 3)
        assert store.tags("arn:a") == {"k": "v"}
        assert store.add_points([Point("n", "m", {}, 1, 1)], ("c", 1))
        store.close()
        assert _version(url) == schema.HEAD
        Store(url).close()

    def test_a_newer_store_is_refused_and_left_as_it_is(self, url: str) -> None:
        Store(url).close()
        with _engine(url) as engine, engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(UsageError, match="version 9999, written by a newer Clary") as caught:
            Store(url)
        assert "install the newer Clary" in str(caught.value)
        assert _version(url) == "9999"

    def test_a_migration_that_fails_leaves_the_older_store(self, url: str) -> None:
        _folder(url)
        _migrate(url, "0001")
        with _engine(url) as engine, engine.begin() as connection:
            connection.execute(text("CREATE TABLE cursors (name TEXT)"))  # the last table of the next step
        with pytest.raises(UsageError, match="cursors"):
            Store(url)
        assert _version(url) == "0001"
        assert "series" not in _schema(url)

    def test_many_may_open_a_fresh_store_at_once(self, url: str) -> None:
        code = "import sys; from clary.control.store.records import Store; Store(sys.argv[1]).close()"
        openers = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
        assert [opener.wait(30) for opener in openers] == [0, 0, 0]
        assert _version(url) == schema.HEAD

    def test_neither_a_fresh_store_nor_one_of_today_needs_alembic(self, tmp_path: Path) -> None:
        code = (
            "import sys; from clary.control.store.records import Store\n"
            "for _ in range(2): Store(sys.argv[1]).close()\n"
            "assert not {'alembic', 'mako', 'psycopg', 'torch', 'cv2', 'PIL'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code, f"sqlite:///{tmp_path}/clary.db"], check=True, timeout=30)

    def test_a_fresh_store_opens_quickly(self, tmp_path: Path) -> None:
        times = []
        for number in range(5):
            start = time.perf_counter()
            Store(f"sqlite:///{tmp_path}/{number}/clary.db").close()
            times.append(time.perf_counter() - start)
        assert min(times) < 0.15


class TestAddresses:
    def test_the_folder_is_made(self, tmp_path: Path) -> None:
        Store(f"sqlite:///{tmp_path}/new/100%/clary.db").close()
        assert (tmp_path / "new" / "100%" / "clary.db").is_file()

    def test_an_older_store_in_a_folder_with_a_percent_sign(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/100%/clary.db"
        _folder(url)
        _migrate(url, "0001")
        Store(url).close()
        assert _version(url) == schema.HEAD

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "clary.db",
            "mysql://u:secret@h/d",
            "nonsense://secret",
            "postgresql+psycopg2://u:secret@h/d",
            "sqlite://",
        ],
    )
    def test_what_is_no_store(self, url: str) -> None:
        with pytest.raises(UsageError, match="sqlite:////path") as caught:
            Store(url)
        assert "secret" not in str(caught.value)

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "clary.db").write_text("I am a diary.\n" * 100)
        with pytest.raises(UsageError, match="file is not a database"):
            Store(f"sqlite:///{tmp_path}/clary.db")

    def test_a_disk_without_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Found by `make storm`: SQLite calls it an I/O error there, and another address was advised."""
        (tmp_path / "clary.db").write_text("I am a diary.\n" * 100)
        monkeypatch.setattr(database, "disk_is_full", lambda folder: folder == tmp_path)
        with pytest.raises(UsageError, match=r"cannot be opened .*; the disk is full: free some space"):
            Store(f"sqlite:///{tmp_path}/clary.db")

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(UsageError, match="the folder cannot be made"):
            Store(f"sqlite:///{tmp_path}/file/clary.db")

    def test_a_server_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="the store cannot be opened") as caught:
            Store(f"postgresql://me:secret@/clary?host={tmp_path}")
        assert "secret" not in str(caught.value)

    def test_a_server_by_its_short_name(self, postgresql: str) -> None:
        for scheme in ("postgresql", "postgres"):
            store = Store(f"{scheme}://clary@/postgres?host={postgresql}")
            assert store.get("model", "a") is None
            store.close()


def test_sqlite_is_set_for_speed_and_safety(tmp_path: Path) -> None:
    """Write-ahead log on; a reader in another process never waits for the writer."""
    store = Store(f"sqlite:///{tmp_path}/clary.db")
    store.create("model", "a", arn="arn:a", body={})
    other = sqlite3.connect(tmp_path / "clary.db")
    try:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        other.execute("BEGIN IMMEDIATE")
        assert store.get("model", "a") is not None
        other.rollback()
    finally:
        other.close()
        store.close()


def test_a_write_waits_for_its_turn(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/clary.db")
    code = (
        "import sqlite3, sys; other = sqlite3.connect(sys.argv[1]); other.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True); sys.stdin.readline(); other.rollback(); other.close()"
    )
    path = str(tmp_path / "clary.db")
    holder = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        _release_when_waiting(holder.stdin.fileno(), lambda: store.create("model", "a", arn="arn:a", body={}))
    assert holder.wait(10) == 0
    assert store.get("model", "a") is not None
    store.close()


def _release_when_waiting(descriptor: int, write: Callable[[], object]) -> None:
    from threading import Timer

    timer = Timer(0.3, os.write, (descriptor, b"\n"))
    timer.start()
    begin = time.monotonic()
    write()
    assert time.monotonic() - begin >= 0.2
    timer.join()
