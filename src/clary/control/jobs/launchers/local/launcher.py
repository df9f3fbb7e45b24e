"""Hosts as processes of this machine, each under a monitor of its own that outlives the gateway.

Monitors are forked by the forkserver where it is ready, by a fresh interpreter everywhere else. How a host stands is
told by its folder: the monitor's lock and exit.json, never by what this process remembers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from clary.control.jobs import folders
from clary.control.jobs.launch import Algorithm, Exit, HostAttempt, Launch, OldAttempt, Script
from clary.control.jobs.launchers.base import Exited, HostState, Launcher, Lost, NeverStarted, NotStarted, Running
from clary.control.jobs.launchers.local import forkserver, lock, namespace, orphans
from clary.control.settings import Settings
from clary.errors import UsageError
from clary.vision.base import processes
from clary.vision.base.files import PRIVATE, private_folder
from clary.vision.base.torch_environment import torch_environment

__all__ = ["LocalLauncher"]

WARM_SECONDS = 20.0  # for the forkserver to answer
COLD_SECONDS = 60.0
FORKSERVER_PAUSE = 60.0  # between two starts of a forkserver that dies
LOOK_AGAIN = 5.0  # seconds: the kernel tells of a monitor's end; this is for systems whose kernel does not
NO_HOLDER_YET = 0.05  # seconds from a monitor's lock to its line in it, at the most


class LocalLauncher(Launcher):
    """Owns the forkserver. To be used from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket = settings.run_root / "forkserver.sock"
        self._forkserver: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Task[bytes] | None = None
        self._forkserver_started = -FORKSERVER_PAUSE

    async def open(self) -> None:
        """Start loading the training libraries in the background; returns at once."""
        if self._settings.warm:
            await self._start_forkserver()

    async def close(self) -> None:
        """End the forkserver; what it forked lives on."""
        if self._ready is not None:
            self._ready.cancel()
        if self._forkserver is not None:
            await _end(self._forkserver)
        self._ready = self._forkserver = None

    def isolated(self) -> bool:
        return namespace.available()

    async def start(self, launch: Launch) -> None:
        state = _state(launch.folder, launch.attempt)
        if not isinstance(state, NeverStarted):
            return
        if lock.is_held(launch.folder):
            raise NotStarted(f"an attempt before number {launch.attempt} still runs", where=launch.folder)
        # The monitor runs what launch.json says, and from here on this is the newest attempt. The life cycle wrote the
        # first already; a second write, which waits for the disk, would stand between the call and the start.
        if _written(launch.folder) != launch:
            launch.write()
        if isinstance(launch.program, Algorithm | Script) and self._settings.warm and await self._forkserver_is_ready():
            answer = await asyncio.to_thread(forkserver.ask, self._socket, launch.folder, WARM_SECONDS)
            if answer is not None:
                return
        if not await asyncio.to_thread(self._start_cold, launch.folder):
            raise NotStarted("the monitor did not start", where=launch.folder, hint="see its monitor.log")

    async def probe(self, attempt: HostAttempt) -> HostState:
        return _state(self._folder(attempt), attempt.attempt)

    async def ended(self, attempt: HostAttempt) -> HostState:
        folder = self._folder(attempt)
        while isinstance(state := _state(folder, attempt.attempt), Running):
            await _end_of_holder(folder)
        return state

    async def stop(self, attempt: HostAttempt) -> None:
        with suppress(OldAttempt):
            while isinstance(await self.probe(attempt), Running) and not self._signal(attempt, signal.SIGTERM):
                await asyncio.sleep(NO_HOLDER_YET)

    async def kill(self, attempt: HostAttempt) -> None:
        folder = self._folder(attempt)
        with suppress(OldAttempt):
            while isinstance(await self.probe(attempt), Running):
                self._signal(attempt, signal.SIGKILL)
                await _end_of_holder(folder)
            await asyncio.to_thread(orphans.kill_orphans, folder, lock.holder(folder), lock.last_started(folder))

    def _signal(self, attempt: HostAttempt, number: signal.Signals) -> bool:
        """Send a signal to the attempt's monitor. False when it is not known which process that is (yet)."""
        folder = self._folder(attempt)
        process, begun = lock.monitor(folder), lock.begun(folder)
        if not process or begun not in (attempt.attempt, None):
            return False
        # Asked again once the process is held fast: the kernel may give its number to somebody else's at any time.
        return processes.send(process, number, lambda: lock.monitor(folder) == process)

    def _folder(self, attempt: HostAttempt) -> Path:
        return folders.host_folder(folders.job_folder(self._settings, attempt.kind, attempt.job), attempt.host)

    def _start_cold(self, folder: Path) -> bool:
        # -P: what lies in the home is not imported.
        command = [sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.job_monitor", str(folder)]
        with _log_file(folder / "monitor.log") as log:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self._settings.home,
                    timeout=COLD_SECONDS,
                )
            except subprocess.TimeoutExpired:
                return False
        return done.stdout.endswith(b"\n")

    async def _forkserver_is_ready(self) -> bool:
        """Waits while it loads the libraries: a cold start would load the same and has not begun yet."""
        await self._start_forkserver()  # should it have died
        if self._ready is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(WARM_SECONDS):
                # All starts wait for this one line, and one that gives up must not cancel it.
                return bool(await asyncio.shield(self._ready))
        return False

    async def _start_forkserver(self) -> None:
        """Not from a thread: asyncio starts the process from this one, with whose end the forkserver's input ends."""
        alive = self._forkserver is not None and self._forkserver.returncode is None
        if alive or time.monotonic() - self._forkserver_started < FORKSERVER_PAUSE:
            return
        self._forkserver_started = time.monotonic()
        private_folder(self._socket.parent)
        self._socket.unlink(missing_ok=True)
        with _log_file(self._socket.with_suffix(".log")) as log:
            self._forkserver = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.forkserver", str(self._socket)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **torch_environment()},
                cwd=self._settings.home,
            )
        assert self._forkserver.stdout is not None
        self._ready = asyncio.create_task(self._forkserver.stdout.readline())  # nothing when it ends before


def _state(folder: Path, attempt: int) -> HostState:
    """How an attempt of the host in ``folder`` stands. Raises OldAttempt."""
    # launch.json is written before its monitor is started and by nobody while one lives: a held lock is its attempt's,
    # also in the moment before the monitor has written its line.
    newest = _launched(folder) or attempt
    if attempt < newest:
        raise OldAttempt(f"attempt {attempt} was followed by attempt {newest}", where=folder)
    if lock.is_held(folder):
        return Running() if attempt == newest else NeverStarted()
    if (exit := Exit.read(folder, attempt)) is not None:
        return Exited(exit)
    begun = lock.begun(folder)
    # The line says which attempt had the lock last: a later one was written down and its monitor never came up.
    return Lost() if (newest if begun is None else begun) == attempt else NeverStarted()


def _launched(folder: Path) -> int:
    """The newest attempt that is or was to be started; 0 where nothing says."""
    found = _written(folder)
    return found.attempt if found else 0


def _written(folder: Path) -> Launch | None:
    try:
        return Launch.read(folder)
    except UsageError:
        return None


async def _end_of_holder(folder: Path) -> None:
    """Return when the monitor that holds the lock has ended; now and then also when it has not."""
    process = lock.monitor(folder)
    if not hasattr(os, "pidfd_open"):
        await asyncio.sleep(LOOK_AGAIN)
        return
    try:
        # The monitor is nobody's child by now, so there is no SIGCHLD and nothing to wait for (pidfd_open(2)).
        descriptor = os.pidfd_open(process)
    except OSError:  # gone, or nobody knows which it is
        await asyncio.sleep(NO_HOLDER_YET)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AGAIN):  # the number may have been another's, the holder's line a late one
                await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        # At once: it has nothing to save, and its children are in sessions of their own.
        process.kill()
        await process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _log_file(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE), "ab")
