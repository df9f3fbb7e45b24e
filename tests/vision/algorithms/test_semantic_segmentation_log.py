"""Log lines of semantic segmentation: exactly those of the original, since programs read them by regular expression."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.semantic_segmentation.log import SegmentationLog
from clary.vision.algorithms.semantic_segmentation.spec import SPEC
from clary.vision.base.events import BatchEnd, EpochEnd, RunEnd, RunStart, ValidationBatchEnd
from clary.vision.training.schedules import polynomial

PREFIX = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d INFO \d{15}\] ")
BEST, LAST = Path("/opt/ml/model/model_best.params"), Path("/opt/ml/model/model_algo-1")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def hook(lines: list[str]) -> SegmentationLog:
    return SegmentationLog(JobLog(echo=lines.append), 347, polynomial(1e-4, 3470).rate, lambda: BEST, lambda: LAST)


def messages(lines: list[str]) -> list[str]:
    """Without the prefix, which every line must have."""
    assert all(PREFIX.match(line) for line in lines), lines
    return [PREFIX.sub("", line, count=1) for line in lines]


def start(first_step: int = 0) -> RunStart:
    return RunStart(None, None, 10, 347, first_step, "fp32")


def epoch(number: int, *, best: bool = True, validation: bool = True) -> EpochEnd:
    found = {"pixel_accuracy": 0.8680389368603801, "mIOU": 0.5071756876186732, "mIOU_present": 0.6, "loss": 0.7}
    return EpochEnd(
        number,
        {"loss": 0.5774439905665449},
        found if validation else {},
        649.25,
        1e-4,
        best,
        samples=5552,
        validation_seconds=83.5,
        validation_samples=1837,
    )


def test_schedule_is_told_before_training(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start())
    assert messages(lines)[-1] == "LRScheduler setup: iters per epoch: 347, num_epochs 10"


def test_speed_and_rate_every_twenty_batches(hook: SegmentationLog, lines: list[str]) -> None:
    """The rate is that of the step to come: at 20 of 3470 the original prints 0.000099."""
    for step in range(45):
        hook.on_batch(BatchEnd(0, step, step + 1, 1.0, 1e-4, 16 * (step + 1), 2.0 * (step + 1)))
    assert messages(lines) == [
        "#progress_notice. epoch: 0, iterations: 20 speed: 8.0 samples/sec learning_rate: 0.000099",
        "#progress_notice. epoch: 0, iterations: 40 speed: 8.0 samples/sec learning_rate: 0.000099",
    ]


def test_speed_of_the_validation_follows_what_is_said_of_the_training(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start())
    lines.clear()
    for number in (0, 1):
        for step in range(45):
            hook.on_validation_batch(ValidationBatchEnd(number, step, 16 * (step + 1), 0.5 * (step + 1)))
        hook.on_epoch(epoch(number))
    found = [line for line in messages(lines) if "epoch: 1" in line]
    assert found[2:4] == [
        "#progress_notice. epoch: 1, iterations: 20 speed: 32.0 samples/sec",
        "#progress_notice. epoch: 1, iterations: 40 speed: 32.0 samples/sec",
    ]
    assert "train throughput" in found[1]
    assert "validation pixel_accuracy" in found[4]


def test_lines_of_an_epoch(hook: SegmentationLog, lines: list[str]) -> None:
    """A blank stands before the last dot, and a dot after the mark: unlike those of detection."""
    hook.on_start(start())
    lines.clear()
    hook.on_epoch(epoch(0))
    assert messages(lines) == [
        "#quality_metric. host: algo-1, epoch: 0, train loss: 0.5774439905665449 .",
        "#throughput_metric. host: algo-1, epoch: 0, train throughput: 8.551405467847516 samples/sec.",
        "#quality_metric. host: algo-1, epoch: 0, validation pixel_accuracy: 0.8680389368603801 .",
        "#quality_metric. host: algo-1, epoch: 0, validation mIOU: 0.5071756876186732 .",
        "#throughput_metric. host: algo-1, epoch: 0, validation throughput: 22.0 samples/sec.",
        "Serializing model to /opt/ml/model/model_best.params",
        "#progress_metric: host=algo-1, completed 10 % of epochs",
    ]


def test_epoch_that_is_not_the_best_saves_nothing(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start())
    hook.on_epoch(epoch(9, best=False))
    found = messages(lines)
    assert not any("Serializing" in line for line in found)
    assert found[-1] == "#progress_metric: host=algo-1, completed 100 % of epochs"


def test_progress_is_in_whole_percent(lines: list[str]) -> None:
    hook = SegmentationLog(JobLog(echo=lines.append), 1, lambda step: 1e-4, lambda: BEST, lambda: LAST)
    hook.on_start(RunStart(None, None, 7, 1, 0, "fp32"))
    for number in range(7):
        hook.on_epoch(epoch(number))
    found = re.findall(r"completed (\S+) % of epochs", "\n".join(lines))
    assert found == ["14", "28", "42", "57", "71", "85", "100"]


def test_run_without_validation_tells_of_training_only(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start())
    hook.on_epoch(epoch(0, validation=False))
    assert not any("validation" in line for line in messages(lines))


def test_resumed_run_says_so(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start(first_step=5))
    assert "Resuming from the checkpoint at step 5" in messages(lines)


def test_last_line(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_end(RunEnd("completed", 10, 8, 100.0))
    assert messages(lines)[-2:] == ["Serializing model to /opt/ml/model/model_algo-1", "Test data is not provided."]
    hook.on_end(RunEnd("early_stopping", 8, 3, 100.0))
    assert "Early stopping after 8 epochs, the best was epoch 3" in messages(lines)


def test_declared_metrics_match_these_lines(hook: SegmentationLog, lines: list[str]) -> None:
    hook.on_start(start())
    hook.on_batch(BatchEnd(0, 19, 19, 1.0, 1e-4, 320, 40.0))
    hook.on_epoch(epoch(0))
    text = "\n".join(lines)
    assert {metric.name: re.findall(metric.pattern, text) for metric in SPEC.metrics} == {
        "train:loss": ["0.5774439905665449"],
        "train:throughput": ["8.551405467847516"],
        "validation:mIOU": ["0.5071756876186732"],
        "validation:pixel_accuracy": ["0.8680389368603801"],
        "validation:throughput": ["22.0"],
    }
