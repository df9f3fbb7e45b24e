"""A job kind of another distribution, found by its entry point, in a real gateway that is killed and started again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.client import gateway
from clary.control import home as homes
from clary.control.settings import Settings
from clary.control.store.records import Store

TOYS = Path(__file__).parent / "jobs" / "toys.py"
SCRIPT = "touch mark; echo up >> ups; while [ ! -e go ]; do sleep 0.02; done"


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PYTHONPATH with a module and what an installer would write of it."""
    folder = tmp_path / "site"
    (folder / "toys-1.0.dist-info").mkdir(parents=True)
    (folder / "toys.py").write_text(TOYS.read_text())
    (folder / "toys-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (folder / "toys-1.0.dist-info" / "entry_points.txt").write_text("[clary.job_kinds]\ntoy-job = toys:TOYS\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


@pytest.mark.slow
def test_it_is_killed_and_goes_on(distribution: Path, tmp_path: Path):
    settings = Settings(home=tmp_path / "home")
    folder = settings.home / "toy-jobs" / "car"
    settings.home.mkdir()
    store = Store(settings.database)
    body = {"ToyName": "car", "Script": SCRIPT, "Hosts": 2, "ToyState": "InProgress", "_phase": "queued", "_attempt": 0}
    store.create("toy-job", "car", arn="arn:aws:sagemaker:us-east-1:000000000000:toy-job/car", body=body)
    store.edit("toy-job", "car", lambda record: (record.body, "InProgress"))

    def found() -> dict[str, Any]:
        record = store.get("toy-job", "car")
        assert record is not None
        return record.body

    def ups() -> list[int]:
        files = [folder / "opt_ml/ups", folder / "algo-2/opt_ml/ups"]
        return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]

    server = gateway.start(settings.home, ["--port", "0"])
    until(lambda: ups() == [1, 1] and found().get("_launched") == 1)
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not homes.held(settings.home))
    os.kill(int((folder / "algo-2/lock").read_text().split()[0]), signal.SIGKILL)
    gateway.start(settings.home, ["--port", "0"])
    try:
        until(lambda: ups() == [2, 2])
        for host in (folder, folder / "algo-2"):
            (host / "opt_ml/go").touch()
        until(lambda: found()["ToyState"] == "Played")
    finally:
        gateway.stop(settings.home)
    assert (found()["Marks"], found()["_attempt"]) == (2, 2)
    store.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
