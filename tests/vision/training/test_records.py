"""metrics.jsonl: one JSON object a line, and never the same epoch twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clary.vision.base.events import BatchEnd, EpochEnd, RunEnd, RunStart
from clary.vision.training.records import MetricsFile

STEPS = 45  # in an epoch


def start(first_step: int = 0, first_epoch: int = 0, precision: str = "bf16") -> RunStart:
    return RunStart(None, None, 3, STEPS, first_step, precision, first_epoch, precision_reason="asked for")


def batch(epoch: int, step: int) -> BatchEnd:
    return BatchEnd(epoch, step, epoch * STEPS + step + 1, 0.5, 0.01, samples=(step + 1) * 8, seconds=2.0)


def epoch_end(epoch: int) -> EpochEnd:
    return EpochEnd(epoch, {"accuracy": 0.5, "loss": 0.7}, {"accuracy": 0.6, "loss": 0.8}, 1.23456, 0.01, epoch == 1)


def run_epochs(metrics: MetricsFile, *epochs: int, first: int = 0) -> None:
    for epoch in epochs:
        for step in range(first if epoch == epochs[0] else 0, STEPS):
            metrics.on_batch(batch(epoch, step))
        metrics.on_epoch(epoch_end(epoch))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture
def whole(path: Path) -> list[dict[str, Any]]:
    """The records of a run of three epochs that was never interrupted; they lie under ``path``."""
    metrics = MetricsFile(path)
    metrics.on_start(start())
    run_epochs(metrics, 0, 1, 2)
    metrics.on_end(RunEnd("completed", 3, 1, 12.3456))
    return read(path)


def test_records_of_a_run(whole: list[dict[str, Any]]) -> None:
    kinds = [(record["kind"], record.get("epoch")) for record in whole]
    of_epoch = [[("batch", epoch)] * 3 + [("epoch", epoch)] for epoch in range(3)]
    assert kinds == [*of_epoch[0], *of_epoch[1], *of_epoch[2], ("run", None)]
    assert [r["step"] for r in whole if r["kind"] == "batch"] == [0, 20, 40] * 3


def test_fields_of_each_kind(whole: list[dict[str, Any]]) -> None:
    assert whole[1] == {
        "kind": "batch",
        "epoch": 0,
        "step": 20,
        "global_step": 21,
        "loss": 0.5,
        "learning_rate": 0.01,
        "samples_per_second": 84.0,
    }
    assert whole[7] == {
        "kind": "epoch",
        "epoch": 1,
        "global_step": 2 * STEPS,
        "train": {"accuracy": 0.5, "loss": 0.7},
        "validation": {"accuracy": 0.6, "loss": 0.8},
        "learning_rate": 0.01,
        "seconds": 1.235,
        "best": True,
        "image_size": None,
    }
    assert whole[-1] == {
        "kind": "run",
        "global_step": 3 * STEPS,
        "reason": "completed",
        "epochs": 3,
        "best_epoch": 1,
        "seconds": 12.346,
        "precision": "bf16",
        "precision_reason": "asked for",
        "way": "plain",
    }


@pytest.mark.parametrize(
    ("epoch", "step"),
    [(0, 0), (0, 1), (0, 20), (0, 21), (1, 0), (1, 30), (2, 44), (3, 0)],
    ids=lambda number: str(number),
)
def test_records_after_the_checkpoint_are_dropped_and_written_anew(
    epoch: int, step: int, path: Path, whole: list[dict[str, Any]]
) -> None:
    """Whatever was written before the crash, a run resumed at (epoch, step) ends with the records of a whole one."""
    metrics = MetricsFile(path)
    metrics.on_start(start(epoch * STEPS + step, epoch))
    if epoch < 3:
        run_epochs(metrics, *range(epoch, 3), first=step)
    metrics.on_end(RunEnd("completed", 3, 1, 12.3456))
    assert read(path) == whole


def test_epoch_whose_end_was_not_saved_is_ended_again(path: Path, whole: list[dict[str, Any]]) -> None:
    """A checkpoint of the last step of an epoch, then a crash after its record: the step alone does not tell."""
    metrics = MetricsFile(path)
    metrics.on_start(start(STEPS, first_epoch=0))
    metrics.on_epoch(epoch_end(0))
    run_epochs(metrics, 1, 2)
    metrics.on_end(RunEnd("completed", 3, 1, 12.3456))
    assert read(path) == whole


@pytest.mark.parametrize(
    "torn",
    [
        '{"kind": "ep',
        "",
        "[1, 2]",
        '"text"',
        "{}",
        '{"kind": "epoch", "epoch": null}',
        '{"kind": "evaluation", "split": "test", "metrics": {"accuracy": "good"}}',
        # Whole, but of the model that was there before.
        '{"kind": "evaluation", "split": "test", "metrics": {"accuracy": 0.5}}',
        "\x00",
    ],
)
def test_torn_or_outdated_lines_are_dropped(torn: str, path: Path, whole: list[dict[str, Any]]) -> None:
    lines = path.read_text().splitlines()[:4]  # the first epoch
    path.write_text("\n".join([*lines, torn]))
    metrics = MetricsFile(path)
    metrics.on_start(start(STEPS, first_epoch=1))
    run_epochs(metrics, 1, 2)
    metrics.on_end(RunEnd("completed", 3, 1, 12.3456))
    assert read(path) == whole


def test_each_record_can_be_read_while_the_run_goes_on(path: Path) -> None:
    metrics = MetricsFile(path)
    metrics.on_start(start())
    assert read(path) == []
    metrics.on_batch(batch(0, 0))
    assert len(read(path)) == 1
    assert path.read_bytes().endswith(b"\n")
