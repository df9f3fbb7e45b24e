"""What a launcher promises: to start, watch and stop hosts of jobs, and to say how each ended.

A host's program runs in a process of its own, and later perhaps on another machine. Every call therefore names one
*attempt* of one host. The attempt's number is a fencing token: once a later attempt was started, calls and reports for
an earlier one are refused. The state of an attempt is stored where its program runs, so that it survives the gateway;
a restarted gateway asks the launcher again.

    NeverStarted -> Running -> Exited        the program ended, and how is known
                            -> Lost          it runs no more and nobody knows how it ended: machine or monitor gone

Launchers are used from one event loop. Members: clary.control.jobs.launchers.local; contract:
tests/control/jobs/launchers/contract.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from clary.control.jobs.launch import Exit, HostAttempt, Launch
from clary.errors import ClaryError

__all__ = ["Exited", "HostState", "Launcher", "Lost", "NeverStarted", "NotStarted", "Running"]


class NotStarted(ClaryError):
    """An attempt could not be brought to run. Whether anything of it began is told by ``probe``."""


@dataclass(frozen=True, slots=True)
class NeverStarted:
    """Nothing of the attempt has begun: it may be started."""


@dataclass(frozen=True, slots=True)
class Running:
    """The attempt runs, or is on its way to its program or from it."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The attempt is over."""

    exit: Exit


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt is over and left no word. Processes of its may still live: ``start`` and ``kill`` see to them."""


HostState = NeverStarted | Running | Exited | Lost


class Launcher(ABC):
    """Runs hosts of jobs. An attempt older than the newest of its host is refused: OldAttempt is raised."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready what makes starts fast; returns before it is. Starting works without."""

    @abstractmethod
    async def close(self) -> None:
        """Let go. What runs runs on."""

    @abstractmethod
    def isolated(self) -> bool:
        """Whether each host gets its own absolute /opt/ml; else programs find theirs by SAGEMAKER_BASE_DIR. Blocks."""

    @abstractmethod
    async def start(self, launch: Launch) -> None:
        """Run ``launch``'s attempt; returns once its program runs or could not be run (which is an Exit with error).

        Idempotent: an attempt that runs or is over stays as it is. Whatever an earlier, lost attempt left running is
        dead before the program starts. Raises NotStarted where nothing could be started, also because an earlier
        attempt still runs; OldAttempt for an attempt earlier than one that was started.
        """

    @abstractmethod
    async def probe(self, attempt: HostAttempt) -> HostState:
        """How the attempt stands now. Raises OldAttempt; UsageError for an exit record that cannot be read."""

    @abstractmethod
    async def ended(self, attempt: HostAttempt) -> HostState:
        """Wait until the attempt does not run (any more), and say how it stands: anything but Running.

        Returns as soon as the end is known, without the caller's polling; may be awaited by many and cancelled at any
        time. Raises as ``probe``.
        """

    @abstractmethod
    async def stop(self, attempt: HostAttempt) -> None:
        """Ask the program to end: SIGTERM, then SIGKILL after the launch's grace. Returns before it has.

        May be asked any number of times. Nothing happens where the attempt does not run, or a later one does.
        """

    @abstractmethod
    async def kill(self, attempt: HostAttempt) -> None:
        """End whatever of the attempt still runs, at once: its program, its monitor, what a lost attempt left.

        Returns when all is dead. Nothing happens where a later attempt was started.
        """
