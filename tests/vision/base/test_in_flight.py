from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from clary.vision.base.in_flight import InFlight

SECONDS = 30.0  # until a thread that is stuck fails the test


class Meter:
    """What is held together, and the most that ever was."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.now += size
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("threads", [2, 8])
def test_together_threads_hold_no_more_than_the_limit(threads: int) -> None:
    room, meter = InFlight(100), Meter()

    def work(seed: int) -> None:
        sizes = random.Random(seed)
        for _ in range(50):
            size = sizes.randint(1, 60)
            with room.hold(size):
                meter.add(size)
                meter.add(-size)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads), timeout=SECONDS))
    assert 0 < meter.most <= 100


def test_one_above_the_limit_runs_alone() -> None:
    room, meter = InFlight(100), Meter()

    def work(size: int) -> None:
        with room.hold(size):
            meter.add(1)
            meter.add(-1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [500] * 40, timeout=SECONDS))
    assert meter.most == 1


def test_who_holds_something_and_wants_more_is_never_stuck() -> None:
    room, meter, started = InFlight(100), Meter(), threading.Barrier(4)

    def work(_: int) -> None:
        started.wait(SECONDS)
        with room.hold(25):
            meter.add(25)
            for _ in range(3):
                with room.hold(40):
                    meter.add(40)
            meter.add(-145)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4), timeout=SECONDS))
    # One goes over the limit by all it wants, the others by nothing.
    assert meter.now == 0
    assert meter.most <= 100 + 3 * 40


def test_what_is_held_inside_is_kept_until_the_outermost_ends() -> None:
    room = InFlight(100)
    other = threading.Thread(target=lambda: room.hold(50).__enter__(), daemon=True)
    with room.hold():
        with room.hold(60):
            pass
        other.start()
        other.join(0.05)
        assert other.is_alive()
    other.join(SECONDS)
    assert not other.is_alive()


def test_an_error_gives_back_what_was_held() -> None:
    room = InFlight(100)
    for _ in range(3):
        with pytest.raises(KeyError), room.hold(90):
            raise KeyError
    with room.hold(100):
        pass
