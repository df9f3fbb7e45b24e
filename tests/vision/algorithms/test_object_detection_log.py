"""Log lines of object detection: exactly those of the original, since programs read them by regular expression."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.object_detection.log import DetectionLog, log_start, log_weights
from clary.vision.algorithms.object_detection.spec import SPEC
from clary.vision.base.events import BatchEnd, EpochEnd, RunEnd, RunStart

PREFIX = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (INFO|WARNING|ERROR) \d{15}\] ")
HP = SPEC.parse(
    {"num_classes": "2", "num_training_samples": "2752", "mini_batch_size": "16", "epochs": "15", "image_shape": "512"}
)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> JobLog:
    return JobLog(echo=lines.append)


@pytest.fixture
def hook(log: JobLog) -> DetectionLog:
    return DetectionLog(log, HP, lambda: Path("/opt/ml/model/model_algo_1-0000.params"))


def messages(lines: list[str]) -> list[str]:
    """Without the prefix, which every line must have."""
    assert all(PREFIX.match(line) for line in lines), lines
    return [PREFIX.sub("", line, count=1) for line in lines]


def start(steps: int = 172, first_step: int = 0) -> RunStart:
    return RunStart(None, None, 15, steps, first_step, "fp32")


def epoch(number: int, found: float, *, best: bool = True, seconds: float = 100.0) -> EpochEnd:
    train = {"loss": 1.5, "cross_entropy": 1.100300321111984, "smooth_l1": 0.6384831165698124}
    return EpochEnd(number, train, {"mAP": found, "loss": 1.0}, seconds, 0.001, best, samples=2752)


def test_lines_before_training(log: JobLog, lines: list[str]) -> None:
    log_start(log, HP, "application/x-image", 1)
    log_weights(log, pretrained=True)
    assert messages(lines) == [
        "Process 1 is a worker.",
        "Using default worker.",
        "Loaded iterator creator application/x-image for content type ('application/x-image', '1.0')",
        "Number of GPUs being used: 1",
        "Training images are resized to image shape (3, 512, 512)",
        "Validation images are resized to image shape (3, 512, 512)",
        "Using [gpu(0)] as training context.",
        "Create Store: device",
        "Start training from pretrained model 1.",
        "Loaded pretrained model parameters.",
    ]
    assert [line.split()[2] for line in lines[4:6]] == ["WARNING", "WARNING"]


def test_lines_without_gpu_and_weights(log: JobLog, lines: list[str]) -> None:
    log_start(log, HP, "application/x-recordio", 0)
    log_weights(log, pretrained=False)
    said = messages(lines)
    assert "Using [cpu(0)] as training context." in said
    assert said[-1] == "Start training from pretrained model 0."


def test_speed_every_hundred_batches(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start())
    lines.clear()
    for step in range(172):
        hook.on_batch(BatchEnd(0, step, step, 1.0, 0.001, 16 * (step + 1), 1.95533056 * (step + 1)))
    assert messages(lines) == [
        "Epoch:    0, batches:    100, num_examples:   1600, 8.2 samples/sec, epoch time so far:  0:03:15.533056"
    ]


def test_lines_of_an_epoch(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start())
    lines.clear()
    hook.on_epoch(epoch(0, 0.14241012268647157))
    assert messages(lines) == [
        "#quality_metric: host=algo-1, epoch=0, batch=172 train cross_entropy <loss>=(1.100300321111984)",
        "#quality_metric: host=algo-1, epoch=0, batch=172 train smooth_l1 <loss>=(0.6384831165698124)",
        "#throughput_metric: host=algo-1, train throughput=27.52 records/second",
        "Round of batches complete",
        "Updated the metrics",
        "#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(0.14241012268647157)",
        "Updating the best model with validation-mAP=0.14241012268647157",
        'Saved checkpoint to "/opt/ml/model/model_algo_1-0000.params"',
        "#progress_metric: host=algo-1, completed 6.666666666666667 % of epochs",
    ]


def test_epoch_that_is_not_the_best_saves_nothing(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start())
    hook.on_epoch(epoch(14, 0.1, best=False))
    said = messages(lines)
    assert not any("Saved" in line or "Updating" in line for line in said)
    assert said[-1] == "#progress_metric: host=algo-1, completed 100 % of epochs"


def test_last_lines(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_end(RunEnd("completed", 15, 12, 100.0))
    assert messages(lines) == [
        "wait_for_all_workers will not sync workers since the kv store is not running distributed",
        'Saved checkpoint to "/opt/ml/model/model_algo_1-0000.params"',
        "Test data is not provided.",
    ]


def test_another_number_of_batches_is_warned_of_once(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start(steps=170))
    hook.on_epoch(epoch(0, 0.1))
    hook.on_epoch(epoch(1, 0.2))
    warnings = [line for line in lines if line.split()[2] == "WARNING"]
    assert len(warnings) == 1
    expected = "Expected number of batches: 172, did not match the number of batches processed: 170."
    assert messages(warnings)[0].startswith(expected)


def test_resumed_run_says_so(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start(first_step=5))
    assert "Resuming from the checkpoint at step 5" in messages(lines)


def test_early_stop_is_told(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_end(RunEnd("early_stopping", 11, 5, 100.0))
    assert messages(lines)[0] == "Early stopping after 11 epochs, the best was epoch 5"


def test_declared_metrics_match_these_lines(hook: DetectionLog, lines: list[str]) -> None:
    hook.on_start(start())
    hook.on_epoch(epoch(0, 0.25))
    text = "\n".join(lines)
    found = {metric.name: re.findall(metric.pattern, text) for metric in SPEC.metrics}
    assert found == {
        "train:cross_entropy": ["1.100300321111984"],
        "train:smooth_l1": ["0.6384831165698124"],
        "train:progress": ["6.666666666666667"],
        "train:throughput": ["27.52"],
        "validation:mAP": ["0.25"],
    }
