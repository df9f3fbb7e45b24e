"""Jobs with real processes: monitors, shell scripts, pipes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from clary.control.jobs import programs
from clary.control.jobs.launchers.base import Launcher
from clary.control.jobs.launchers.local import lock, orphans
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.control.jobs.programs import Command

from ...world import World

OK = "echo loss=0.5; echo loss=0.25; cat input/data/train/a.txt; echo made > model/made; echo more > output/data/more"


class LocalWorld(World):
    """``program`` is the shell script that every job runs; each gateway has a launcher of its own."""

    program = OK

    def next_launcher(self) -> Launcher:
        self.launcher = LocalLauncher(self.settings)
        launcher: Launcher = self.launcher
        return launcher

    def job_monitor(self, name: str) -> int:
        return lock.holder(self.folder(name))

    def close(self) -> None:
        for folder in self.settings.jobs_root.glob("*"):
            process = lock.holder(folder)
            if process and lock.is_held(folder):
                os.kill(process, signal.SIGKILL)
                while lock.is_held(folder):
                    time.sleep(0.01)
                orphans.kill_orphans(folder, process)
        self.store.close()


@pytest.fixture
def world(settings, objects, upload, make_body, monkeypatch):
    """A ``World`` whose image is a shell script."""
    upload({"train/a.txt": b"data\n"})
    found = LocalWorld(settings, objects, make_body, LocalLauncher(settings))
    monkeypatch.setattr(programs, "resolve", lambda specification: Command(("sh", "-c", found.program)))
    yield found
    found.close()
