"""Prepared, run as any program is, collected: what the algorithm finds and what becomes of what it leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile

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
def prepared(settings, objects, colours, make_body, make_channel, tmp_path):
    """``prepared(channels=("train", "validation"), **hyperparameters)``: request's body, command, environment."""
    colours(objects.root / "bucket", {"train": 4, "validation": 2})

    def prepared(names: tuple[str, ...] = ("train", "validation"), **changed: str):
        given = [make_channel(n, f"s3://bucket/{n}", ContentType="application/x-image") for n in names]
        body = make_body(
            InputDataConfig=given,
            HyperParameters=SETTINGS | changed,
            Environment={"OMP_NUM_THREADS": "1"},
        )
        stream = tmp_path / "stream"
        log = LogWriter(stream)
        launch = prepare(body, settings=settings, objects=objects, log=log, stream=stream, isolated=False)
        log.close()
        assert isinstance(launch.program, Algorithm)
        return (
            body,
            [sys.executable, "-m", "clary.vision.algorithms.run", launch.program.name],
            program_variables(launch),
        )

    return prepared


@pytest.fixture
def run(prepared):
    """``run(channels=("train", "validation"))``: the request's body and the ended process."""

    def run(names: tuple[str, ...] = ("train", "validation")):
        body, command, environment = prepared(names)
        return body, subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=300)

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


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 0])
def test_a_stopped_job_leaves_the_model_of_its_best_epoch(prepared, settings, objects, epoch):
    """As StopTrainingJob and MaxRuntimeInSeconds stop it; before the first epoch ended there is none."""
    body, command, environment = prepared(epochs="500")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        lines = []
        wanted = "Saved checkpoint to" if epoch else "Setting number of threads"
        for line in job.stdout:
            lines.append(line)
            if wanted in line:
                job.send_signal(signal.SIGTERM)
                break
        lines += job.stdout
    assert job.returncode == 130, "".join(lines)
    made = collect(body, settings=settings, objects=objects)
    archive = objects.root / "bucket/out/job/output/model.tar.gz"
    if not epoch:
        assert "stopped before the first step" in lines[-1].lower()
        with tarfile.open(archive) as tar:
            assert tar.getnames() == []
        return
    assert made.model == "s3://bucket/out/job/output/model.tar.gz"
    with open_model(archive) as model:
        assert sorted(path.name for path in model.folder.iterdir()) == [
            "manifest.json",
            "model.onnx",
            "model.safetensors",
        ]
        assert "validation:accuracy" in model.manifest.metrics
