"""A launcher without processes: its hosts are objects of this one, and what their programs do is said in Python.

It stands for machines elsewhere: it outlives the gateways that use it, a host may be lost, and reports of an attempt
that another has taken the place of are refused. Used by tests of the life cycle, which take milliseconds on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clary.control.jobs.launch import MAX_RUNTIME_EXCEEDED, STOPPED, Exit, HostAttempt, Launch, OldAttempt
from clary.control.jobs.launchers.base import Exited, HostState, Launcher, Lost, NeverStarted, NotStarted, Running
from clary.control.logs.streams import LogWriter

Key = tuple[str, str, str]  # kind, job, host


@dataclass
class MemoryHost:
    """One attempt that was started. A test, or its program, tells it how to go on."""

    launch: Launch
    changed: Callable[[], None]
    state: HostState = field(default_factory=Running)
    stops: int = 0
    hears: bool = True  # a stop ends it with code 0; else it is killed when the grace is over

    def write(self, *lines: str) -> None:
        writer = LogWriter(self.launch.log)
        writer.write(*lines)
        writer.close()

    def read(self, name: str) -> str:
        return (self.launch.opt_ml / name).read_text()

    def put(self, name: str, text: str) -> None:
        path = self.launch.opt_ml / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def exit(self, code: int | None = 0, **members: Any) -> None:
        if isinstance(self.state, Running):
            now = time.time()
            self.state = Exited(Exit(self.launch.attempt, code, started=now, ended=now, **members))
            self.changed()

    def lose(self) -> None:
        """The machine goes away with all that ran there."""
        if isinstance(self.state, Running):
            self.state = Lost()
            self.changed()


Program = Callable[[MemoryHost], object]


class MemoryLauncher(Launcher):
    """``program`` is called with each host that is started; ``refuses`` makes starts fail, ``starts`` counts them."""

    def __init__(self, program: Program = lambda host: host.exit(0)) -> None:
        self.program = program
        self.refuses = False
        self.starts: list[HostAttempt] = []
        self.hosts: dict[Key, MemoryHost] = {}
        self._waiting: dict[Key, set[asyncio.Future[None]]] = {}

    async def open(self) -> None:
        """Nothing makes it faster."""

    async def close(self) -> None:
        """The hosts are kept for the next gateway."""

    def isolated(self) -> bool:
        return False

    async def start(self, launch: Launch) -> None:
        of = launch.subject
        if not isinstance(await self.probe(of), NeverStarted):
            return
        key = _key(of)
        if self.refuses or (key in self.hosts and isinstance(self.hosts[key].state, Running)):
            raise NotStarted("an attempt before it still runs, or the test says so", where=launch.folder)
        host = self.hosts[key] = MemoryHost(launch, lambda: self._wake(key))
        self.starts.append(of)
        limit = asyncio.get_running_loop().call_later(launch.max_run, lambda: host.exit(0, reason=MAX_RUNTIME_EXCEEDED))
        self.program(host)
        if not isinstance(host.state, Running):
            limit.cancel()

    async def probe(self, of: HostAttempt) -> HostState:
        host = self.hosts.get(_key(of))
        if host is None or of.attempt > host.launch.attempt:
            return NeverStarted()
        if of.attempt < host.launch.attempt:
            raise OldAttempt(f"attempt {of.attempt} was followed by attempt {host.launch.attempt}")
        return host.state

    async def ended(self, of: HostAttempt) -> HostState:
        while isinstance(state := await self.probe(of), Running):
            woken = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(_key(of), set()).add(woken)
            try:
                await woken
            finally:
                self._waiting[_key(of)].discard(woken)
        return state

    async def stop(self, of: HostAttempt) -> None:
        host = self._current(of)
        if host is None or not isinstance(host.state, Running):
            return
        host.stops += 1
        if host.hears:
            host.write("stopping")
            host.exit(0, reason=STOPPED)
        else:
            asyncio.get_running_loop().call_later(host.launch.grace, lambda: host.exit(None, signal=9, reason=STOPPED))

    async def kill(self, of: HostAttempt) -> None:
        if host := self._current(of):
            host.lose()

    def report(self, of: HostAttempt, exit: Exit) -> None:
        """What a monitor elsewhere would send. Raises OldAttempt."""
        host = self._current(of)
        if host is None:
            raise OldAttempt(f"attempt {of.attempt} is not the current one")
        if isinstance(host.state, Running):
            host.state = Exited(exit)
            host.changed()

    def _current(self, of: HostAttempt) -> MemoryHost | None:
        host = self.hosts.get(_key(of))
        return host if host is not None and host.launch.attempt == of.attempt else None

    def _wake(self, key: Key) -> None:
        for woken in self._waiting.get(key, ()):
            if not woken.done() and not woken.get_loop().is_closed():
                woken.set_result(None)


def _key(of: HostAttempt) -> Key:
    return of.kind, of.job, of.host


def launch_in(folder: Path, attempt: int = 1, **members: Any) -> Launch:
    """A launch of the job ``job`` in its folder, which is made."""
    (folder / "opt_ml").mkdir(parents=True, exist_ok=True)
    return Launch(**{"job": "job", "folder": folder, "log": folder / "log", "attempt": attempt, **members})
