"""Processing jobs for tests: requests as SDK v2 sends them, and jobs of them without a gateway."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from clary.control.jobs.job import Job
from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.logs.streams import LogStore
from clary.control.store.records import Record

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


def given(name: str, uri: str, at: str, **source: Any) -> dict[str, Any]:
    """An input as SDK v2 sends it."""
    place = {"S3Uri": uri, "LocalPath": at, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    usual = {"S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}
    return {"InputName": name, "AppManaged": False, "S3Input": {**place, **usual, **source}}


def wanted(name: str, uri: str, at: str, mode: str = "EndOfJob") -> dict[str, Any]:
    return {"OutputName": name, "AppManaged": False, "S3Output": {"S3Uri": uri, "LocalPath": at, "S3UploadMode": mode}}


def cluster(count: int = 1, kind: str = "ml.m5.xlarge") -> dict[str, Any]:
    return {"ClusterConfig": {"InstanceCount": count, "InstanceType": kind, "VolumeSizeInGB": 30}}


@pytest.fixture
def make_request() -> Callable[..., dict[str, Any]]:
    """``make_request("job", outputs=[...], **members)``: runs code/prep.py on data/, which leaves the folder train."""

    def make(name: str = "job", outputs: Any = None, **members: Any) -> dict[str, Any]:
        if outputs is None:
            outputs = [wanted("train", "s3://bucket/out/train", "/opt/ml/processing/train")]
        return {
            "ProcessingJobName": name,
            "RoleArn": "arn:aws:iam::000000000000:role/ClaryRole",
            "ProcessingResources": cluster(),
            "AppSpecification": {
                "ImageUri": SKLEARN,
                "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/prep.py"],
                "ContainerArguments": ["--ratio", "0.2"],
            },
            "ProcessingInputs": [
                given("input-1", "s3://bucket/data", "/opt/ml/processing/input"),
                given("code", "s3://bucket/code/prep.py", "/opt/ml/processing/input/code"),
            ],
            "ProcessingOutputConfig": {"Outputs": outputs},
        } | members

    return make


@pytest.fixture
def stored(upload: Callable[..., None]) -> None:
    """The objects of ``make_request``."""
    upload({"code/prep.py": b"print(1)\n", "data/a.csv": b"a", "data/b/c.csv": b"c"})


@pytest.fixture
def make_job(settings: Any, objects: Any, make_request: Any, stored: None) -> Callable[..., Job]:
    """``make_job(isolated=True, **members)``: a job that was created, and whose hosts have folders."""

    def make(*, isolated: bool = True, **members: Any) -> Job:
        request = make_request(**members)
        context: Any = SimpleNamespace(
            settings=settings,
            objects=objects,
            logs=LogStore(settings.logs_root),
            launcher=SimpleNamespace(isolated=lambda: isolated),
        )
        arn = KIND.arn(settings, request["ProcessingJobName"], "eu-west-1")
        body = KIND.new_body(request, context, arn=arn, region="eu-west-1")
        created = body["CreationTime"]
        record = Record(KIND.name, request["ProcessingJobName"], arn, "InProgress", created, created, 1, body)
        job = Job(record, KIND.log_group, context)
        for host in KIND.hosts(body):
            job.host_folder(host).mkdir(parents=True)
        return job

    return make


@pytest.fixture
def lines() -> Callable[..., list[str]]:
    """``lines(job, "algo-1")``: what the log of a host says."""

    def read(job: Job, host: str = "algo-1") -> list[str]:
        if not job.context.logs.has_stream(job.group, job.stream(host)):
            return []
        return [event.message for event in job.context.logs.events(job.group, job.stream(host))]

    return read
