"""What other programs take of this machine's cores: a training beside them takes longer, and nobody sees why."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clary.wording import plural

__all__ = ["OtherPrograms", "Sharing"]

# Chosen: what ticks along (editors, browsers, daemons) stays below it.
BUSY = 0.2  # of one core, on average
LEAST = 0.1  # of all cores: what costs less is not worth a line
FULL = 0.9  # of all cores: with so much taken a busy program gets less than it wants
SHORTEST = 0.1  # seconds to measure: the kernel counts in hundredths


@dataclass(frozen=True, slots=True)
class Sharing:
    """``programs`` others took ``taken`` of ``cores`` cores; ``full`` is whether they would have taken more."""

    programs: int
    taken: float
    cores: int
    full: bool = False

    @property
    def times(self) -> int:
        """How many times as long training takes at most: its threads wait for the one that gets least."""
        wanted = max(self.taken, self.programs) if self.full else self.taken
        return 1 + max(1, round(wanted / self.cores))

    def __str__(self) -> str:
        verb = "is" if self.programs == 1 else "are"
        taken = f"{self.taken:.1f} of {plural(self.cores, 'core')}"
        times = "twice" if self.times == 2 else f"{self.times} times"
        who = plural(self.programs, "other program")
        return f"{who} {verb} busy on this machine ({taken}): training takes up to {times} as long"


class OtherPrograms:
    """Measures from when it is made until it is asked, so that nothing waits for it.

    By ``/proc/stat`` and the ``stat`` of each process (proc(5)), so on Linux alone. What cannot be seen from here, of
    another container or over by then, counts as one program. This process and those that it started are no others.
    """

    def __init__(self, proc: Path = Path("/proc"), process: int | None = None) -> None:
        self._proc = proc
        self._process = process or os.getpid()
        self._since = time.monotonic()
        self._before = self._seen()

    def sharing(self) -> Sharing | None:
        """What others took since; None where that is too little to matter, or not to be had."""
        seconds, now = time.monotonic() - self._since, self._seen()
        if self._before is None or now is None or seconds < SHORTEST:
            return None
        ticks = seconds * os.sysconf("SC_CLK_TCK")
        before = {pid: spent for pid, (spent, _) in self._before[1].items()}
        # At least nothing: the number of a process that ended may be another's now.
        took = {pid: max(0, spent - before.get(pid, 0)) / ticks for pid, (spent, _) in now[1].items()}
        own = set(_family(self._process, {pid: parent for pid, (_, parent) in now[1].items()}))
        others = [share for pid, share in took.items() if pid not in own and share >= BUSY]
        all_of_it = (now[0] - self._before[0]) / ticks
        # Of a child that ended, the kernel no longer tells: its share counts as another's, and is small.
        hidden = all_of_it - sum(took.values())
        others += [hidden] if hidden >= BUSY else []
        cores = len(os.sched_getaffinity(0))
        if sum(others) < max(BUSY, LEAST * cores):
            return None
        return Sharing(len(others), min(sum(others), cores), cores, full=all_of_it >= FULL * cores)

    def _seen(self) -> tuple[int, dict[int, tuple[int, int]]] | None:
        """Ticks that all cores were busy, and of each process those it took and its parent."""
        try:
            first = (self._proc / "stat").read_text().split("\n", 1)[0].split()
            processes = [int(path.name) for path in self._proc.iterdir() if path.name.isdecimal()]
        except OSError:
            return None
        user, nice, system, _idle, _waiting, *interrupts = map(int, first[1:8])
        found = {pid: entry for pid in processes if (entry := self._entry(pid))}
        return user + nice + system + sum(interrupts), found

    def _entry(self, process: int) -> tuple[int, int] | None:
        try:
            text = (self._proc / str(process) / "stat").read_text(errors="replace")
        # It has ended, or is not ours to see.
        except OSError:
            return None
        # After the name, which may hold anything; utime and stime are fields 14 and 15, the parent is field 4.
        fields = text.rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12]), int(fields[1])


def _family(process: int, parents: dict[int, int]) -> Iterator[int]:
    """A process and all that it started, directly or not."""
    yield process
    for child, parent in parents.items():
        if parent == process:
            yield from _family(child, parents)
