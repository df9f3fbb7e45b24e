"""Prepared, run as any program is, collected: what the algorithm finds and what becomes of what it leaves."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clary.control.jobs.environment import program_variables
from clary.control.jobs.kinds.training.outputs import collect
from clary.control.jobs.kinds.training.preparation import prepare
from clary.control.jobs.launch import Algorithm
from clary.control.jobs.reasons import of_exit, read_failure
from clary.control.logs.streams import LogWriter
from clary.vision.artifact.archive import open_model

SETTINGS = {"num_layers": "20", "image_shape": "3,32,32", "num_classes": "3", "num_training_samples": "12"}
SETTINGS |= {"mini_batch_size": "4", "epochs": "1"}


@pytest.fixture
def run(settings, objects, colours, make_body, make_channel, tmp_path):
    """``run(channels=("train", "validation"))``: the request's body and the ended process."""
    colours(objects.root / "bucket", {"train": 4, "validation": 2})

    def run(names: tuple[str, ...] = ("train", "validation")):
        given = [make_channel(n, f"s3://bucket/{n}", ContentType="application/x-image") for n in names]
        body = make_body(
            InputDataConfig=given,
            HyperParameters=SETTINGS,
            Environment={"OMP_NUM_THREADS": "1"},
        )
        stream = tmp_path / "stream"
        log = LogWriter(stream)
        launch = prepare(body, settings=settings, objects=objects, log=log, stream=stream, isolated=False)
        log.close()
        assert isinstance(launch.program, Algorithm)
        command = [sys.executable, "-m", "clary.vision.algorithms.run", launch.program.name]
        return body, subprocess.run(command, env=program_variables(launch), capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.slow
def test_a_job_of_image_classification(run, settings, objects):
    body, ended = run()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    made = collect(body, settings=settings, objects=objects)
    assert made.model == "s3://bucket/out/job/output/model.tar.gz"
    with open_model(objects.root / "bucket/out/job/output/model.tar.gz") as model:
        assert model.manifest.labels == ("blue", "green", "red")


@pytest.mark.slow
def test_a_job_that_fails_says_why(run, settings):
    body, ended = run(names=("train",))
    assert ended.returncode == 2
    note = read_failure(settings.jobs_root / body["TrainingJobName"], "opt_ml/output/failure")
    reason = of_exit(ended.returncode, failure=note)
    assert reason.startswith("ClientError: The validation channel is missing")
    assert reason.count("exit code") == 1
