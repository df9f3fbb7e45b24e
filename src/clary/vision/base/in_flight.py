"""The memory that pictures being worked on take together, over all threads of a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["PICTURES", "InFlight"]

# Bytes; chosen: ten photographs of 12 megapixels at once through Pillow, forty JPEGs, one of the largest pictures.
LIMIT = 1 << 30


class InFlight:
    """A number of bytes that threads share: who asks for more than is left waits for others to be done.

    One that asks for more than the whole limit gets it when it is alone.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._over: int | None = None  # the thread that was let over the limit
        self._changed = threading.Condition()
        self._door = threading.Lock()
        self._mine = threading.local()

    @contextmanager
    def hold(self, size: int = 0) -> Iterator[None]:
        """Take ``size`` bytes. Within another ``hold`` of the same thread they are kept until the end of that one:
        what was decoded still lies in memory while it is resized."""
        outermost = not hasattr(self._mine, "held")
        if outermost:
            self._mine.held = 0
        try:
            if size:
                self._take(size)
            yield
        finally:
            if outermost:
                self._give_back()

    def _take(self, size: int) -> None:
        if self._mine.held:
            self._wait_for(size)
            return
        # In line: else a large picture would wait for ever while small ones pass.
        with self._door:
            self._wait_for(size)

    def _wait_for(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._fits(size))
            self._used += size
            self._mine.held += size
            if self._used > self._limit:
                self._over = threading.get_ident()

    def _fits(self, size: int) -> bool:
        held = self._mine.held
        if self._used + size <= self._limit or self._used == held:
            return True
        # Of those that hold something and want more one at a time goes on, or each would wait for the others for ever.
        return bool(held) and self._over in (None, threading.get_ident())

    def _give_back(self) -> None:
        with self._changed:
            self._used -= self._mine.held
            del self._mine.held
            if self._over == threading.get_ident():
                self._over = None
            self._changed.notify_all()


PICTURES = InFlight(LIMIT)
