"""The launcher in memory holds what every launcher must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.launch import Exit, HostAttempt, Launch
from clary.control.jobs.launchers.base import Launcher, Running

from .contract import Driver, LauncherContract
from .memory import MemoryHost, MemoryLauncher, launch_in


class MemoryDriver(Driver):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._whats: dict[int, str] = {}
        self.launcher: MemoryLauncher = MemoryLauncher(self._program)

    def launch(self, what: str, attempt: int = 1, **members: Any) -> Launch:
        self._whats[attempt] = what
        return launch_in(self._folder, attempt, **members)

    def again(self) -> Launcher:
        return self.launcher

    async def lose(self, of: HostAttempt) -> None:
        self._host(of).lose()

    def report(self, of: HostAttempt, exit: Exit) -> None:
        self.launcher.report(of, exit)

    def alive(self) -> int:
        return sum(isinstance(host.state, Running) for host in self.launcher.hosts.values())

    async def up(self) -> None:
        """It is, when its start returns."""

    def _host(self, of: HostAttempt) -> MemoryHost:
        return self.launcher.hosts[of.kind, of.job, of.host]

    def _program(self, host: MemoryHost) -> None:
        what, _, code = self._whats[host.launch.attempt].partition(" ")
        host.hears = what != "deaf"
        if what == "exit":
            host.exit(int(code))


class TestMemoryLauncher(LauncherContract):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> Driver:
        return MemoryDriver(tmp_path)
