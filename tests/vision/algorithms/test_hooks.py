"""Hooks of other distributions hear every job, however it was started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clary.errors import AlgorithmError, UsageError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.hooks import load_hooks
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import run_job
from clary.vision.base.jobdir import JobDir

from . import test_image_classification as classification

LOG = JobLog(echo=None)
EPOCHS, STEPS, VALIDATION_STEPS = 2, 2, 2


@pytest.fixture
def job(tmp_path: Path) -> JobDir:
    return classification.TestImageClassification.make_job(tmp_path / "job")


@pytest.fixture
def installed(listening: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(listening)
    monkeypatch.delitem(sys.modules, "listening", raising=False)
    return listening


def told(job: JobDir) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (job.output / "events.jsonl").read_text().splitlines()]


def test_a_job_started_as_a_program_is_heard(job: JobDir, listening: Path) -> None:
    environment = os.environ | {
        "SAGEMAKER_BASE_DIR": str(job.root),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(listening),
    }
    command = [sys.executable, "-m", "clary.vision.algorithms.run", "image-classification"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    events = told(job)
    start = events[0]
    assert start == {"event": "start", "network": "Classifier", "steps": [STEPS, VALIDATION_STEPS], "first_step": 0}
    assert [event["event"] for event in events[-2:]] == ["end", "close"]
    assert Counter(event["event"] for event in events if event["event"] != "phase") == {
        "start": 1,
        "step": EPOCHS * (STEPS + VALIDATION_STEPS),
        "forward": EPOCHS * (STEPS + VALIDATION_STEPS),
        "loss": EPOCHS * (STEPS + VALIDATION_STEPS),
        "backward": EPOCHS * STEPS,
        "batch": EPOCHS * STEPS,
        "validation batch": EPOCHS * VALIDATION_STEPS,
        "epoch": EPOCHS,
        "end": 1,
        "close": 1,
    }
    assert all(event["gradients"] for event in events if event["event"] == "backward")
    assert {event["phase"] for event in events if event["event"] == "phase"} >= {"data", "forward", "validation"}


def test_a_hook_that_has_nothing_to_do_is_left_out(job: JobDir, installed: Path) -> None:
    assert [type(hook).__name__ for hook in load_hooks(job, LOG)] == ["Listening"]
    values = json.loads((job.config / "hyperparameters.json").read_text()) | {"epochs": "7"}
    (job.config / "hyperparameters.json").write_text(json.dumps(values))
    assert load_hooks(job, LOG) == []


def test_a_hook_that_cannot_be_made_is_named(job: JobDir, installed: Path) -> None:
    (installed / "listening.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(AlgorithmError, match=r"hook `listening` \(listening:make\) .*ModuleNotFoundError.*repair or"):
        run_job(find("image-classification"), job, LOG)
    assert job.failure.read_text().startswith("AlgorithmError: the hook `listening`")


def test_two_hooks_of_one_name_are_refused(job: JobDir, installed: Path, tmp_path: Path) -> None:
    (installed / "listening-1.0.dist-info" / "entry_points.txt").write_text(
        "[clary.hooks]\nlistening = listening:make\n"
    )
    other = installed / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[clary.hooks]\nlistening = other:make\n")
    with pytest.raises(UsageError, match="two hooks are called `listening`"):
        load_hooks(job, LOG)


def test_a_hook_that_raises_ends_the_job_by_name(job: JobDir, installed: Path) -> None:
    text = (installed / "listening.py").read_text()
    (installed / "listening.py").write_text(text.replace('self.tell("epoch", epoch=event.epoch)', "1 / 0"))
    lines: list[str] = []
    with pytest.raises(ZeroDivisionError):
        run_job(find("image-classification"), job, JobLog(echo=lines.append))
    assert lines[-2].endswith("the hook Listening failed in on_epoch")
    assert lines[-1].endswith("Algorithm Error: ZeroDivisionError: division by zero")
    assert job.failure.read_text() == "AlgorithmError: ZeroDivisionError: division by zero, exit code: 1"
    assert told(job)[-1] == {"event": "close"}
