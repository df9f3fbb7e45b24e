"""What a job says of a machine that has no room: of its disk, of its memory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.reasons import of_exit, read_failure
from clary.errors import ClaryError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import main, run_job
from clary.vision.base.events import BatchEnd, Hook
from clary.vision.base.jobdir import Channel, JobDir

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = find("image-classification")
SETTINGS = {"num_layers": "20", "image_shape": "3,32,32", "num_classes": "3", "num_training_samples": "12"}
SETTINGS |= {"mini_batch_size": "4", "epochs": "1", "precision": "fp32"}


@pytest.fixture
def job(tmp_path: Path, colours: Callable[..., Path]) -> JobDir:
    data = colours(tmp_path / "data", {"train": 4, "validation": 1})
    channels = {name: Channel(name, data / name, "application/x-image") for name in ("train", "validation")}
    return JobDir.create(tmp_path / "job", SETTINGS, channels)


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Fills(Hook):
    """From the first step on nothing can be written: no new file, and no line to the log."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def on_batch(self, event: BatchEnd) -> None:
        self._monkeypatch.setattr("clary.vision.base.files._beside", full)
        self._monkeypatch.setattr("clary.vision.algorithms.joblog.append_text", full)


def test_a_full_disk_is_the_reason_of_the_failure(job: JobDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClaryError) as caught:
        run_job(SPEC, job, JobLog(echo=None), [Fills(monkeypatch)])
    reason = of_exit(caught.value.exit_code, failure=read_failure(job.output, "failure"))
    assert reason.startswith("InternalServerError: ")
    assert "the disk is full" in reason
    assert reason.endswith("; free some space and run it again, exit code: 2")


def test_a_disk_without_room_for_the_model_is_found_before_the_first_step(
    job: JobDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1 << 20))
    lines: list[str] = []
    with pytest.raises(ClaryError, match=r"the disk is full: training writes [\d,]+ MB, 1 MB are free"):
        run_job(SPEC, job, JobLog(echo=lines.append))
    assert not job.metrics.exists()
    assert job.failure.read_text().startswith("InternalServerError: ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12 (x)"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=["python", "torch", "system"],
)
def test_memory_that_cannot_be_had_is_said(
    error: Exception, job: JobDir, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def train(*_: Any) -> None:
        raise error

    monkeypatch.setattr("clary.vision.algorithms.run.train_function", lambda spec: train)
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(job.root))
    with pytest.raises(type(error)):
        main([SPEC.name])
    note = job.failure.read_text()
    assert note.startswith(f"AlgorithmError: out of memory ({type(error).__name__}")
    assert note.endswith("; use a smaller mini_batch_size, smaller pictures or a smaller network, exit code: 1")
