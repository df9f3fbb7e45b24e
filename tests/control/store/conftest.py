"""Stores to test: SQLite always, PostgreSQL where its server is installed."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from clary.control.store.records import Store


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The folder of the socket of a fresh PostgreSQL server; skips where none is installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [*filter(None, [shutil.which("initdb")])]
    if not found:
        pytest.skip("PostgreSQL is not installed here")
    binaries = Path(found[-1]).parent
    folder = Path(tempfile.mkdtemp(prefix="clary-pg-"))  # the server's user cannot enter pytest's folders
    someone: list[str] = []
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "nobody")
        someone = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(*words: str) -> None:
        command = [*someone, str(binaries / words[0]), *words[1:], "-D", str(folder / "data")]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, done.stdout

    run("initdb", "-U", "clary", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
    try:
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        try:
            yield str(folder)
        finally:
            run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


_numbers = count()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/home/clary.db"
    import psycopg

    folder, name = request.getfixturevalue("postgresql"), f"test{next(_numbers)}"
    with psycopg.connect(host=folder, user="clary", dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://clary@/{name}?host={folder}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store of either kind."""
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def make() -> Callable[..., None]:
    """``make(store, "a", "b", kind="model", status="")``: records of these names, all bodies empty."""

    def make(store: Store, *names: str, kind: str = "model", status: str = "") -> None:
        for name in names:
            store.create(kind, name, arn=f"arn:{kind}/{name}", body={}, status=status)

    return make
