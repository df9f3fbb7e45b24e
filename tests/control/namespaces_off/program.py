"""What the test of a machine without namespaces runs in its one process: a platform, its status, two scripts.

python program.py HOME
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from clary.client import gateway
from clary.control.jobs.launchers.local import namespace
from clary.toolkit import opt_ml

# The paths as scripts have them.
SCRIPT = """
import os, time
began = time.time()
with open("/opt/ml/input/config/hyperparameters.json") as file:
    text = file.read()
with open("/opt/ml/model/mine", "w") as file:
    file.write(os.environ["TRAINING_JOB_NAME"])
with open("/opt/ml/model/mine") as file:
    print("mine", file.read(), "from", began, "to", time.time(), flush=True)
"""
PATIENCE = 60.0  # seconds
ROLE = "arn:aws:iam::000000000000:role/any"


def main() -> None:
    home = Path(sys.argv[1])
    print("available", namespace.available())
    server = gateway.start(home, ["--port", "0", "--no-warm"])
    try:
        clary = [sys.executable, "-m", "clary"]
        told = subprocess.run([*clary, "status", "--json", "--home", home], capture_output=True, text=True, check=True)
        print("status", json.loads(told.stdout)["opt_ml"])
        run_scripts(server.url, home.with_name("another"))
    finally:
        gateway.stop(home)


def run_scripts(url: str, another: Path) -> None:
    session = boto3.session.Session("x", "y", region_name="eu-west-1")
    sagemaker, s3, logs = (session.client(name, endpoint_url=url) for name in ("sagemaker", "s3", "logs"))
    s3.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="bucket", Key="sourcedir.tar.gz", Body=archive())
    names = ("first", "second")
    # Of another home, say: here one job after the other would run on a small machine.
    another.mkdir()
    with opt_ml.linked(another, opt_ml.OPT_ML, print) if opt_ml.can_link() else nullcontext():
        for name in names:
            create(sagemaker, name)
        end = time.monotonic() + PATIENCE
        while not stands(sagemaker, logs, names[0]) and time.monotonic() < end:
            time.sleep(0.05)
        print("another", time.time())
    for name in names:
        with suppress(WaiterError):  # of a failed job: what it says is looked at below
            sagemaker.get_waiter("training_job_completed_or_stopped").wait(
                TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 100}
            )
        found = sagemaker.describe_training_job(TrainingJobName=name)
        print(name, found["TrainingJobStatus"], found.get("FailureReason", ""))
        for line in log(logs, name):
            print(f"{name}: {line}")


def stands(sagemaker: Any, logs: Any, name: str) -> bool:
    """Whether a job has failed, or waits for /opt/ml."""
    failed = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "Failed"
    return failed or any("Waiting for" in line for line in log(logs, name))


def create(sagemaker: Any, name: str) -> None:
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:3.10"
    given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": "s3://bucket/sourcedir.tar.gz"}
    sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        HyperParameters={key: json.dumps(value) for key, value in given.items()},
        OutputDataConfig={"S3OutputPath": "s3://bucket/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 300},
    )


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(SCRIPT)
        tar.addfile(info, io.BytesIO(SCRIPT.encode()))
    return packed.getvalue()


def log(logs: Any, job: str) -> list[str]:
    where = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    with suppress(ClientError):
        for stream in logs.describe_log_streams(logStreamNamePrefix=f"{job}/", **where)["logStreams"]:
            events = logs.get_log_events(logStreamName=stream["logStreamName"], startFromHead=True, **where)["events"]
            return [event["message"] for event in events]
    return []


if __name__ == "__main__":
    main()
