"""SAGEMAKER_MODEL_SERVER_WORKERS: several processes, each with a model."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import pytest

from clary.toolkit.serving import processes
from clary.toolkit.serving.processes import Processes, WorkerFailed
from clary.toolkit.serving.service import Answer, Request

from .contract import asked


class Telling:
    """Answers with its process; ``end`` ends it."""

    streams = 1

    def answer(self, request: Request) -> Answer:
        if request.body == b"end":
            os._exit(3)
        return Answer(200, f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}".encode(), "text/plain")

    def close(self) -> None:
        """Nothing is held."""


def ignore(error: BaseException) -> str:
    return f"because of {error}"


def refuse() -> Telling:
    raise ValueError("no weights")


def leave() -> Telling:
    os._exit(1)


@pytest.fixture
def two(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    service = Processes(2, Telling, ignore)
    yield service
    service.close()


def test_each_has_its_turn_and_its_share_of_the_cores(two):
    answers = [two.answer(asked()).body.split() for _ in range(4)]
    pids = [pid for pid, _ in answers]
    assert pids[0] != pids[1]
    assert pids[:2] == pids[2:]
    assert str(os.getpid()).encode() not in pids
    assert {int(threads) for _, threads in answers} == {max(1, len(os.sched_getaffinity(0)) // 2)}


def test_side_by_side(two):
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(two.answer(asked()).body)) for _ in range(two.streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(found)) == 2


def test_one_that_has_died_makes_the_worker_useless(two):
    with pytest.raises((EOFError, OSError)):
        two.answer(asked(b"end"))


def stay() -> Telling:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return Telling()


def test_one_that_does_not_want_to_end(monkeypatch):
    monkeypatch.setattr(processes, "_GRACE", 0.1)
    service = Processes(2, stay, ignore)
    children = {int(service.answer(asked()).body.split()[0]) for _ in range(2)}
    service.close()
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.parametrize(("load", "why"), [(refuse, "because of no weights"), (leave, "most likely out of memory")])
def test_one_that_cannot_load(load: Callable[[], Telling], why: str, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(WorkerFailed, match=why):
        Processes(2, load, ignore)
    assert ("ValueError: no weights" in capfd.readouterr().err) == (load is refuse)
