"""The local launcher holds what every launcher must, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.launch import Command, Exit, HostAttempt, Launch, OldAttempt
from clary.control.jobs.launchers.base import Launcher, Lost, Running
from clary.control.jobs.launchers.local import lock, orphans
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.control.settings import Settings

from .contract import Driver, LauncherContract
from .memory import launch_in

SCRIPTS = {
    # `wait` leaves a process in a session of its own behind when its monitor is killed
    "wait": "trap 'exit 0' TERM; setsid sleep 1000 & echo up; while :; do sleep 0.02; done",
    "deaf": "trap '' TERM; echo up; while :; do sleep 0.02; done",
}


class LocalDriver(Driver):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.jobs_root / "job"
        self.launcher: LocalLauncher = LocalLauncher(settings)

    def launch(self, what: str, attempt: int = 1, **members: Any) -> Launch:
        program = Command(("sh", "-c", SCRIPTS.get(what, what)))
        environment = {"PATH": os.environ["PATH"]}
        return launch_in(
            self._folder, attempt, program=program, environment=environment, log=self._log(attempt), **members
        )

    def again(self) -> Launcher:
        return LocalLauncher(self._settings)

    async def up(self) -> None:
        newest = Launch.read(self._folder).attempt
        while not self._log(newest).exists() or "up" not in self._log(newest).read_text():
            await asyncio.sleep(0.01)

    async def lose(self, of: HostAttempt) -> None:
        os.kill(lock.holder(self._folder), signal.SIGKILL)
        while lock.is_held(self._folder):
            await asyncio.sleep(0.01)

    def report(self, of: HostAttempt, exit: Exit) -> None:
        exit.write(self._folder)

    def alive(self) -> int:
        mark = f"{orphans.MARK}={self._folder}".encode()
        found = 0
        for process in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                found += mark in Path(f"/proc/{process}/environ").read_bytes() and not _is_nap(process)
        return found

    def _log(self, attempt: int) -> Path:
        return self._folder / f"log-{attempt}"


def _is_nap(process: str) -> bool:
    """The short sleeps of a script that waits come and go."""
    return b"0.02" in Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.fixture
def local(settings: Settings) -> Iterator[LocalDriver]:
    settings.home.mkdir(parents=True)
    driver = LocalDriver(replace(settings, warm=False))
    yield driver
    folder = settings.jobs_root / "job"
    if lock.is_held(folder):
        os.kill(lock.holder(folder), signal.SIGKILL)
    if folder.exists():
        orphans.kill_orphans(folder, lock.holder(folder), lock.last_started(folder))


class TestLocalLauncher(LauncherContract):
    @pytest.fixture
    def driver(self, local: LocalDriver) -> Driver:
        return local


def test_a_lock_of_a_home_made_before_attempts_were_noted(local: LocalDriver):
    """Two words: process and boot. That something was begun is told by the line, which attempt by launch.json."""
    launch = local.launch("wait")

    async def act() -> None:
        await local.launcher.start(launch)
        await local.up()
        path = launch.folder / "lock"
        path.write_text(" ".join(path.read_text().split()[:2]) + "\n")
        assert await local.launcher.probe(launch.subject) == Running()
        await local.lose(launch.subject)
        assert await local.launcher.probe(launch.subject) == Lost()

    asyncio.run(act())


def test_an_exit_of_an_old_attempt_does_not_replace_a_newer_one(tmp_path: Path):
    Exit(2, 0).write(tmp_path)
    with pytest.raises(OldAttempt):
        Exit(1, 3).write(tmp_path)
    assert Exit.read(tmp_path, 2) == Exit(2, 0)
