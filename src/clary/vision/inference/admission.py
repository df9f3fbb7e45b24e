"""Who is let in when more come than are served at once: all whose turn will come in time, within bounds of memory.

Calls are answered in the order in which they came; here it is counted how many there are, what they hold and how fast
they go, so that one whose turn would come too late is told at once, and when to come again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from clary.errors import BusyError

__all__ = ["ARRIVAL_LIMIT", "CALL_LIMIT", "Admission", "Visit"]

CALL_LIMIT = 60.0  # seconds until a call must be answered (SageMaker developer guide, InvokeEndpoint)
# Seconds in which the body of a call has to come: what has come of it fills memory. (Of a file that is stored it does
# not, and connections.Limits are enough.)
ARRIVAL_LIMIT = 120.0

# Below, whoever comes is served soon, and how fast calls come to an end says how fast they come, not how fast they can.
_BACKLOG = 16  # calls inside
_CERTAIN = 9  # ends in a backlog, from which the pace is known
_PACE = 64  # ends by which it is measured


class Admission:
    """At most ``calls`` inside, which with those still arriving hold at most ``memory`` bytes.

    A call that holds more than ``memory`` all alone is let in when nothing else is held. ``clock`` is in seconds.
    """

    def __init__(
        self, calls: int = 1000, memory: int = 256 << 20, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._calls, self._memory, self._clock = calls, memory, clock
        self._inside = self._held = 0
        self._ends: deque[float] = deque(maxlen=_PACE)

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """A call, from its first byte until the block ends; by an error, it was not answered."""
        visit = Visit(self)
        try:
            yield visit
        except BaseException:
            self._leave(visit, answered=False)
            raise
        else:
            self._leave(visit, answered=True)

    def hold(self, size: int, before: int = 0) -> None:
        """Count bytes of a call that holds some ``before``. Raises BusyError where they are too many."""
        if self._held > before and self._held + size > self._memory:
            raise self._busy("the requests that wait fill the memory set aside for them", self._wait() / 2)
        self._held += size

    def enter(self, limit: float | None) -> None:
        """Count a call. Raises BusyError where too many are inside, or would have to be answered before it."""
        wait = self._wait()
        if self._inside >= self._calls:
            # By then half of them are gone.
            raise self._busy("too many requests are waiting", wait / 2)
        if limit is not None and wait > limit:
            raise self._busy(f"its turn would come in {wait:.0f} seconds, later than {limit:g}", wait - limit)
        self._inside += 1

    def _leave(self, visit: Visit, *, answered: bool) -> None:
        self._held -= visit.size
        self._inside -= visit.inside
        if self._inside < _BACKLOG:
            self._ends.clear()
        # Of those who went away, or whose time was up, the server was no faster.
        elif answered:
            self._ends.append(self._clock())

    def _wait(self) -> float:
        """Seconds until one that came now would be answered; 0 where that is not known."""
        if len(self._ends) < _CERTAIN:
            return 0.0
        # To now, not to the last end: of a server that stands still no more is expected.
        pace = (self._clock() - self._ends[0]) / (len(self._ends) - 1)
        return pace * (self._inside + 1)

    def _busy(self, what: str, seconds: float) -> BusyError:
        return BusyError(what, retry_after=max(1, math.ceil(seconds)))


class Visit:
    """One call as it is counted."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.size, self.inside = 0, False

    def hold(self, size: int) -> None:
        """So many bytes more of it have come. Raises BusyError."""
        self._admission.hold(size, self.size)
        self.size += size

    def enter(self, limit: float | None = CALL_LIMIT) -> None:
        """It is whole, and to be answered within ``limit`` seconds (None: whenever). Raises BusyError; once."""
        self._admission.enter(limit)
        self.inside = True
