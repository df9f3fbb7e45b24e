"""The ``#metrics`` lines."""

from __future__ import annotations

import json
from typing import Any

from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.telemetry import Telemetry
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunEnd, RunStart


def told(hook_calls: list[Any]) -> list[dict[str, Any]]:
    """What is printed after these events, as JSON; an empty line must follow each."""
    lines: list[str] = []
    telemetry: Hook = Telemetry(JobLog(echo=lines.append), "AWS/Object Detection", 4)
    for event in hook_calls:
        match event:
            case RunStart():
                telemetry.on_start(event)
            case BatchEnd():
                telemetry.on_batch(event)
            case EpochEnd():
                telemetry.on_epoch(event)
            case RunEnd():
                telemetry.on_end(event)
    assert all(line == "" for line in lines[1::2])
    assert all(line.startswith("#metrics {") for line in lines[::2])
    return [json.loads(line.removeprefix("#metrics ")) for line in lines[::2]]


def batch(epoch: int, step: int) -> BatchEnd:
    return BatchEnd(epoch, step, epoch * 3 + step, 1.0, 0.1, 4 * (step + 1), 1.0)


def epoch(number: int) -> EpochEnd:
    return EpochEnd(number, {}, {}, 1.0, 0.1, best=True)


def sums(line: dict[str, Any]) -> dict[str, float]:
    assert all(m["count"] == 1 and m["min"] == m["max"] == m["sum"] for m in line["Metrics"].values())
    return {name: number["sum"] for name, number in line["Metrics"].items()}


def counters(total: int, most: int, resets: int, since: int) -> dict[str, float]:
    return {
        "Total Records Seen": 4 * total,
        "Total Batches Seen": total,
        "Max Records Seen Between Resets": 4 * most,
        "Max Batches Seen Between Resets": most,
        "Reset Count": resets,
        "Number of Records Since Last Reset": 4 * since,
        "Number of Batches Since Last Reset": since,
    }


def test_counters_of_a_run() -> None:
    events = [
        RunStart(None, None, 2, 3, 0, "fp32"),
        *(batch(0, step) for step in range(3)),
        epoch(0),
        *(batch(1, step) for step in range(3)),
        epoch(1),
        RunEnd("completed", 2, 1, 2.0),
    ]
    start, first, second, end = told(events)
    whole = {"Algorithm": "AWS/Object Detection", "Host": "algo-1", "Operation": "training"}
    assert start["Dimensions"] == whole | {"Meta": "init_train_data_iter"}
    assert first["Dimensions"] == whole | {"Meta": "training_data_iter", "epoch": 0}
    assert end["Dimensions"] == whole
    assert sums(start) == counters(0, 0, 0, 0)
    assert sums(first) == counters(3, 3, 1, 3)
    assert sums(second) == counters(6, 3, 2, 3)
    assert sums(end).keys() == {"epochs", "setuptime", "totaltime"}
    assert sums(end)["epochs"] == 2
    assert sums(end)["totaltime"] >= sums(end)["setuptime"] >= 0
    times = [one[name] for one in (start, first, second, end) for name in ("StartTime", "EndTime")]
    assert times == sorted(times)


def test_counters_of_a_resumed_run_go_on() -> None:
    """As if it had not been stopped, one step into its second epoch."""
    events = [RunStart(None, None, 2, 3, 4, "fp32", 1), batch(1, 1), batch(1, 2), epoch(1)]
    start, second = told(events)
    assert sums(start) == counters(4, 3, 1, 1)
    assert sums(second) == counters(6, 3, 2, 3)
