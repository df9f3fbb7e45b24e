"""Starting monitors: forked by the forkserver where it is ready, by a fresh interpreter everywhere else."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from clary.control.jobs import forkserver
from clary.control.jobs.launch import Launch
from clary.control.settings import Settings
from clary.vision.base.torch_environment import torch_environment

__all__ = ["LocalLauncher"]

WARM_SECONDS = 20.0  # for the forkserver to answer
COLD_SECONDS = 60.0
FORKSERVER_PAUSE = 60.0  # between two starts of a forkserver that dies


class LocalLauncher:
    """Owns the forkserver. To be used from one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._socket = settings.run_root / "forkserver.sock"
        self._warm = settings.warm
        self._forkserver: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Task[bytes] | None = None
        self._forkserver_started = -FORKSERVER_PAUSE

    async def open(self) -> None:
        """Start loading the training libraries in the background; returns at once."""
        if self._warm:
            await self._start_forkserver()

    async def close(self) -> None:
        """End the forkserver; what it forked lives on."""
        if self._ready is not None:
            self._ready.cancel()
        if self._forkserver is not None:
            await _end(self._forkserver)
        self._ready = self._forkserver = None

    async def start(self, launch: Launch) -> bool:
        """Start a monitor for ``launch``, which is written. True when the program was started, by it or before."""
        if launch.algorithm and self._warm and await self._forkserver_is_ready():
            answer = await asyncio.to_thread(forkserver.ask, self._socket, launch.folder, WARM_SECONDS)
            if answer is not None:
                return True
        return await asyncio.to_thread(self._start_cold, launch.folder)

    def _start_cold(self, folder: Path) -> bool:
        command = [sys.executable, "-P", "-m", "clary.control.jobs.job_monitor", str(folder)]
        with _log_file(folder / "monitor.log") as log:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self._home,
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
                return bool(await asyncio.shield(self._ready))
        return False

    async def _start_forkserver(self) -> None:
        """Not from a thread: asyncio starts the process from this one, with whose end the forkserver's input ends."""
        alive = self._forkserver is not None and self._forkserver.returncode is None
        if alive or time.monotonic() - self._forkserver_started < FORKSERVER_PAUSE:
            return
        self._forkserver_started = time.monotonic()
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        with _log_file(self._socket.with_suffix(".log")) as log:
            self._forkserver = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "clary.control.jobs.forkserver", str(self._socket)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **torch_environment()},
                cwd=self._home,
            )
        assert self._forkserver.stdout is not None
        self._ready = asyncio.create_task(self._forkserver.stdout.readline())  # nothing when it ends before


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _log_file(path: Path) -> BinaryIO:
    return path.open("ab")
