"""An algorithm of another distribution works end to end: it is installed, and nothing in Clary knows of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clary
from clary.errors import CustomerError, HyperparameterError, InterruptedRun
from clary.vision.algorithms.catalog import SPECS, find
from clary.vision.base.events import BatchEnd, Hook

NAME = "colour-means"
SOURCE = Path(__file__).parents[2] / "elsewhere" / "colour_means"
ROLE = "arn:aws:iam::000000000000:role/any"


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as pip leaves it: the package, and what its metadata offers."""
    root = tmp_path_factory.mktemp("site-packages")
    shutil.copytree(SOURCE, root / "colour_means", ignore=shutil.ignore_patterns("__pycache__"))
    info = root / "colour_means-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colour-means\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[clary.algorithms]\n{NAME} = colour_means.spec:SPEC\n")
    return root


@pytest.fixture
def installed(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process."""
    monkeypatch.syspath_prepend(distribution)
    monkeypatch.setattr(SPECS, "_members", None)


@pytest.fixture
def environment(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """In the processes that a test starts."""
    earlier = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(distribution), *([earlier] if earlier else [])]))
    return dict(os.environ)


@pytest.fixture
def images(tmp_path: Path, colours: Callable[..., Path]) -> Path:
    return colours(tmp_path / "colours", {"train": 5, "validation": 2})


class StopAt(Hook):
    def on_batch(self, event: BatchEnd) -> None:
        if event.global_step == 4:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("installed", "one_thread")
class TestInThisProcess:
    def test_it_is_one_of_the_catalog(self) -> None:
        assert find(NAME).train == "colour_means.train:train"
        assert {"image-classification", NAME} <= set(SPECS.names())

    def test_it_trains_and_predicts(self, images: Path, tmp_path: Path) -> None:
        run = clary.train(NAME, images, out=tmp_path / "run")
        assert run.metrics["validation:accuracy"] == 1
        assert run.config["network"] == "mean colour"
        assert "epoch 4: accuracy 1.000000" in run.log
        with clary.load(run.model) as model:
            assert model.manifest.algorithm == NAME
            assert [found.label for found in model.predict([images / "train" / "red" / "0.jpg"])] == ["red"]
        assert clary.evaluate(run.model, images).metrics["accuracy"] == 1

    def test_it_goes_on_where_it_was_stopped(self, images: Path, tmp_path: Path) -> None:
        whole = clary.train(NAME, images, out=tmp_path / "whole")
        with pytest.raises(InterruptedRun):
            clary.train(NAME, images, out=tmp_path / "run", hooks=[StopAt()])
        resumed = clary.train(NAME, images, out=tmp_path / "run", resume=True)
        losses = [[epoch["validation"]["loss"] for epoch in run.history] for run in (whole, resumed)]
        assert losses[0] == losses[1]

    def test_its_own_settings_and_channels_are_checked(self, images: Path, tmp_path: Path) -> None:
        with pytest.raises(HyperparameterError, match="The value '7' is not valid for the 'side' hyperparameter"):
            clary.train(NAME, images, out=tmp_path / "run", side=7)
        with pytest.raises(HyperparameterError, match="'momentum' was unexpected"):
            clary.train(NAME, images, out=tmp_path / "run", momentum=0.9)
        with pytest.raises(CustomerError, match="The train and validation channels are missing"):
            find(NAME).check_channels({})


def clary_command(environment: dict[str, str], *words: object) -> str:
    command = [sys.executable, "-m", "clary", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_it_is_trained_and_served_from_the_command_line(
    environment: dict[str, str], images: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    told = clary_command(environment, "train", NAME, images, "--out", run, "--set", "learning_rate=2", "--epochs", "3")
    assert re.search(r"validation accuracy 1\.0000 \(epoch \d of 3\)", told)
    assert "red" in clary_command(environment, "predict", run, images / "train" / "red" / "0.jpg")
    assert (run / "report.html").stat().st_size > 10_000
    serving = [sys.executable, "-m", "clary", "serve", str(run), "--port", "0"]
    with subprocess.Popen(serving, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, "")
            url = next(found[0] for line in lines if (found := re.search(r"http://[0-9.:]+", line)))
            data = (images / "train" / "blue" / "0.jpg").read_bytes()
            request = urllib.request.Request(f"{url}/invocations", data, {"Content-Type": "image/jpeg"})
            with urllib.request.urlopen(request) as answer:
                scores = json.load(answer)
        finally:
            server.terminate()
    assert scores.index(max(scores)) == 0  # blue, green, red


@pytest.mark.slow
def test_it_is_trained_and_served_by_the_platform(
    environment: dict[str, str], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    from clary.client import environment as variables
    from clary.client import gateway

    home = tmp_path / "home"
    gateway.start(home, ["--port", "0"])
    try:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in variables.changes(gateway.running(home), {}).values.items():
            monkeypatch.setenv(name, value)
        session = boto3.Session()
        served(session, trained(session, images), images)
    finally:
        gateway.stop(home)


def trained(session: Any, images: Path) -> str:
    """The model of a job; its channels are trees of class folders."""
    s3, sagemaker = session.client("s3"), session.client("sagemaker")
    s3.create_bucket(Bucket="colours")
    for path in images.rglob("*.jpg"):
        s3.upload_file(str(path), "colours", path.relative_to(images).as_posix())
    request: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": f"any/{NAME}:1", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"num_classes": "3"},
        "OutputDataConfig": {"S3OutputPath": "s3://colours/output"},
        "ResourceConfig": {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }
    channels = [
        {
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://colours/{name}/"}},
        }
        for name in ("train", "validation")
    ]
    with pytest.raises(sagemaker.exceptions.ClientError, match="The validation channel is missing"):
        sagemaker.create_training_job(TrainingJobName="colours", InputDataConfig=channels[:1], **request)
    sagemaker.create_training_job(TrainingJobName="colours", InputDataConfig=channels, **request)

    def ended() -> Any:
        job = sagemaker.describe_training_job(TrainingJobName="colours")
        return job if job["TrainingJobStatus"] in ("Completed", "Failed") else None

    job = until(ended)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    assert {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]} == {
        "validation:accuracy": 1.0
    }
    return str(job["ModelArtifacts"]["S3ModelArtifacts"])


def served(session: Any, model: str, images: Path) -> None:
    sagemaker = session.client("sagemaker")
    container = {"Image": f"any/{NAME}:1", "ModelDataUrl": model}
    sagemaker.create_model(ModelName="colours", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": "colours", "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="colours", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="colours", EndpointConfigName="colours")

    def status() -> str:
        found: str = sagemaker.describe_endpoint(EndpointName="colours")["EndpointStatus"]
        return "" if found == "Creating" else found

    assert until(status) == "InService"
    image = (images / "train" / "green" / "0.jpg").read_bytes()
    runtime = session.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="colours", ContentType="image/jpeg", Body=image)
    scores = json.load(answer["Body"])
    assert scores.index(max(scores)) == 1


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found
