"""The lock's line, whole and damaged."""

from __future__ import annotations

import os

import pytest

from clary.control.jobs.launchers.local import lock


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
