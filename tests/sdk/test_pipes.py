"""boto3 against the whole platform: jobs in Pipe mode, from records and from augmented manifests."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from botocore.exceptions import WaiterError

from clary.vision.base.recordio import ImageRecord, frame, pack

pytestmark = pytest.mark.slow

IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
BUCKET = "of-pipes"
COLOURS = ("blue", "green", "red")
SETTINGS = {"num_layers": "20", "image_shape": "3,32,32", "num_classes": "3", "num_training_samples": "12"}
SETTINGS |= {"mini_batch_size": "4", "epochs": "1"}
KIND = {"ContentType": "application/x-recordio"}


@pytest.fixture(scope="module")
def jobs(client, colours, tmp_path_factory):
    """Jobs that differ in their channels, created together; each by its name."""
    root = colours(tmp_path_factory.mktemp("pipes"), {"train": 4, "validation": 2})
    s3 = client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for name in ("train", "validation"):
        for key, data in objects_of(root, name).items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    s3.put_object(Bucket=BUCKET, Key="lost.manifest", Body=line_of("train/no-such.jpg", 0))
    manifest = {"RecordWrapperType": "RecordIO", "ShuffleConfig": {"Seed": 7}}
    create(client, "pipe-manifest", lambda name: augmented(name, f"{name}.manifest", **manifest))
    create(client, "pipe-records", lambda name: channel(name, "S3Prefix", f"{name}.rec"))
    create(client, "pipe-lost", lambda name: augmented(name, "lost.manifest", **manifest))


def objects_of(root: Path, split: str) -> dict[str, bytes]:
    """The pictures of a split, its records and its manifest."""
    found = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted((root / split).rglob("*.jpg"))}
    classes = [COLOURS.index(key.split("/")[1]) for key in found]
    records = [pack(ImageRecord((float(c),), 0, data)) for c, data in zip(classes, found.values(), strict=True)]
    lines = [line_of(key, c) for c, key in zip(classes, found, strict=True)]
    return found | {f"{split}.rec": b"".join(map(frame, records)), f"{split}.manifest": b"".join(lines)}


def line_of(key: str, label: int) -> bytes:
    line = {"other": 1, "class": label, "source-ref": f"s3://{BUCKET}/{key}", "class-metadata": {"confidence": 1}}
    return json.dumps(line).encode() + b"\n"


def channel(name, kind, key, **members):
    source = {"S3DataType": kind, "S3Uri": f"s3://{BUCKET}/{key}", "S3DataDistributionType": "ShardedByS3Key"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **KIND, **members}


def augmented(name, key, **members):
    made = channel(name, "AugmentedManifestFile", key, **members)
    made["DataSource"]["S3DataSource"]["AttributeNames"] = ["source-ref", "class"]
    return made


def create(client, name, make):
    client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "Pipe"},
        RoleArn="arn:aws:iam::000000000000:role/any",
        InputDataConfig=[make("train"), make("validation")],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/output"},
        ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        HyperParameters=SETTINGS,
        Environment={"OMP_NUM_THREADS": "1"},
    )


def ended(client, name):
    """The description of a job that has ended."""
    waiter = client("sagemaker").get_waiter("training_job_completed_or_stopped")
    with suppress(WaiterError):  # raised for a job that failed
        waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 240})
    return client("sagemaker").describe_training_job(TrainingJobName=name)


@pytest.mark.parametrize("name", ["pipe-manifest", "pipe-records"])
def test_a_job_learns_from_its_pipes(client, server, jobs, name):
    found = ended(client, name)
    assert found["TrainingJobStatus"] == "Completed", found.get("FailureReason")
    folder = Path(server.home) / "jobs" / name
    assert not (folder / "opt_ml/input/data").exists()
    assert not (folder / "pipes").exists()
    streams = client("logs").describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/"
    )["logStreams"]
    events = client("logs").get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName=streams[0]["logStreamName"], startFromHead=True
    )["events"]
    said = "The channel 'train' is in pipe input mode under /opt/ml/input/data/train."
    assert any(event["message"].endswith(said) for event in events)


def test_a_job_whose_picture_is_lost_names_its_line(client, jobs):
    found = ended(client, "pipe-lost")
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith(
        f"ClientError: s3://{BUCKET}/lost.manifest:1: names s3://{BUCKET}/train/no-such.jpg, an object of the train"
    )
