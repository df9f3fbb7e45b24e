"""Shorter pauses between the questions that a client asks about a job or an endpoint.

SDK v1 and v2 look at a training job every 30 s and at an endpoint every 30 s, boto3's waiters at a job every 120 s: on
AWS an instance takes minutes to start, here a whole job may be over by then. How long a client waits in all before it
gives up stays as it was.
"""

from __future__ import annotations

import math
import os
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PAUSE = 0.3  # seconds; SDK v1 and v2 make two between a job's end and their last line
HALF_MINUTE = 30.0


class _Clock:
    """Stands for ``time`` in a module of an SDK: its pauses are short."""

    def __init__(self, time: Any) -> None:
        self._time = time

    def __getattr__(self, name: str) -> Any:
        return getattr(self._time, name)

    def sleep(self, seconds: float) -> None:
        connected = os.environ.get("CLARY_ENDPOINT")
        self._time.sleep(min(seconds, PAUSE) if connected else seconds)


class _Moment(float):
    """A time of ``_JobClock``. Between two of them every pause counts as half a minute; to all else it is the time."""

    pauses = 0

    def __sub__(self, other: float) -> float:
        pauses = self.pauses - other.pauses if isinstance(other, _Moment) else 0
        return float(self) - float(other) + pauses * HALF_MINUTE


class _JobClock(_Clock):
    """For the modules that print a job's log: however often they read it, they ask for the job's state only when
    ``time.time() - last >= 30``. A ``timeout`` of the caller is compared with the time as it is.
    """

    def __init__(self, time: Any) -> None:
        super().__init__(time)
        self._pauses = 0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._pauses += 1 if os.environ.get("CLARY_ENDPOINT") else 0

    def time(self) -> float:
        moment = _Moment(self._time.time())
        moment.pauses = self._pauses
        return moment


def shorten(module: Any) -> None:
    """The pauses of a whole module of an SDK."""
    module.time = _Clock(module.time)


def shorten_job_logs(module: Any) -> None:
    """Those of a module that prints logs of jobs, and perhaps waits for endpoints."""
    module.time = _JobClock(module.time)
    # SDK v3 hands it to a function that has a ``time`` of its own.
    if hasattr(module, "EP_LOGGER_POLL"):
        module.EP_LOGGER_POLL = PAUSE


def shorten_wait_until(module: Any) -> None:
    """Those of its ``_wait_until`` alone: others are between attempts, of which there are only so many."""
    found = getattr(module, "_wait_until", None)
    if isinstance(found, FunctionType):
        names = {**vars(module), "time": _Clock(module.time)}
        module._wait_until = FunctionType(found.__code__, names, found.__name__, found.__defaults__, found.__closure__)


def shorten_waiters(module: Any, is_gateway: Callable[[str], bool]) -> None:
    """Those of botocore's waiters, of clients whose address ``is_gateway`` knows; ``module`` is botocore.waiter."""
    wait = module.Waiter.wait

    def shorter(self: Any, **kwargs: Any) -> None:
        client = getattr(getattr(self._operation_method, "_client_method", None), "__self__", None)
        if client is not None and is_gateway(client.meta.endpoint_url):
            kwargs["WaiterConfig"] = _shorter(self, client, kwargs.get("WaiterConfig") or {})
        wait(self, **kwargs)

    module.Waiter.wait = shorter


def _shorter(waiter: Any, client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """``asked``, a WaiterConfig, with short pauses and as many attempts more."""
    delay, attempts = waiter.config.delay, waiter.config.max_attempts
    if delay <= PAUSE:  # ours, by AWS_DATA_PATH: a program that gives one of the two means the other to be AWS's
        delay, attempts = _of_botocore(waiter, client) or (delay, attempts)
    delay, attempts = asked.get("Delay", delay), asked.get("MaxAttempts", attempts)
    if delay <= PAUSE:
        return asked
    return {**asked, "Delay": PAUSE, "MaxAttempts": max(1, math.ceil((attempts - 1) * delay / PAUSE) + 1)}


def _of_botocore(waiter: Any, client: Any) -> tuple[float, int] | None:
    """Delay and attempts of a waiter in botocore's own files; None where there is none of its name."""
    from botocore.exceptions import DataNotFoundError
    from botocore.loaders import Loader

    model = client.meta.service_model
    try:
        # A loader of its own knows nothing of AWS_DATA_PATH.
        found = Loader().load_data(os.path.join(model.service_name, model.api_version, "waiters-2"))
    except DataNotFoundError:
        return None
    own = found["waiters"].get(waiter.name)
    return (own["delay"], own["maxAttempts"]) if own else None
