"""Micro-batching: everyone gets their own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import AlgorithmError, ImageError, TooLargeError
from clary.vision.inference import batching
from clary.vision.inference.batching import Batcher

BAD_IMAGE = -1
POISON = 13


def prepare(number: int) -> int:
    if number == BAD_IMAGE:
        raise ImageError("is not a picture")
    return number


class Engine:
    """Doubles numbers. Fails on batches with POISON in them. Waits at ``gate`` when that is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()
        self.running = self.most = 0

    def __call__(self, numbers: list[int]) -> list[int]:
        with self.lock:
            self.batches.append(list(numbers))
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.gate.wait(10)
        with self.lock:
            self.running -= 1
        if POISON in numbers:
            raise RuntimeError("first line\nthe end")
        return [2 * number for number in numbers]


def play(scene: Callable[[Batcher[int, int, int], Engine], Coroutine[Any, Any, Any]], **options: Any) -> Engine:
    """Run a scene with a batcher in an event loop of its own."""
    engine = Engine()

    async def main() -> None:
        batcher: Batcher[int, int, int] = Batcher(prepare, engine, **options)
        try:
            await asyncio.wait_for(scene(batcher, engine), 20)
        finally:
            engine.gate.set()
            batcher.close()

    asyncio.run(main())
    return engine


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def one_runs(batcher: Batcher[int, int, int], engine: Engine, others: Iterable[int]) -> list[asyncio.Task[Any]]:
    """Request 0 is held in the engine, at the gate; the others wait for it."""
    engine.gate.clear()
    tasks = [asyncio.create_task(batcher(0))]
    await until(lambda: engine.batches == [[0]])
    tasks += [asyncio.create_task(batcher(number)) for number in others]
    await until(lambda: len(batcher._waiting) == len(tasks) - 1)
    return tasks


class TestKeys:
    def test_only_equal_keys_travel_together(self):
        async def scene(batcher: Batcher[int, int, int], engine: Engine) -> None:
            tasks = await one_runs(batcher, engine, range(100, 112))
            engine.gate.set()
            assert await asyncio.gather(*tasks) == [0, *(2 * number for number in range(100, 112))]

        engine = play(scene, key=lambda number: number % 3)
        assert len(engine.batches) < 13, "some came together"
        assert all(len({number % 3 for number in batch}) == 1 for batch in engine.batches)

    def test_the_first_is_served_first(self):
        async def scene(batcher: Batcher[int, int, int], engine: Engine) -> None:
            tasks = await one_runs(batcher, engine, [100, 103, 101, 106])
            engine.gate.set()
            await asyncio.gather(*tasks)

        engine = play(scene, key=lambda number: number % 3)
        assert [batch[0] for batch in engine.batches] == [0, 100, 101]
        assert engine.batches[1] == [100, 103, 106]


class TestAnswers:
    def test_what_is_wrong_with_one_answer_is_its_own(self):
        async def scene(batcher: Batcher[int, int, int], engine: Engine) -> None:
            batcher._answers = lambda numbers: [TooLargeError("too large") if n == 2 else n for n in numbers]
            found = await asyncio.gather(*(batcher(number) for number in range(4)), return_exceptions=True)
            assert isinstance(found.pop(2), TooLargeError)
            assert found == [0, 1, 3]
            assert batcher.healthy, "the engine did its work"

        play(scene)

    @settings(max_examples=60, deadline=None)
    @given(
        numbers=st.lists(st.integers(BAD_IMAGE, 20), min_size=1, max_size=30),
        yields=st.lists(st.integers(0, 3), min_size=1, max_size=30),
        cancelled=st.sets(st.integers(0, 29)),
        streams=st.integers(1, 3),
        largest=st.integers(1, 5),
    )
    def test_everyone_gets_their_own(self, numbers, yields, cancelled, streams, largest):
        async def scene(batcher: Batcher[int, int, int], engine: Engine) -> None:
            tasks = []
            for place, number in enumerate(numbers):
                tasks.append(asyncio.create_task(batcher(number)))
                for _ in range(yields[place % len(yields)]):
                    await asyncio.sleep(0)
                if place in cancelled:
                    tasks[place // 2].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, answer in zip(numbers, answers, strict=True):
                if isinstance(answer, asyncio.CancelledError):
                    assert cancelled
                elif number == BAD_IMAGE:
                    assert isinstance(answer, ImageError)
                elif number == POISON:
                    assert isinstance(answer, AlgorithmError)
                else:
                    assert answer == 2 * number

        engine = play(scene, streams=streams, largest=largest)
        assert max(map(len, engine.batches), default=1) <= largest
        assert engine.most <= streams

    def test_all_are_answered_when_none_is_cancelled(self):
        async def scene(batcher, engine):
            answers = await asyncio.gather(*(batcher(number) for number in range(100, 200)))
            assert answers == [2 * number for number in range(100, 200)]

        play(scene)


@pytest.fixture
def patient(monkeypatch):
    """Whoever waits for company waits for ever, so that a test that ends shows that nobody did."""
    monkeypatch.setattr(batching, "PATIENCE", 1000)


class TestBatches:
    def test_an_idle_engine_waits_for_nobody(self, patient):
        async def scene(batcher, engine):
            for number in range(3):
                await batcher(number)

        assert play(scene).batches == [[0], [1], [2]]

    def test_what_waits_travels_together(self):
        async def scene(batcher, engine):
            tasks = await one_runs(batcher, engine, range(1, 8))
            engine.gate.set()
            await asyncio.gather(*tasks)

        assert [len(batch) for batch in play(scene, largest=4).batches] == [1, 4, 3]

    def test_streams_share(self, patient):
        async def scene(batcher, engine):
            engine.gate.clear()
            tasks = [asyncio.create_task(batcher(number)) for number in range(8)]
            await until(lambda: engine.running == 2)
            engine.gate.set()
            await asyncio.gather(*tasks)

        engine = play(scene, streams=2, largest=8)
        assert sorted(engine.batches) == [[0, 1, 2, 3], [4, 5, 6, 7]]

    def test_who_is_arriving_is_waited_for(self, patient):
        async def scene(batcher, engine):
            with batcher.expect() as submit:
                first = asyncio.create_task(batcher(1))
                await until(lambda: len(batcher._waiting) == 1)
                assert await submit(2) == 4
            assert await first == 2

        assert play(scene).batches == [[1, 2]]

    def test_who_never_arrives_is_waited_for_no_more(self, patient):
        async def scene(batcher, engine):
            with batcher.expect():
                first = asyncio.create_task(batcher(1))
                await until(lambda: len(batcher._waiting) == 1)
            assert await first == 2

        assert play(scene).batches == [[1]]

    def test_who_is_slow_is_waited_for_a_moment_only(self):
        async def scene(batcher, engine):
            with batcher.expect() as submit:
                assert await batcher(1) == 2
                assert await submit(2) == 4

        assert play(scene).batches == [[1], [2]]

    def test_a_free_stream_waits_a_moment_only_while_another_runs(self):
        async def scene(batcher, engine):
            engine.gate.clear()
            tasks = [asyncio.create_task(batcher(number)) for number in range(3)]
            await until(lambda: engine.running == 2)
            engine.gate.set()
            await asyncio.gather(*tasks)

        assert play(scene, streams=2).batches == [[0, 1], [2]]

    def test_the_cancelled_are_not_computed(self):
        async def scene(batcher, engine):
            first, second, third = await one_runs(batcher, engine, [1, 2])
            second.cancel()
            engine.gate.set()
            assert await first == 0
            assert await third == 4
            with pytest.raises(asyncio.CancelledError):
                await second

        assert play(scene).batches == [[0], [2]]


class TestFailures:
    def test_one_poisoned_request_does_not_touch_its_batch(self):
        async def scene(batcher, engine):
            tasks = await one_runs(batcher, engine, [1, POISON, 2])
            engine.gate.set()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert [a for a in answers if isinstance(a, int)] == [0, 2, 4]
            assert str(answers[2]) == "the engine failed (the end)"

        batches = play(scene).batches
        assert len(batches[1]) == 3
        assert sorted(batches[2:]) == [[1], [2], [POISON]]

    def test_health_is_that_of_the_last_call(self):
        async def scene(batcher, engine):
            seen = [batcher.healthy]
            for number in (1, POISON, BAD_IMAGE, 2):
                await asyncio.gather(batcher(number), return_exceptions=True)
                seen.append(batcher.healthy)
            assert seen == [False, True, False, False, True]

        play(scene)

    def test_an_engine_that_loses_answers(self):
        async def scene(batcher, engine):
            batcher._answers = lambda numbers: numbers[:0]
            with pytest.raises(AlgorithmError, match="0 answers to 1 pictures"):
                await batcher(1)

        play(scene)

    def test_bad_pictures_do_not_reach_the_engine(self):
        async def scene(batcher, engine):
            with pytest.raises(ImageError):
                await batcher(BAD_IMAGE)

        assert play(scene).batches == []


def test_closing_cancels_those_who_would_be_tried_again():
    async def scene(batcher, engine):
        tasks = await one_runs(batcher, engine, [POISON, 1])
        engine.gate.set()
        await tasks[0]
        await until(lambda: len(engine.batches) == 2)
        batcher.close()
        answers = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)

    play(scene)


def test_closing_cancels_those_who_wait():
    async def scene(batcher, engine):
        tasks = await one_runs(batcher, engine, [1])
        engine.gate.set()
        batcher.close()
        answers: list[Any] = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[0] == 0
        assert isinstance(answers[1], asyncio.CancelledError)

    play(scene)
