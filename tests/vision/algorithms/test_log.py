"""Log lines: exactly those of the original, since programs read them by regular expression."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from clary.errors import UsageError
from clary.vision.algorithms.image_classification.log import ClassificationLog, log_parameters
from clary.vision.algorithms.image_classification.spec import SPEC
from clary.vision.algorithms.joblog import JobLog, SharedMachineLog
from clary.vision.base.events import BatchEnd, EpochEnd, RunEnd, RunStart
from clary.vision.base.other_programs import OtherPrograms, Sharing

PREFIX = re.compile(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (INFO|WARNING|ERROR) \d{15}\] ")


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def log(lines: list[str]) -> JobLog:
    return JobLog(echo=lines.append)


def messages(lines: list[str]) -> list[str]:
    """Without the prefix, which every line must have."""
    assert all(PREFIX.match(line) for line in lines), lines
    return [PREFIX.sub("", line, count=1) for line in lines]


def batch(step: int, accuracy: float, samples: int = 672, seconds: float = 7.751) -> BatchEnd:
    return BatchEnd(0, step, step + 1, 0.5, 0.1, samples, seconds, {"accuracy": accuracy, "loss": 0.5})


def epoch(number: int, train: dict[str, float], validation: dict[str, float], seconds: float = 41.092) -> EpochEnd:
    return EpochEnd(number, train, validation, seconds, 0.1, best=True)


# The line


@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_prefix_is_date_level_and_thread(level: str, log: JobLog, lines: list[str]) -> None:
    getattr(log, level)("text")
    assert re.fullmatch(rf"\[\d\d/\d\d/\d{{4}} \d\d:\d\d:\d\d {level.upper()} \d{{15}}\] text", lines[0])


def test_lines_go_to_the_file_as_well(tmp_path: Path, lines: list[str]) -> None:
    log = JobLog(tmp_path / "log.txt", echo=lines.append)
    log.info("one")
    log.error("two — with more than ASCII")
    assert (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines() == lines


def test_lines_are_added_to_those_of_an_earlier_try(tmp_path: Path) -> None:
    for text in ("one", "two"):
        JobLog(tmp_path / "log.txt", echo=None).info(text)
    assert [line[-3:] for line in (tmp_path / "log.txt").read_text().splitlines()] == ["one", "two"]


def test_without_a_sink_they_are_printed_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    JobLog().info("text")
    assert capfd.readouterr().out.endswith("] text\n")


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UsageError, match=r"log\.txt: the disk is full"):
        JobLog(tmp_path / "log.txt", echo=None).info("text")


# The parameters

SAMPLE = {  # the job whose log stands in the reference
    "use_pretrained_model": "1",
    "num_layers": "18",
    "epochs": "10",
    "resize": "224",
    "learning_rate": "0.001",
    "num_training_samples": "5883",
    "mini_batch_size": "32",
    "num_classes": "37",
    "augmentation_type": "crop_color_transform",
    "top_k": "2",
}
BLOCK = """\
use_pretrained_model: 1
multi_label: 0
Using pretrained model for initializing weights and transfer learning.
---- Parameters ----
num_layers: 18
data type: <class 'numpy.float32'>
epochs: 10
image resize size: 224
optimizer: sgd
momentum: 0.9
weight_decay: 0.0001
learning_rate: 0.001
num_training_samples: 5883
mini_batch_size: 32
image_shape: 3,224,224
num_classes: 37
augmentation_type: crop_color_transform
kv_store: device
top_k: 2
checkpoint_frequency not set, will store the best model
--------------------
""".splitlines()


def parameters(log: JobLog, lines: list[str], **changes: str | None) -> list[str]:
    """The block of the sample job with some settings changed, or left out where None."""
    log_parameters(log, SPEC.parse({name: text for name, text in {**SAMPLE, **changes}.items() if text is not None}))
    return messages(lines)


def test_parameters_are_those_of_the_reference(log: JobLog, lines: list[str]) -> None:
    assert parameters(log, lines) == BLOCK


@pytest.mark.parametrize(
    ("changes", "gone", "new"),
    [
        ({"top_k": None}, ["top_k: 2"], []),
        ({"resize": None}, ["image resize size: 224"], []),
        ({"augmentation_type": None}, ["augmentation_type: crop_color_transform"], ["augmentation_type: None"]),
        ({"use_pretrained_model": "0"},
         ["use_pretrained_model: 1", "Using pretrained model for initializing weights and transfer learning."],
         ["use_pretrained_model: 0", "Performing random weight initialization"]),
        ({"multi_label": "1"}, ["multi_label: 0"], ["multi_label: 1"]),
        ({"precision_dtype": "float16"},
         ["data type: <class 'numpy.float32'>"], ["data type: <class 'numpy.float16'>"]),
        ({"checkpoint_frequency": "2"},
         ["checkpoint_frequency not set, will store the best model"], ["checkpoint_frequency: 2"]),
        ({"optimizer": "adam"}, ["optimizer: sgd", "momentum: 0.9", "weight_decay: 0.0001"],
         ["optimizer: adam", "beta_1: 0.9", "beta_2: 0.999", "eps: 1e-08"]),
        ({"optimizer": "rmsprop"}, ["optimizer: sgd", "momentum: 0.9", "weight_decay: 0.0001"],
         ["optimizer: rmsprop", "gamma: 0.9", "eps: 1e-08"]),
        ({"kv_store": "dist_sync"}, ["kv_store: device"], ["kv_store: dist_sync"]),
        ({"lr_scheduler_step": "10,20"}, [], ["lr_scheduler_step: 10,20", "lr_scheduler_factor: 0.1"]),
        ({"backbone": "test_resnet"}, ["num_layers: 18"], ["backbone: test_resnet"]),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_setting_shows(
    changes: dict[str, str | None], gone: list[str], new: list[str], log: JobLog, lines: list[str]
) -> None:
    found = parameters(log, lines, **changes)
    assert [line for line in BLOCK if line not in found] == gone
    assert [line for line in found if line not in BLOCK] == new


# Events


def test_lines_of_an_epoch_are_those_of_the_reference(log: JobLog, lines: list[str]) -> None:
    listener = ClassificationLog(log)
    for step in range(21):
        listener.on_batch(batch(step, 0.035714))
    listener.on_epoch(
        epoch(0, {"loss": 3.5, "accuracy": 0.086578, "top_k_accuracy_2": 0.2734375}, {"loss": 3.1, "accuracy": 0.35394})
    )
    assert messages(lines) == [
        "Epoch[0] Batch [20]\tSpeed: 86.698 samples/sec\taccuracy=0.035714",
        "Epoch[0] Train-accuracy=0.086578",
        "Epoch[0] Train-top_k_accuracy_2=0.273438",
        "Epoch[0] Time cost=41.092",
        "Epoch[0] Validation-accuracy=0.353940",
    ]


def test_batch_lines_come_every_twenty_batches(log: JobLog, lines: list[str]) -> None:
    listener = ClassificationLog(log)
    for step in range(61):
        listener.on_batch(batch(step, 0.5))
    assert [line.partition("\t")[0] for line in messages(lines)] == [f"Epoch[0] Batch [{n}]" for n in (20, 40, 60)]


def test_without_validation_there_is_no_line_of_it(log: JobLog, lines: list[str]) -> None:
    ClassificationLog(log).on_epoch(epoch(3, {"loss": 1.0, "accuracy": 1.0}, {}))
    assert messages(lines) == ["Epoch[3] Train-accuracy=1.000000", "Epoch[3] Time cost=41.092"]


def test_patterns_of_the_metrics_find_the_numbers(log: JobLog, lines: list[str]) -> None:
    listener = ClassificationLog(log)
    for number, (train, validation) in enumerate([(0.086578, 0.35394), (0.5, 1.0), (1.0, 0.0)]):
        listener.on_epoch(epoch(number, {"loss": 1.0, "accuracy": train}, {"loss": 1.0, "accuracy": validation}))
    text = "\n".join(lines)
    found = {metric.name: [float(value) for value in re.findall(metric.pattern, text)] for metric in SPEC.metrics}
    assert found == {"train:accuracy": [0.086578, 0.5, 1.0], "validation:accuracy": [0.35394, 1.0, 0.0]}


def test_patterns_are_those_of_the_guide() -> None:
    assert {metric.name: metric.pattern for metric in SPEC.metrics} == {
        "train:accuracy": r"Epoch\S* Train-accuracy=(\S*)",
        "validation:accuracy": r"Epoch\S* Validation-accuracy=(\S*)",
    }
    assert [metric.name for metric in SPEC.metrics if metric.objective] == ["validation:accuracy"]


def test_start_tells_of_precision_and_resume(log: JobLog, lines: list[str]) -> None:
    listener = ClassificationLog(log)
    listener.on_start(RunStart(None, None, 3, 10, 0, "bf16", precision_reason="known"))
    listener.on_start(RunStart(None, None, 3, 10, 17, "fp32", 1))
    listener.on_start(RunStart(None, None, 3, 10, 0, "bf16", way="folded norms"))
    resumed = "Resuming from the checkpoint at step 17"
    assert messages(lines) == ["precision: bf16 (known)", "precision: fp32", resumed, "precision: bf16, folded norms"]


def test_a_shared_machine_is_said_once_before_the_first_step(
    log: JobLog, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Sharing(2, 1.8, 2), None]
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: found.pop(0))
    for _ in range(2):
        SharedMachineLog(log).on_start(RunStart(None, None, 3, 10, 0, "fp32"))
    line = "2 other programs are busy on this machine (1.8 of 2 cores): training takes up to twice as long"
    assert messages(lines) == [line]


def test_end_tells_of_early_stopping_only(log: JobLog, lines: list[str]) -> None:
    ClassificationLog(log).on_end(RunEnd("completed", 3, 2, 1.0))
    ClassificationLog(log).on_end(RunEnd("early_stopping", 7, 2, 1.0))
    assert messages(lines) == ["Early stopping after 7 epochs, the best was epoch 2"]
