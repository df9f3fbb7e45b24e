"""An instance: what keeps one worker alive for one variant.

    asleep --a call--> starting --first prediction--> serving --no calls for long--> asleep
                          ^  |                           |
                     after a pause                    it died
                          +--+---------------------------+

A call waits while the instance starts, and is sent again when the worker dies under it: prediction changes nothing, so
twice is no harm; to a user's own code it is sent once more at most. A worker that dies is replaced at once. One that
cannot start, or dies before it answered anything, is tried again after a pause that doubles up to half a minute; after
three such failures in a row calls no longer wait but fail, with the reason, until a start works. The endpoint stays
InService meanwhile, as SageMaker's do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from clary.control.hosting.failure import StartFailed
from clary.control.hosting.process import Reply, Worker, WorkerDied
from clary.vision.inference.admission import Admission

__all__ = ["CODE_SENDINGS", "SENDINGS", "Instance", "NotServing"]

SENDINGS = 4  # times a call is sent to a model of ours; a picture that kills workers takes no more with it
# To a user's code, whose calls may have effects of their own: again where the worker died under somebody else's call.
CODE_SENDINGS = 2
HOPELESS = 3  # starts that failed in a row, after which calls do not wait
_FIRST_PAUSE, _LAST_PAUSE = 0.25, 30.0  # seconds
PING_LIMIT = 10.0  # seconds a worker has to answer a ping after a call took too long
_MOMENT = 1.0  # seconds between a broken connection and the end of the process, at most

log = logging.getLogger(__name__)

Start = Callable[[], Awaitable[Worker]]


class NotServing(Exception):
    """There is no worker and none soon, or it died under a call again and again. The text says why."""


class Instance:
    """``start`` gives a worker that has made its first prediction, or raises StartFailed. Used in one event loop.

    ``idle_after`` is in seconds; 0 or less: never put to sleep. ``note`` takes lines for the log. ``admission`` is its
    own: no other variant's calls take places from this one's. ``sendings`` is how many workers a call may die under.
    """

    def __init__(
        self,
        start: Start,
        *,
        idle_after: float,
        note: Callable[[str], object],
        admission: Admission | None = None,
        sendings: int = SENDINGS,
    ) -> None:
        self._admission = admission or Admission()
        self._sendings = sendings
        self._start = start
        self._idle_after = idle_after
        self._note = note
        self._worker: Worker | None = None
        self._proven = False  # the worker has answered a call
        self._failures = 0  # failed starts and unproven deaths since the last answer
        self._failed_starts = 0  # since the last worker
        self._reason = ""
        self._calls = 0
        self._last_call = 0.0
        self._empty = asyncio.Event()  # no calls inside
        self._empty.set()
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()  # a worker serves, or calls need not wait for one
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def worker(self) -> Worker | None:
        """The worker that serves now."""
        return self._worker

    async def open(self) -> None:
        """Start the first worker. Raises StartFailed; then nothing is left running."""
        self._put(await self._start())
        self.wake()

    def wake(self) -> None:
        """Start a worker without waiting for it."""
        self._wanted.set()
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep())
            self._keeper.add_done_callback(self._kept)

    async def settle(self) -> None:
        """Wait until a worker serves, or it is plain that none does for now."""
        self.wake()
        await self._settled.wait()

    async def call(self, body: bytes, headers: Mapping[str, str], limit: float | None = None) -> Reply:
        """The worker's answer to POST /invocations.

        Raises NotServing, BusyError when too many wait or it would take longer than ``limit`` seconds before it is this
        call's turn, TimeoutError when it does.
        """
        self._calls += 1
        self._empty.clear()
        try:
            with self._admission.visit() as visit:
                visit.hold(len(body))
                visit.enter(limit)
                async with asyncio.timeout(limit):
                    return await self._answer(body, headers)
        finally:
            self._last_call = asyncio.get_running_loop().time()
            self._calls -= 1
            if not self._calls:
                self._empty.set()

    async def check(self) -> None:
        """Replace the worker if it does not answer a ping either."""
        worker = self._worker
        if worker is not None and not await worker.alive(PING_LIMIT):
            self._note("the worker does not answer and is stopped")
            await worker.kill()

    async def drain(self, limit: float) -> None:
        """Let calls that are inside end, no longer than ``limit`` seconds, then stop the worker."""
        await _within(limit, self._empty)
        await self.close()

    async def close(self) -> None:
        """Stop the worker now, for good; calls inside fail."""
        self._closed = True
        self._settled.set()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop()

    async def _answer(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        for _ in range(self._sendings):
            worker = await self._serving()
            try:
                reply = await worker.post(body, headers)
            except WorkerDied:
                # A broken connection comes before the exit is seen; a worker that lives on (it closed an idle
                # connection) is asked again.
                if await _within(_MOMENT, worker.ended):
                    self._drop(worker)
                continue
            self._proven, self._failures = True, 0
            return reply
        raise NotServing(f"{self._sendings} workers in a row died under this request")

    async def _serving(self) -> Worker:
        # A loop: what the wait brought may be gone again before this call's turn.
        while self._worker is None:
            if self._closed:
                raise NotServing("the endpoint was changed or deleted under this request")
            # Rather a reason now than a time-out after a minute.
            if self._failed_starts >= HOPELESS:
                raise NotServing(self._reason)
            await self.settle()
        return self._worker

    async def _keep(self) -> None:
        """Have a worker whenever one is wanted."""
        while True:
            await self._wanted.wait()
            if self._worker is None:
                await self._replace()
            else:
                await self._look_after(self._worker)

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        """A keeper ends with its instance. One that failed is a fault of ours: it is told, and another goes on."""
        # close() takes the keeper away before it cancels it.
        if keeper is not self._keeper or keeper.cancelled():
            return
        log.error("the task that restarts a worker failed and is started again", exc_info=keeper.exception())
        self._keeper = None
        self._failed(f"Clary failed while starting a worker ({keeper.exception()!r})")
        self.wake()

    def _failed(self, reason: str) -> None:
        """Note a start that failed: the next waits longer, and after a few calls do not wait for it."""
        self._failures += 1
        self._failed_starts += 1
        self._reason = reason
        self._settled_if(self._failed_starts >= HOPELESS)
        self._note(f"{reason}; next try in {self._pause():g} seconds")

    async def _replace(self) -> None:
        await asyncio.sleep(self._pause())
        try:
            self._put(await self._start())
        except StartFailed as error:
            self._failed(str(error))

    async def _look_after(self, worker: Worker) -> None:
        """Return when the worker has died, or was put to sleep."""
        while not await _within(self._until_idle(), worker.ended):
            if self._until_idle() == 0:
                self._note(f"no calls for {self._idle_after:g} seconds: the worker is stopped until the next")
                self._wanted.clear()
                self._drop(worker)
                await worker.stop()
                return
        self._drop(worker)
        # A worker that answered and died later is replaced at once; one that dies before its first answer would be
        # started in a tight loop.
        self._failures += not self._proven
        self._note(f"{worker.exit_reason()}; another is started")

    def _put(self, worker: Worker) -> None:
        self._worker, self._proven, self._failed_starts = worker, False, 0
        self._last_call = asyncio.get_running_loop().time()
        self._settled_if(True)

    def _drop(self, worker: Worker) -> None:
        if self._worker is worker:
            self._worker = None
            self._settled_if(False)

    def _settled_if(self, settled: bool) -> None:
        (self._settled.set if settled else self._settled.clear)()

    def _until_idle(self) -> float | None:
        """Seconds until the worker has been without calls for long enough; None: not for now."""
        if self._idle_after <= 0:
            return None
        # Whatever takes long inside is no idleness; it is looked at again after as long a time.
        if self._calls:
            return self._idle_after
        return max(0.0, self._last_call + self._idle_after - asyncio.get_running_loop().time())

    def _pause(self) -> float:
        return min(_LAST_PAUSE, _FIRST_PAUSE * 2 ** (self._failures - 1)) if self._failures else 0.0


async def _within(seconds: float | None, event: asyncio.Event) -> bool:
    """Whether the event was set within that time; None: however long it takes."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
