"""When to stop: no more improvement, or somebody asks."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["EarlyStopping", "StopRequest", "on_signals"]


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """SageMaker's rule: after ``min_epochs``, stop when ``patience`` epochs in a row brought no improvement.

    An epoch improves when (new - best) / best is not below ``tolerance``; equality is never an improvement.
    """

    min_epochs: int
    patience: int
    tolerance: float

    def says_stop(self, history: list[float]) -> bool:
        """Judge the validation metric of the epochs so far, counted so that more is better."""
        if len(history) < self.min_epochs:
            return False
        best, since = history[0], 0
        for value in history[1:]:
            # Multiplied, not divided: a best of 0 has no ratio. Equality is none, as the original does not store again
            # for it.
            if value > best and value - best >= self.tolerance * abs(best):
                best, since = value, 0
            else:
                since += 1
        return since >= self.patience


class StopRequest:
    """Set from a signal handler or another thread; the loop looks at it after each step."""

    def __init__(self) -> None:
        self.made = False

    def __call__(self) -> None:
        self.made = True  # no lock: a second signal may interrupt the handler of the first


@contextmanager
def on_signals(stop: StopRequest) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a request; the second acts as it did before.

    Signals belong to the main thread; elsewhere nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGTERM is what SageMaker sends before it kills (StopTrainingJob, spot), SIGINT a person.
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(number: int, frame: FrameType | None) -> None:
        stop()
        # From the handler itself: who presses Ctrl-C twice wants out now, without a checkpoint.
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
