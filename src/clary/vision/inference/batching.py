"""Micro-batching: requests that come while the engine is busy share its next call.

Nothing waits for company: a free stream takes at once what is there. Decoding runs in threads beside the engine, so
the event loop only moves references. All state belongs to the event loop's thread, hence no locks.

A batch is at most its stream's share of the requests inside: eight clients on two streams travel as four and four,
not as eight while one stream idles.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np

from clary.errors import AlgorithmError, BusyError

__all__ = ["Batcher"]

P = TypeVar("P")


@dataclass(slots=True)
class _Waiting:
    """A prepared picture and the future that its request awaits. ``alone``: its batch failed, it is tried by itself."""

    image: np.ndarray
    scores: asyncio.Future[np.ndarray]
    alone: bool = False


class Batcher(Generic[P]):
    """Calls ``scores`` on batches of what ``prepare`` made of each request. Made, called and closed in one event loop.

    ``streams`` is how many calls of ``scores`` run side by side, ``largest`` the most pictures in one, ``limit`` the
    most requests inside (decoding, waiting or running); one more is refused.

    ``healthy`` is whether the last call of the engine worked; False before the first.
    """

    def __init__(
        self,
        prepare: Callable[[P], np.ndarray],
        scores: Callable[[np.ndarray], np.ndarray],
        *,
        streams: int = 1,
        largest: int = 8,
        limit: int = 64,
        decoders: int = 2,
    ) -> None:
        self.healthy = False
        self._prepare = prepare
        self._scores = scores
        self._streams = self._free = streams
        self._largest = largest
        self._limit = limit
        self._inside = 0
        self._closed = False
        self._waiting: deque[_Waiting] = deque()
        self._decoders = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        self._engine = ThreadPoolExecutor(streams, thread_name_prefix="engine")

    async def __call__(self, picture: P) -> np.ndarray:
        """Scores of one picture, float32 (classes,).

        Raises what ``prepare`` raises for it, BusyError when ``limit`` requests are inside, AlgorithmError when the
        engine fails on it. Cancelling the call leaves the others as they are.
        """
        self.admit()
        self._inside += 1
        try:
            loop = asyncio.get_running_loop()
            image = await loop.run_in_executor(self._decoders, self._prepare, picture)
            return await self._submit(_Waiting(image, loop.create_future()))
        finally:
            self._inside -= 1

    def admit(self) -> None:
        """Raises BusyError when ``limit`` requests are inside, so that a body need not be read in vain."""
        if self._inside >= self._limit:
            raise BusyError("too many requests are waiting", mend="try again in a second")

    def close(self) -> None:
        """Let running calls end; requests still waiting are cancelled."""
        self._closed = True
        self._dispatch()
        self._decoders.shutdown(cancel_futures=True)
        self._engine.shutdown()

    def _submit(self, item: _Waiting) -> asyncio.Future[np.ndarray]:
        self._waiting.append(item)
        self._dispatch()
        return item.scores

    def _dispatch(self) -> None:
        while self._closed and self._waiting:
            self._waiting.popleft().scores.cancel()
        while self._free and (batch := self._take()):
            self._free -= 1
            call = asyncio.get_running_loop().run_in_executor(self._engine, self._run, [item.image for item in batch])
            call.add_done_callback(partial(self._finish, batch))

    def _take(self) -> list[_Waiting]:
        """The next batch: those whose requests are still there, first come first served. Empty when none wait."""
        share = -(-self._inside // self._streams)
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < min(self._largest, max(1, share)):
            if self._waiting[0].scores.done():
                self._waiting.popleft()
            elif self._waiting[0].alone:
                return batch or [self._waiting.popleft()]
            else:
                batch.append(self._waiting.popleft())
        return batch

    def _run(self, images: list[np.ndarray]) -> np.ndarray:
        rows = self._scores(np.stack(images))
        if len(rows) != len(images):
            raise ValueError(f"{len(rows)} answers to {len(images)} pictures")
        return rows

    def _finish(self, batch: list[_Waiting], call: asyncio.Future[np.ndarray]) -> None:
        self._free += 1
        error = call.exception()
        self.healthy = error is None
        if error is None:
            self._answer(batch, call.result())
        elif len(batch) > 1:
            for item in reversed(batch):
                item.alone = True
                self._waiting.appendleft(item)
        elif not batch[0].scores.done():
            failure = AlgorithmError(f"the engine failed ({_one_line(error)})")
            failure.__cause__ = error
            batch[0].scores.set_exception(failure)
        self._dispatch()

    def _answer(self, batch: list[_Waiting], rows: np.ndarray) -> None:
        for item, scores in zip(batch, rows, strict=True):  # _run saw to the lengths
            if not item.scores.done():
                item.scores.set_result(scores)


def _one_line(error: BaseException) -> str:
    """The end of what an engine says, where its reason stands."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][-200:]
