"""When to stop: the table of early stopping, and signals to a real process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.vision.training.stopping import EarlyStopping, StopRequest, on_signals


def stop_epoch(rule: EarlyStopping, history: list[float]) -> int | None:
    """How many epochs run before the rule ends the run; None when it never does."""
    return next((n for n in range(1, len(history) + 1) if rule.says_stop(history[:n])), None)


@pytest.mark.parametrize(
    ("min_epochs", "patience", "tolerance", "history", "expected"),
    [
        # improves all the time
        (1, 1, 0.0, [0.1, 0.2, 0.3, 0.4], None),
        # patience epochs without improvement, then it ends
        (1, 1, 0.0, [0.5, 0.4, 0.6], 2),
        (1, 2, 0.0, [0.5, 0.4, 0.6, 0.5, 0.5, 0.9], 5),
        (1, 3, 0.0, [0.5, 0.4, 0.3, 0.6, 0.5, 0.5, 0.5], 7),
        # equal is no improvement
        (1, 2, 0.0, [0.5, 0.5, 0.5, 0.9], 3),
        # a better epoch than the last is no improvement while it is below the best
        (1, 2, 0.0, [0.5, 0.3, 0.4, 0.9], 3),
        # not before min_epochs, but at once when they have run
        (4, 1, 0.0, [0.5, 0.4, 0.3, 0.2, 0.1], 4),
        (4, 1, 0.0, [0.5, 0.4, 0.3, 0.6, 0.7, 0.6], 6),
        (10, 5, 0.0, [0.9] * 12, 10),
        (5, 5, 0.0, [0.9] * 12, 6),
        # the gain relative to the best so far must not be below the tolerance
        (1, 1, 0.5, [0.5, 0.75, 1.0], 3),  # exactly a half, then less
        (1, 1, 0.1, [0.5, 0.54, 0.9], 2),
        (1, 2, 0.1, [0.5, 0.54, 0.56, 0.57, 0.58], 5),  # 0.54 did not become the best
        (1, 2, 0.1, [0.5, 0.54, 0.549, 0.9], 3),
        # the first epoch may be at zero
        (1, 2, 0.5, [0.0, 0.1, 0.1, 0.1], 4),
        (1, 1, 1.0, [0.0, 0.0], 2),
    ],
)
def test_epoch_at_which_a_history_ends(
    min_epochs: int, patience: int, tolerance: float, history: list[float], expected: int | None
) -> None:
    assert stop_epoch(EarlyStopping(min_epochs, patience, tolerance), history) == expected


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=30),
    st.integers(1, 10),
    st.integers(1, 6),
    st.floats(0, 1),
)
@settings(max_examples=100)
def test_never_before_min_epochs_nor_within_patience_of_the_best(
    history: list[float], min_epochs: int, patience: int, tolerance: float
) -> None:
    ended = stop_epoch(EarlyStopping(min_epochs, patience, tolerance), history)
    if ended is not None:
        assert ended >= max(min_epochs, patience + 1)
    if tolerance == 0 and ended is not None:
        shown = history[:ended]
        assert shown.index(max(shown)) < ended - patience


def test_request_is_made_by_calling_it() -> None:
    stop = StopRequest()
    assert not stop.made
    stop()
    stop()
    assert stop.made


def test_other_threads_may_not_touch_signals_and_need_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with on_signals(StopRequest()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    stop = StopRequest()
    with on_signals(stop):
        signal.raise_signal(signal.SIGINT)
    assert stop.made
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


PROGRAM = """
import signal, sys, threading
from clary.vision.training.stopping import StopRequest, on_signals
stop = StopRequest()
with on_signals(stop):
    print("ready", flush=True)
    while not stop.made:
        threading.Event().wait(0.01)  # not pause(): the signal may come before it
    print("asked", flush=True)
    if sys.argv[1] == "saves":
        sys.exit(0)
    threading.Event().wait()
"""


@contextmanager
def process(what: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline() == "ready\n"
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks(number: signal.Signals) -> None:
    with process("saves") as started:
        started.send_signal(number)
        out, _ = started.communicate(timeout=20)
    assert out == "asked\n"
    assert started.returncode == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM)], ids=["SIGINT", "SIGTERM"]
)
def test_second_signal_acts_as_it_did_before(number: signal.Signals, code: int) -> None:
    with process("goes on") as started:
        started.send_signal(number)
        assert started.stdout is not None
        assert started.stdout.readline() == "asked\n"
        started.send_signal(number)
        _, err = started.communicate(timeout=20)
    assert started.returncode == code
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)
