"""What a program prints, handed on as it comes, with its end kept for the note of why it failed."""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from clary.vision.base.descriptors import close_others

__all__ = ["Output"]

KEPT = 64 << 10  # bytes of the end
CHUNK = 1 << 16
DRAIN_SECONDS = 2.0  # for what is still in the pipe when the program has ended and something of its holds it open


class Output:
    """Both streams of programs through one pipe, so that lines stay in the order in which they were written.

    ``say`` takes whole lines; without it the bytes go to standard output as they are.
    """

    def __init__(self, say: Callable[[str], object] | None = None) -> None:
        self._say = say
        self._kept = b""
        self._rest = b""

    def lines(self) -> list[str]:
        """The last lines that were printed, empty ones left out."""
        return [line for line in self.text().splitlines() if line.strip()]

    def text(self) -> str:
        """The end of what was printed."""
        return self._kept.decode(errors="replace")

    def run(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> int:
        """Run a program to its end; its exit code, negative where a signal ended it. Raises OSError."""

        def start(write_end: int) -> Callable[[], int]:
            return subprocess.Popen(
                command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=write_end, stderr=write_end
            ).wait

        return self._follow(start)

    def fork(self, become: Callable[[], NoReturn]) -> int:
        """The same for a process that is forked from this one, and does ``become``, which ends it."""

        def start(write_end: int) -> Callable[[], int]:
            child = os.fork()
            if child == 0:
                for number in (1, 2):
                    os.dup2(write_end, number)
                close_others()
                become()
            return lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

        return self._follow(start)

    def _follow(self, start: Callable[[int], Callable[[], int]]) -> int:
        """``start`` starts what writes to the file it is given, and gives what waits for its end."""
        output, write_end = os.pipe()
        woken, wake = os.pipe()
        try:
            try:
                wait = start(write_end)
            except BaseException:
                os.close(wake)
                raise
            finally:
                os.close(write_end)
            ended: list[int] = []

            def wait_for_it() -> None:
                ended.append(wait())
                # Closed by whom it is written: a stop ends the other thread before this one, and its number would by
                # then be another file's. The end is read as a byte is.
                os.close(wake)

            # What the program left running may hold the pipe for ever: its own end is what counts.
            waiting = threading.Thread(target=wait_for_it, daemon=True)
            waiting.start()
            self._forward(output, woken)
            waiting.join()
            return ended[0]
        finally:
            for descriptor in (output, woken):
                os.close(descriptor)

    def _forward(self, output: int, woken: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            deadline: float | None = None
            is_open = True
            while is_open or deadline is None:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                ready = {key.fd for key, _ in selector.select(left)}
                if not ready or left == 0:  # only what it left in the background could still write
                    break
                if woken in ready:
                    deadline = time.monotonic() + DRAIN_SECONDS
                    selector.unregister(woken)
                if output in ready and not self._pass_on(os.read(output, CHUNK)):
                    selector.unregister(output)
                    is_open = False
        if self._rest and self._say:
            self._say(self._rest.decode(errors="replace"))
            self._rest = b""

    def _pass_on(self, data: bytes) -> bool:
        self._kept = (self._kept + data)[-KEPT:]
        if self._say is None:
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]
        else:
            *lines, self._rest = (self._rest + data).split(b"\n")
            if len(self._rest) > KEPT:  # a line without end would be copied with each piece of it
                lines, self._rest = [*lines, self._rest], b""
            for line in lines:
                self._say(line.decode(errors="replace").rstrip("\r"))
        return bool(data)
