"""Who is let in, by a clock that the tests set."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from clary.errors import BusyError
from clary.vision.inference.admission import Admission, Visit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class House:
    """An admission and the calls inside, the first first."""

    def __init__(self, calls: int = 1000, memory: int = 1000) -> None:
        self.clock = Clock()
        self.admission = Admission(calls, memory, clock=self.clock)
        self.inside: list[ExitStack] = []

    def come(self, size: int = 0, limit: float | None = 60) -> None:
        with ExitStack() as stack:
            visit: Visit = stack.enter_context(self.admission.visit())
            visit.hold(size)
            visit.enter(limit)
            self.inside.append(stack.pop_all())

    def answer(self, count: int = 1, seconds: float = 0.0) -> None:
        """End calls, one every so many seconds."""
        for _ in range(count):
            self.clock.now += seconds
            self.inside.pop(0).close()


def busy(house: House, **call: float) -> BusyError:
    with pytest.raises(BusyError) as caught:
        house.come(**call)  # type: ignore[arg-type]
    assert caught.value.status == 503
    return caught.value


class TestCalls:
    def test_two_hundred_at_once(self):
        house = House()
        for _ in range(200):
            house.come()
        house.answer(200, 0.05)

    def test_one_too_many(self):
        house = House(calls=3)
        for _ in range(3):
            house.come()
        assert str(busy(house)) == "too many requests are waiting; try again in a second"
        house.answer()
        house.come()

    def test_when_there_will_be_room(self):
        house = House(calls=100)
        for _ in range(100):
            house.come()
        house.answer(20, 0.4)
        for _ in range(20):
            house.come()
        found = busy(house)
        assert found.retry_after == 21  # half of 100 calls of 0.4 seconds
        assert str(found).endswith("; try again in 21 seconds")

    def test_refused_calls_take_no_place(self):
        house = House(calls=1)
        house.come()
        for _ in range(3):
            busy(house)
        house.answer()
        house.come()


class TestDeadline:
    def test_a_turn_that_would_come_too_late(self):
        house = House()
        for _ in range(200):
            house.come()
        house.answer(20, 1)
        found = busy(house)
        assert "its turn would come in 181 seconds, later than 60" in str(found)
        assert found.retry_after == 121
        house.come(limit=900)
        house.come(limit=None)

    def test_one_that_will_do(self):
        house = House()
        for _ in range(200):
            house.come()
        house.answer(20, 0.3)
        house.come()

    def test_a_slow_start_says_nothing(self):
        """A worker that is woken takes seconds; then 200 calls are over at once."""
        house = House()
        for _ in range(200):
            house.come()
        house.clock.now += 30
        house.answer(16)
        house.come()

    def test_a_server_that_stands_still(self):
        house = House()
        for _ in range(200):
            house.come()
        house.answer(20, 0.1)
        house.come()
        house.clock.now += 10
        busy(house)

    def test_few_calls_say_nothing_of_how_many_could_be_answered(self):
        house = House()
        for _ in range(50):
            house.come()
            house.answer(1, 30)
        for _ in range(300):
            house.come()

    def test_those_who_went_away_say_nothing(self):
        house = House()
        for _ in range(220):
            house.come()
        house.answer(10, 1)
        for _ in range(20):
            leaving = house.inside.pop()
            assert not leaving.__exit__(TimeoutError, TimeoutError(), None)
        assert "its turn would come in 191 seconds" in str(busy(house))


class TestMemory:
    def test_bodies_that_wait(self):
        house = House(memory=100)
        house.come(60)
        assert "fill the memory set aside" in str(busy(house, size=50))
        house.come(40)
        house.answer(2)
        house.come(100)

    def test_one_larger_than_all_is_let_in_alone(self):
        house = House(memory=100)
        house.come(5000)
        busy(house, size=1)
        house.answer()
        with house.admission.visit() as visit:
            for _ in range(5):
                visit.hold(90)
            busy(house, size=1)
        house.come(1)

    def test_bodies_that_never_become_whole_keep_no_call_out(self):
        house = House(calls=1)
        with ExitStack() as stack:
            for _ in range(70):
                stack.enter_context(house.admission.visit()).hold(10)
            house.come()
            house.answer()
