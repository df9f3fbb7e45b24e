"""Makes the home of a platform as an earlier version leaves it, for tests that open it with today's code.

    PYTHON_OF_THAT_VERSION tests/control/homes/make_home.py home-0.1.0.tar.xz

In it: a finished, a failed and a stopped training job, one that was interrupted in mid-run by kill -9 of everything,
a model with its endpoint, some objects, the logs. Its own path is written as @HOME@ in files of text, so that a test
can put it where it likes. Weights of jobs, 1 MB of random numbers each, are left out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from clary.client import gateway

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
ROLE = "arn:aws:iam::000000000000:role/Test"
SHAPE = {"num_layers": "20", "image_shape": "3,28,28", "num_classes": "3", "num_training_samples": "6"}
SHAPE |= {"mini_batch_size": "2", "precision": "fp32"}
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")  # of the environment: jobs write theirs down


def main(archive: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name in KEPT}
    os.environ.clear()
    os.environ.update(clean | {"PATH": "/usr/bin:/bin", "HOME": "/root"})
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        server = gateway.start(home, ["--port", str(port)])
        fill(lambda service: client(service, port), Path(folder))
        kill(server.pid, home)
        relieve(home)
        with tarfile.open(archive, "w:xz") as packed:
            packed.add(home, "home")


def client(service: str, port: int) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **keys)


def fill(client: Callable[[str], Any], folder: Path) -> None:
    conftest = load_conftest()
    s3, sagemaker = client("s3"), client("sagemaker")
    s3.create_bucket(Bucket="bucket")
    for split in ("train", "validation"):
        for colour in ("blue", "green", "red"):
            for number in range(2):
                body = conftest._colour_jpeg(colour, number)
                s3.put_object(Bucket="bucket", Key=f"{split}/{colour}/{number}.jpg", Body=body)
    s3.put_object(Bucket="bucket", Key="notes/read me.txt", Body=b"kept\n")

    s3.upload_file(str(conftest._colour_model(folder)), "bucket", "models/colours/model.tar.gz")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/models/colours/model.tar.gz"}
    sagemaker.create_model(ModelName="colours", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "v", "ModelName": "colours", "InitialInstanceCount": 1, "InstanceType": "ml.m4.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="colours", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="colours", EndpointConfigName="colours")
    until(lambda: sagemaker.describe_endpoint(EndpointName="colours")["EndpointStatus"] == "InService")

    create(sagemaker, "finished", epochs="1")
    create(sagemaker, "failed", epochs="none")
    until(lambda: status(sagemaker, "failed") == "Failed" and status(sagemaker, "finished") == "Completed")
    create(sagemaker, "stopped", epochs="5000")
    until(lambda: "Epoch[0] Train-accuracy" in log_of(client("logs"), "stopped"))
    sagemaker.stop_training_job(TrainingJobName="stopped")
    until(lambda: status(sagemaker, "stopped") == "Stopped")
    create(sagemaker, "interrupted", epochs="12")
    until(lambda: "Epoch[0] Train-accuracy" in log_of(client("logs"), "interrupted"))


def create(sagemaker: Any, name: str, **settings: str) -> None:
    channels = [
        {
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://bucket/{name}/"}},
        }
        for name in ("train", "validation")
    ]
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters=SHAPE | settings,
        InputDataConfig=channels,
        OutputDataConfig={"S3OutputPath": "s3://bucket/output"},
        ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        Tags=[{"Key": "made", "Value": "earlier"}],
    )


def status(sagemaker: Any, name: str) -> str:
    return str(sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])


def log_of(logs: Any, name: str) -> str:
    group = "/aws/sagemaker/TrainingJobs"
    found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    if not found:
        return ""
    events = logs.get_log_events(logGroupName=group, logStreamName=found[0]["logStreamName"], startFromHead=True)
    return "\n".join(event["message"] for event in events["events"])


def kill(gateway: int, home: Path) -> None:
    """The gateway first, so that nobody starts the job again; then its monitor, with which its program dies."""
    os.kill(gateway, signal.SIGKILL)
    os.kill(int((home / "jobs/interrupted/lock").read_text().split()[0]), signal.SIGKILL)
    time.sleep(2)
    assert not (home / "jobs/interrupted/exit.json").exists(), "it was too fast to be interrupted"


def relieve(home: Path) -> None:
    """Leave out what is large or of this machine, and write the home's own path as @HOME@."""
    large = [*home.glob("s3/bucket/output/*/output/model.tar.gz"), *home.glob("jobs/*/opt_ml/model/*.params")]
    for path in (home / "run", home / "trials.json", *large):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in (path for path in home.rglob("*") if path.suffix in (".json", ".log", "")):
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes()
            if str(home).encode() in text and b"\0" not in text:
                path.write_bytes(text.replace(str(home).encode(), b"@HOME@"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def load_conftest() -> Any:
    path = Path(__file__).parents[2] / "conftest.py"
    spec = importlib.util.spec_from_file_location("conftest_of_clary", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(Path(sys.argv[1]))
