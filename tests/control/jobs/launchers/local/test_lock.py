"""The lock's line, whole and damaged."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from clary.control.jobs.launchers.local import lock, orphans
from clary.vision.base import file_lock, processes

BOOT = lock._boot()


def test_the_line_says_who_and_for_which_attempt(tmp_path):
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    lock.note_holder(descriptor, 3)
    os.close(descriptor)
    assert (lock.holder(tmp_path), lock.begun(tmp_path)) == (os.getpid(), 3)


def test_no_lock_is_no_holder(tmp_path):
    assert (lock.holder(tmp_path), lock.begun(tmp_path)) == (0, 0)


@pytest.mark.parametrize("damaged", [b"x y garbage zz", b"\xff\xfe \x80 \x81", b"12", b"- - -"])
def test_a_damaged_line_says_nothing(tmp_path, damaged):
    (tmp_path / "lock").write_bytes(damaged)
    assert (lock.holder(tmp_path), lock.begun(tmp_path)) == (0, None)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any job."""
    found = subprocess.Popen(["sleep", "60"], start_new_session=True)
    yield found
    found.kill()
    found.wait()


def test_the_monitor_is_who_holds_the_lock_whatever_the_line_says(tmp_path, stranger):
    assert lock.monitor(tmp_path) == 0
    descriptor = lock.open_lock(tmp_path)
    for text in (f"{stranger.pid} {BOOT} 1 5", f"{os.getpid()} {BOOT} 1", "garbage", ""):
        (tmp_path / "lock").write_text(text)
        assert lock.monitor(tmp_path) == 0
        assert file_lock.take(descriptor)
        assert lock.monitor(tmp_path) == os.getpid()
        assert lock.is_held(tmp_path)
        os.close(descriptor)
        descriptor = lock.open_lock(tmp_path)
    os.close(descriptor)


def test_where_the_kernel_does_not_tell_the_process_must_have_begun_when_the_line_says(tmp_path, monkeypatch, stranger):
    monkeypatch.setattr(lock, "writer", lambda path: None)
    descriptor = lock.open_lock(tmp_path)
    assert file_lock.take(descriptor)
    lock.note_holder(descriptor, 1)
    assert lock.monitor(tmp_path) == os.getpid()
    begun = processes.find(stranger.pid)
    assert begun is not None
    (tmp_path / "lock").write_text(f"{stranger.pid} {BOOT} 1 {begun.started - 1}\n")
    assert lock.monitor(tmp_path) == 0
    (tmp_path / "lock").write_text(f"{stranger.pid} another-boot 1 {begun.started}\n")
    assert lock.monitor(tmp_path) == 0
    os.close(descriptor)


def test_to_ask_is_not_to_hold(tmp_path):
    asking = lock.open_lock(tmp_path)
    assert file_lock.is_free(asking)
    other = lock.open_lock(tmp_path)
    assert file_lock.take(other)
    assert not file_lock.is_free(asking)
    os.close(asking)
    os.close(other)


@pytest.mark.parametrize("started", ["", " 0", " 99999999999"])
def test_children_of_a_session_that_is_not_a_monitors_live_on(tmp_path, started):
    """The line names a session's leader that is dead, and whose children live: the number was given out again."""
    leader = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!"], start_new_session=True, stdout=subprocess.PIPE)
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    leader.wait()
    leader.stdout.close()
    try:
        assert processes.find(leader.pid) is None
        found = processes.find(child)
        assert found is not None
        assert found.session == leader.pid
        (tmp_path / "lock").write_text(f"{leader.pid} {BOOT} 1{started}\n")
        assert orphans.kill_orphans(tmp_path, lock.holder(tmp_path), lock.last_started(tmp_path)) == 0
        alive = processes.find(child)
        assert alive is not None
        assert alive.state not in "ZX"
    finally:
        os.kill(child, 9)


def test_a_living_process_that_the_line_names_is_let_be(tmp_path, stranger):
    (tmp_path / "lock").write_text(f"{stranger.pid} {BOOT} 1\n")
    assert orphans.kill_orphans(tmp_path, lock.holder(tmp_path), None) == 0
    assert stranger.poll() is None
