"""Temporary folders of processes that live, that ended, and that were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clary.vision.base.temporary_folder import temporary_folder

HOUR_AGO = time.time() - 3600


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_gone_when_it_is_removed(place: Path) -> None:
    folder = temporary_folder("clary-test-")
    (folder.path / "a").touch()
    folder.remove()
    assert list(place.iterdir()) == []


def test_those_of_killed_processes_go_with_the_next(place: Path) -> None:
    code = "import os, signal, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
    code += "from clary.vision.base.temporary_folder import temporary_folder\n"
    code += (
        "folder = temporary_folder('clary-test-'); (folder.path / 'a').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(place)], check=False)
    (left,) = place.iterdir()
    live = temporary_folder("clary-test-")
    assert left.exists()  # too young to be sure
    for path in (left, live.path):
        os.utime(path, (HOUR_AGO, HOUR_AGO))
    foreign = place / "clary-other-1"
    foreign.mkdir()
    os.utime(foreign, (HOUR_AGO, HOUR_AGO))
    another = temporary_folder("clary-test-")
    assert sorted(place.iterdir()) == sorted([live.path, another.path, foreign])
