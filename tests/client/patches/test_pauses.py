"""Pauses of clients: short while connected, and the time after which a client gives up is what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import botocore.waiter
import pytest
from botocore.config import Config
from botocore.loaders import Loader

from clary.client.environment import DATA_PATH
from clary.client.patches import pauses
from clary.client.patches.pauses import PAUSE

ADDITIONS = DATA_PATH / "sagemaker" / "2017-07-24" / "waiters-2.sdk-extras.json"


class Time:
    """Stands for ``time``: a pause takes as long as it says, and is noted."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture(autouse=True)
def connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARY_ENDPOINT", "http://127.0.0.1:4747")


@pytest.fixture
def clock() -> Time:
    return Time()


def module(source: str, clock: Time) -> Any:
    made = ModuleType("sdk")
    made.__dict__["time"] = clock
    exec(source, made.__dict__)
    return made


# As SDK v1, v2 and v3 have it: the log is read after every pause, the job's state looked at by the clock.
LOGS = """
EP_LOGGER_POLL = 30
def logs(poll=10, timeout=None):
    end = time.time() + timeout if timeout else None
    last, questions = time.time(), 0
    while questions < 3:
        if timeout and time.time() > end:
            return "timeout"
        time.sleep(poll)
        if time.time() - last >= 30:
            questions += 1
            last = time.time()
    return questions
"""


def test_a_job_is_looked_at_after_every_pause(clock):
    sdk = module(LOGS, clock)
    pauses.shorten_job_logs(sdk)
    assert sdk.logs() == 3
    assert clock.pauses == [PAUSE] * 3
    assert sdk.EP_LOGGER_POLL == PAUSE


def test_a_callers_timeout_is_that_of_the_clock(clock):
    sdk = module(LOGS.replace("questions < 3", "True"), clock)
    pauses.shorten_job_logs(sdk)
    assert sdk.logs(timeout=100) == "timeout"
    assert sum(clock.pauses) == pytest.approx(100, abs=1)


def test_who_is_not_connected_waits_as_ever(clock, monkeypatch):
    sdk = module(LOGS, clock)
    pauses.shorten_job_logs(sdk)
    monkeypatch.delenv("CLARY_ENDPOINT")
    assert sdk.logs() == 3
    assert clock.pauses == [10] * 9


def test_the_rest_of_time_is_there(clock):
    sdk = module("", clock)
    pauses.shorten(sdk)
    assert sdk.time.monotonic() == 1000.0
    sdk.time.sleep(0.1)
    sdk.time.sleep(5)
    assert clock.pauses == [0.1, PAUSE]


def test_only_the_waiting_of_a_module_with_attempts(clock):
    """SDK v3's common_utils: what it tries again four times must not give up sooner."""
    source = """
def _wait_until(ready, poll=5):
    while not ready():
        time.sleep(poll)
def retried(poll=5):
    for _ in range(4):
        time.sleep(poll)
"""
    sdk = module(source, clock)
    pauses.shorten_wait_until(sdk)
    sdk._wait_until(iter([False, True]).__next__)
    sdk.retried()
    assert clock.pauses == [PAUSE, 5, 5, 5, 5]
    pauses.shorten_wait_until(module("", clock))


Waits = Callable[..., list[float]]


@pytest.fixture
def waits(clock: Time, monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The pauses of a waiter that is never satisfied, of a client at ``url``."""
    monkeypatch.setattr(botocore.waiter.Waiter, "wait", botocore.waiter.Waiter.wait)
    monkeypatch.setattr(botocore.waiter, "time", clock)
    pauses.shorten_waiters(botocore.waiter, lambda url: "4747" in url)

    def run(url: str, *, data_path: Path | None = None, delay: float = 0, **words: Any) -> list[float]:
        monkeypatch.setenv("AWS_DATA_PATH", str(data_path or ""))
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
        client = boto3.Session(**keys).client(
            "sagemaker", endpoint_url=url, config=Config(retries={"mode": "standard"})
        )
        answer = {"TrainingJobStatus": "InProgress", "ResponseMetadata": {"HTTPStatusCode": 200}}
        response = SimpleNamespace(status_code=200)
        client.meta.events.register("before-call", lambda **_: (response, answer))
        waiter = client.get_waiter("training_job_completed_or_stopped")
        waiter.config.delay = delay or waiter.config.delay
        with pytest.raises(botocore.waiter.WaiterError, match="Max attempts"):
            waiter.wait(TrainingJobName="job", **words)
        return clock.pauses

    return run


@pytest.mark.parametrize("data_path", [None, DATA_PATH])
@pytest.mark.parametrize(
    ("asked", "limit"),
    [
        ({"MaxAttempts": 3}, 2 * 120),
        ({"Delay": 5, "MaxAttempts": 9}, 8 * 5),
        ({"Delay": 1}, 179 * 1),
        ({"Delay": 5, "MaxAttempts": 1}, 0),
    ],
)
def test_what_a_program_asks_of_a_waiter_limits_its_time(waits, data_path, asked, limit):
    found = waits("http://127.0.0.1:4747", data_path=data_path, WaiterConfig=asked)
    assert set(found) <= {PAUSE}
    assert limit <= sum(found) + 1e-6 < limit + 2 * PAUSE


def test_shorter_pauses_than_ours_are_kept(waits):
    assert waits("http://127.0.0.1:4747", WaiterConfig={"Delay": 0.1, "MaxAttempts": 4}) == [0.1] * 3


def test_a_waiter_of_somebodys_own(waits):
    """SDK v2's PipelineExecution.wait makes one."""
    found = waits("http://127.0.0.1:4747", delay=30, WaiterConfig={"MaxAttempts": 3})
    assert set(found) == {PAUSE}
    assert sum(found) == pytest.approx(60)


def test_clients_of_another_service_are_left_alone(waits):
    assert waits("http://127.0.0.1:9", WaiterConfig={"MaxAttempts": 3}) == [120, 120]


@pytest.mark.parametrize("name", sorted(json.loads(ADDITIONS.read_text())["merge"]["waiters"]))
def test_waiters_of_the_data_path_give_up_when_botocores_own_do(name):
    own = Loader().load_service_model("sagemaker", "waiters-2")["waiters"][name]
    ours = Loader(extra_search_paths=[str(DATA_PATH)]).load_service_model("sagemaker", "waiters-2")["waiters"][name]
    assert ours["delay"] == PAUSE
    assert (ours["operation"], ours["acceptors"]) == (own["operation"], own["acceptors"])
    limit = (own["maxAttempts"] - 1) * own["delay"]
    assert limit <= (ours["maxAttempts"] - 1) * PAUSE + 1e-6 < limit + 2 * PAUSE
