"""Homes that earlier versions left are opened by today's code: nothing in them is lost, and what ran goes on.

How they were made: tests/control/homes/make_home.py.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from clary.client import gateway

HOMES = Path(__file__).parent / "homes"
GROUP = "/aws/sagemaker/TrainingJobs"


class OldHome:
    """A home in ``folder``, and a gateway of today on it."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.path = folder / "home"
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        for path in self.path.rglob("*"):
            if path.is_file() and b"@HOME@" in (text := path.read_bytes()):
                path.write_bytes(text.replace(b"@HOME@", str(self.path).encode()))
        self.url = gateway.start(self.path, ["--port", "0"]).url

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        return boto3.client(service, endpoint_url=self.url, region_name="us-east-1", **keys)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.fixture(params=sorted(path.name for path in HOMES.glob("home-*.tar.xz")))
def home(request, tmp_path):
    found = OldHome(HOMES / request.param, tmp_path)
    yield found
    gateway.stop(found.path)


@pytest.mark.slow
def test_a_home_of_an_earlier_version(home, colour_jpeg):
    """Described, listed, logs read, the interrupted job run to its end, the endpoint served, objects read, deleted."""
    sagemaker, logs, s3 = home.client("sagemaker"), home.client("logs"), home.client("s3")

    def job(name: str) -> dict[str, Any]:
        found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return found

    listed = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert [summary["TrainingJobName"] for summary in listed] == ["finished", "failed", "stopped", "interrupted"]
    finished, failed, stopped = job("finished"), job("failed"), job("stopped")
    assert finished["TrainingJobStatus"] == "Completed"
    assert finished["ModelArtifacts"]["S3ModelArtifacts"] == "s3://bucket/output/finished/output/model.tar.gz"
    assert {metric["MetricName"] for metric in finished["FinalMetricDataList"]} >= {"train:accuracy"}
    assert failed["TrainingJobStatus"] == "Failed"
    assert failed["FailureReason"].startswith("ClientError: The value 'none' is not valid for the 'epochs'")
    assert [stopped["TrainingJobStatus"], stopped["SecondaryStatus"]] == ["Stopped", "Stopped"]
    tags = sagemaker.list_tags(ResourceArn=finished["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "made", "Value": "earlier"}]

    for name, word in (("finished", "Epoch[0] Train-accuracy"), ("failed", "Customer Error"), ("stopped", "Epoch[0]")):
        (stream,) = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")["logStreams"]
        assert stream["logStreamName"].startswith(f"{name}/algo-1-")
        events = logs.get_log_events(logGroupName=GROUP, logStreamName=stream["logStreamName"], startFromHead=True)
        assert any(word in event["message"] for event in events["events"])

    until(lambda: job("interrupted")["TrainingJobStatus"] not in ("InProgress", "Stopping"))
    interrupted = job("interrupted")
    assert interrupted["TrainingJobStatus"] == "Completed", interrupted.get("FailureReason")
    stages = [change["Status"] for change in interrupted["SecondaryStatusTransitions"]]
    assert stages == [
        *("Starting", "Downloading", "Training", "Interrupted", "Restarting", "Training", "Uploading", "Completed")
    ]
    (stream,) = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="interrupted/")["logStreams"]
    s3.head_object(Bucket="bucket", Key="output/interrupted/output/model.tar.gz")

    until(lambda: sagemaker.describe_endpoint(EndpointName="colours")["EndpointStatus"] == "InService")
    runtime = home.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="colours", ContentType="image/jpeg", Body=colour_jpeg("red"))
    assert answer["Body"].read().startswith(b"[")

    assert s3.get_object(Bucket="bucket", Key="notes/read me.txt")["Body"].read() == b"kept\n"

    for name in ("finished", "failed", "stopped", "interrupted"):
        sagemaker.delete_training_job(TrainingJobName=name)
        assert not (home.path / "jobs" / name).exists()
        with pytest.raises(ClientError, match="not found"):
            job(name)
    sagemaker.delete_endpoint(EndpointName="colours")
