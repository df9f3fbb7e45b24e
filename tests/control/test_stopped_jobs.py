"""Jobs that are stopped through the API leave models that deploy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from clary.client import gateway

ROLE = "arn:aws:iam::000000000000:role/any"
IMAGE = "image-classification:1"
# More epochs than there is time for.
SETTINGS = {"num_layers": "20", "image_shape": "3,32,32", "num_classes": "3", "num_training_samples": "12"}
SETTINGS |= {"mini_batch_size": "4", "epochs": "100000"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """``client(service)`` of boto3's, of a platform that runs for these tests."""
    home = tmp_path_factory.mktemp("stopped") / "home"
    url = gateway.start(home, ["--port", "0"]).url
    known = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1", "endpoint_url": url}
    yield lambda service: boto3.client(service, **known)
    # Jobs outlive the platform: one that a failed test left would train for minutes beside the others.
    sagemaker = boto3.client("sagemaker", **known)
    for job in sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]:
        sagemaker.stop_training_job(TrainingJobName=job["TrainingJobName"])
    until(lambda: not sagemaker.list_training_jobs(StatusEquals="Stopping")["TrainingJobSummaries"])
    gateway.stop(home)


@pytest.fixture(scope="module")
def images(client: Callable[[str], Any], tmp_path_factory: pytest.TempPathFactory, colours: Any) -> Path:
    """Class folders, in the bucket ``colours`` as well."""
    folder: Path = colours(tmp_path_factory.mktemp("images"), {"train": 4, "validation": 2})
    s3 = client("s3")
    s3.create_bucket(Bucket="colours")
    for path in folder.rglob("*.jpg"):
        s3.upload_file(str(path), "colours", path.relative_to(folder).as_posix())
    return folder


def create(sagemaker: Any, name: str, seconds: int) -> None:
    channels = [
        {
            "ChannelName": channel,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://colours/{channel}/"}},
        }
        for channel in ("train", "validation")
    ]
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        HyperParameters=SETTINGS,
        InputDataConfig=channels,
        OutputDataConfig={"S3OutputPath": "s3://colours/output"},
        ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": seconds},
    )


def stopped_after_an_epoch(client: Callable[[str], Any], name: str) -> None:
    create(client("sagemaker"), name, 600)
    logs = client("logs")

    def epoch() -> bool:
        group = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{name}/"}
        try:
            found = logs.filter_log_events(**group)["events"]
        except logs.exceptions.ResourceNotFoundException:  # of a new platform, until its first job has begun
            return False
        return any("Saved checkpoint to" in event["message"] for event in found)

    until(epoch)
    client("sagemaker").stop_training_job(TrainingJobName=name)


def at_its_time_limit(client: Callable[[str], Any], name: str) -> None:
    # Of a platform that is warm the first epoch has ended after one.
    create(client("sagemaker"), name, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "secondary"), [(stopped_after_an_epoch, "Stopped"), (at_its_time_limit, "MaxRuntimeExceeded")]
)
def test_the_model_of_a_stopped_job_deploys(
    client: Callable[[str], Any], images: Path, end: Callable[[Callable[[str], Any], str], None], secondary: str
) -> None:
    sagemaker, name = client("sagemaker"), secondary.lower()
    end(client, name)
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "InProgress")
    until(lambda: sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] != "Stopping")
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", secondary), job.get("FailureReason")

    container = {"Image": IMAGE, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "A", "ModelName": name, "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    until(lambda: sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] != "Creating")
    found = sagemaker.describe_endpoint(EndpointName=name)
    assert found["EndpointStatus"] == "InService", found.get("FailureReason")
    image = (images / "train" / "green" / "0.jpg").read_bytes()
    answer = client("sagemaker-runtime").invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Body=image)
    assert len(json.load(answer["Body"])) == 3


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
