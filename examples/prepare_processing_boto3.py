"""Prepare channels by a processing job of one's own script: boto3.

    python prepare_processing_boto3.py PICTURES [SIZE]

PICTURES is a folder a class; SIZE the shorter side of what comes out, 256 pixels unless said.
"""

import sys
import time
from pathlib import Path

import boto3

pictures = Path(sys.argv[1])
size = sys.argv[2] if len(sys.argv) > 2 else "256"

sagemaker, s3, sts = (boto3.client(name) for name in ("sagemaker", "s3", "sts"))
region, account = s3.meta.region_name, sts.get_caller_identity()["Account"]
bucket, prefix = f"sagemaker-{region}-{account}", f"prepare-boto3/{pictures.resolve().name}"
s3.create_bucket(Bucket=bucket)

s3.upload_file(str(Path(__file__).parent / "processing" / "resize_pictures.py"), bucket, f"{prefix}/code/resize.py")
for path in sorted(pictures.rglob("*.jpg")):
    s3.upload_file(str(path), bucket, f"{prefix}/pictures/{path.relative_to(pictures).as_posix()}")


def given(name: str) -> dict:
    """What lies below PREFIX/NAME, at /opt/ml/processing/input/NAME."""
    source = {"S3Uri": f"s3://{bucket}/{prefix}/{name}", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "S3Input": {**source, "LocalPath": f"/opt/ml/processing/input/{name}"}}


def wanted(name: str) -> dict:
    """What lies at /opt/ml/processing/output/NAME, below PREFIX/NAME."""
    target = {"S3Uri": f"s3://{bucket}/{prefix}/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "S3Output": {**target, "LocalPath": f"/opt/ml/processing/output/{name}"}}


job = f"resize-pictures-{int(time.time())}"
channels = ("train", "validation", "train_lst", "validation_lst")
sagemaker.create_processing_job(
    ProcessingJobName=job,
    RoleArn=f"arn:aws:iam::{account}:role/SageMakerRole",
    AppSpecification={
        "ImageUri": f"763104351884.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.1-cpu-py310",
        "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/resize.py"],
        "ContainerArguments": ["--size", size, "--validation", "0.25"],
    },
    ProcessingInputs=[given("pictures"), given("code")],
    ProcessingOutputConfig={"Outputs": [wanted(name) for name in channels]},
    ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}},
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
)
sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName=job)

described = sagemaker.describe_processing_job(ProcessingJobName=job)
print(f"{described['ProcessingJobStatus']}: {described['ExitMessage']}")
for name in channels:
    stored = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{name}/")
    print(f"{name}: {stored['KeyCount']} objects in s3://{bucket}/{prefix}/{name}")
