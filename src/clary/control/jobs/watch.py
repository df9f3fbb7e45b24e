"""Waiting for the end of a process that is nobody's child here: a monitor."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from clary.control.jobs import job_monitor, orphans

__all__ = ["Watch"]


class Watch:
    """Of one job's monitor. ``changed`` is set when it ended, and by whoever wants ``wait`` to return."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self.changed = asyncio.Event()

    def __enter__(self) -> Watch:
        self._open()
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    async def wait(self, seconds: float) -> bool:
        """Whether the monitor lives on, at the latest after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
        self.changed.clear()
        if not job_monitor.is_held(self._folder):
            return False
        if self._descriptor is None:
            self._open()
        return True

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the monitor, as often as one likes. Nothing happens when it is gone."""
        process = orphans.holder(self._folder / "lock")
        if process and job_monitor.is_held(self._folder):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

    def _open(self) -> None:
        process = orphans.holder(self._folder / "lock")
        if not process or not hasattr(os, "pidfd_open"):  # elsewhere the caller's clock has to do
            return
        try:
            descriptor = os.pidfd_open(process)
        except OSError:  # gone
            self.changed.set()
            return
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._on_end)

    def _on_end(self) -> None:
        self._close()
        self.changed.set()

    def _close(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
