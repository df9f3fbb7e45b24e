"""A service in several processes, each with a model of its own: SAGEMAKER_MODEL_SERVER_WORKERS."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import SimpleQueue

from clary.toolkit import mounts
from clary.toolkit.serving.service import Answer, Request, Service
from clary.vision.base.cores import cores

__all__ = ["Processes", "WorkerFailed"]


_GRACE = 5.0  # seconds between SIGTERM and SIGKILL


class WorkerFailed(Exception):
    """A process could not load its service. The text is that process's own account, which it has printed."""


class Processes:
    """``count`` processes that are forked here, before any of the user's code has run, and each call ``load``.

    ``explain`` puts an error of theirs into words. Raises WorkerFailed where one could not load.
    """

    def __init__(self, count: int, load: Callable[[], Service], explain: Callable[[BaseException], str]) -> None:
        self.streams = count
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        pipes = [multiprocessing.Pipe() for _ in range(count)]
        self._children = [_fork(number, pipes, load, explain) for number in range(count)]
        for _, theirs in pipes:
            theirs.close()
        for ours, _ in pipes:
            try:
                said = ours.recv()
            except EOFError:
                said = "a worker process ended while it loaded the model: most likely out of memory"
            if said:
                self.close()
                raise WorkerFailed(said)
            self._idle.put(ours)

    def answer(self, request: Request) -> Answer:
        """By the process that has been idle for longest. Raises EOFError or OSError where it has died."""
        connection = self._idle.get()
        connection.send(request)
        answer: Answer = connection.recv()
        self._idle.put(connection)
        return answer

    def close(self) -> None:
        for child in self._children:
            os.kill(child, signal.SIGTERM)
        last = time.monotonic() + _GRACE
        for child in self._children:
            while os.waitpid(child, os.WNOHANG)[0] == 0:
                if time.monotonic() > last:  # users' code has a handler of its own
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    break
                time.sleep(0.01)


def _fork(
    number: int,
    pipes: list[tuple[Connection, Connection]],
    load: Callable[[], Service],
    explain: Callable[[BaseException], str],
) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if sys.platform == "linux":
            mounts.kill_with_parent(signal.SIGKILL)
        # Another's end held open here would never be seen to end.
        for place, (ours, theirs) in enumerate(pipes):
            ours.close()
            if place != number:
                theirs.close()
        if os.getppid() == parent:
            _share_cores(len(pipes))
            code = _work(pipes[number][1], load, explain)
    except BaseException:  # noqa: BLE001  # there is nobody above who could tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _share_cores(count: int) -> None:
    """With every core's thread in each process they would wait for each other."""
    threads = max(1, cores() // count)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    if "torch" in sys.modules and os.environ["OMP_NUM_THREADS"].isdigit():
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def _work(connection: Connection, load: Callable[[], Service], explain: Callable[[BaseException], str]) -> int:
    try:
        service = load()
    except BaseException as error:  # noqa: BLE001  # the user's, for the endpoint's FailureReason
        traceback.print_exc()
        sys.stderr.flush()
        connection.send(explain(error))
        return 2
    connection.send("")
    while True:
        try:
            request = connection.recv()
        except EOFError:  # the server has gone, and this process with it
            return 0
        connection.send(service.answer(request))
