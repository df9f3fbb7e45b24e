"""The home folder: one gateway at a time, and a note where it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat

import pytest

from clary.client import gateway
from clary.control import home
from clary.errors import UsageError


@pytest.fixture
def no_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_second_gateway_is_refused_and_told_who_has_the_home(tmp_path):
    with (
        home.hold(tmp_path),
        pytest.raises(UsageError, match=f"process {os.getpid()}.*clary down"),
        home.hold(tmp_path),
    ):
        pass


def test_the_home_is_free_again_after_the_first(tmp_path):
    for _ in range(2):
        with home.hold(tmp_path):
            assert home.held(tmp_path)
    assert not home.held(tmp_path)


def _hold_and_die(folder, ready):
    with home.hold(folder):
        home.write_server(folder, "http://127.0.0.1:1", "us-east-1", "0")
        ready.set()
        os.kill(os.getpid(), 9)


def test_a_killed_gateway_leaves_the_home_free(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_hold_and_die, args=(tmp_path, ready))
    child.start()
    child.join()
    assert ready.is_set()
    assert home.read_server(tmp_path) is None  # though its note is still there
    with home.hold(tmp_path):
        pass


def test_the_note_tells_address_and_process(tmp_path):
    with home.hold(tmp_path):
        home.write_server(tmp_path, "http://127.0.0.1:4747", "eu-west-1", "1.2")
        server = home.read_server(tmp_path)
        assert server is not None
        assert (server.url, server.pid, server.region) == ("http://127.0.0.1:4747", os.getpid(), "eu-west-1")
    assert home.read_server(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"url": 1}', "{"])
def test_a_damaged_note_is_no_gateway(tmp_path, text):
    (tmp_path / "server.json").write_text(text)
    assert home.read_server(tmp_path) is None


def test_a_home_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="choose another"), home.hold(tmp_path / "file"):
        pass


def test_credentials_are_made_once_and_private(tmp_path):
    first = home.credentials(tmp_path)
    assert home.credentials(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    ((key, secret),) = first.items()
    assert key.startswith("CLARY")
    assert len(secret) >= 32


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"access_key_id": "x"})])
def test_damaged_credentials_are_named(tmp_path, text):
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(UsageError, match=r"credentials\.json"):
        home.credentials(tmp_path)


@pytest.mark.usefixtures("no_umask")
def test_the_secret_is_nobody_elses_from_the_first_instant(tmp_path, monkeypatch):
    seen = []

    def watched(descriptor, *, _sync=os.fsync):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        _sync(descriptor)

    def renamed(source, target, *, _replace=os.replace):
        seen.append(stat.S_IMODE(os.stat(source).st_mode))
        _replace(source, target)
        seen.append(stat.S_IMODE(os.stat(target).st_mode))

    folder = tmp_path / "home"
    folder.mkdir(0o700)
    monkeypatch.setattr(os, "fsync", watched)
    monkeypatch.setattr(os, "replace", renamed)
    home.credentials(folder)
    assert seen == [0o600, 0o600, 0o600, 0o700]  # the last is the folder's


@pytest.mark.usefixtures("no_umask")
def test_a_home_of_before_is_closed_and_all_in_it_stays(tmp_path):
    folder = tmp_path / "home"
    for name in ("run", "jobs/old", "logs/group", "s3/bucket", "own"):
        (folder / name).mkdir(parents=True)
    for name in ("lock", "clary.db", "clary.db-wal", "s3/bucket/key", "logs/group/a.log", "jobs/old/launch.json"):
        (folder / name).write_text(name)
    (folder / "own").chmod(0o2755)
    with home.hold(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in home.FOLDERS:
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o700, name
        for name in ("lock", "clary.db", "clary.db-wal"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
        # What is not ours is not touched.
        assert stat.S_IMODE((folder / "own").stat().st_mode) == 0o2755
    for name in ("clary.db", "s3/bucket/key", "logs/group/a.log", "jobs/old/launch.json"):
        assert (folder / name).read_text() == name


@pytest.mark.usefixtures("no_umask")
def test_a_folder_for_other_things_keeps_its_rights(tmp_path):
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir(0o755)
    folder = tmp_path / "shared"
    folder.mkdir(0o1777)
    (folder / "s3").symlink_to(elsewhere)
    (folder / "lock").touch()
    with home.hold(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
        assert stat.S_IMODE((folder / "jobs").stat().st_mode) == 0o700
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


@pytest.mark.slow
@pytest.mark.usefixtures("no_umask")
def test_nothing_a_gateway_makes_is_for_others(tmp_path, open_to_others):
    """Its files, its database and the database's log; with a umask that takes nothing away."""
    folder = tmp_path / "home"
    server = gateway.start(folder, ["--port", "0", "--require-signatures"])
    try:
        assert gateway.health(server)
        made = {path.name for path in folder.rglob("*")}
        assert {"clary.db", "clary.db-wal", "clary.db-shm", "credentials.json", "gateway.log", "server.json"} <= made
        assert open_to_others(folder) == []
    finally:
        gateway.stop(folder)


def test_the_holder_of_a_home_is_who_holds_its_lock(tmp_path):
    """`clary down` signals that process, whatever number the file says."""
    with home.hold(tmp_path):
        (tmp_path / "lock").write_text("1")
        assert gateway._holder(tmp_path) == os.getpid()
    assert gateway._holder(tmp_path) == 0
