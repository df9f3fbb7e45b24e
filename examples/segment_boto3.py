"""Train SageMaker's own semantic segmentation, deploy it and ask it: boto3, with NumPy and Pillow to look at masks.

    python segment_boto3.py FOLDER [NAME=VALUE ...]

    FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.png ...          a mask for each picture: class ids,
    FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.png ...     255 where there is none

NAME=VALUE are further hyperparameters.
"""

import io
import sys
import time
import uuid
from pathlib import Path

import boto3
import numpy as np
from botocore.exceptions import WaiterError
from PIL import Image

REGISTRIES = {"us-east-1": "811284229777", "us-west-2": "433757028032", "eu-west-1": "685385470294"}

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])


def masks(split):
    """Class ids by the name of the picture."""
    paths = sorted((folder / f"{split}_annotation").glob("*.png"))
    return {path.stem: np.array(Image.open(path)) for path in paths}


sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
s3 = boto3.client("s3")
region = sagemaker.meta.region_name

# Who we are: arn:aws:sts::<account>:assumed-role/<role>/<session>
identity = boto3.client("sts").get_caller_identity()
role = boto3.client("iam").get_role(RoleName=identity["Arn"].split("/")[1])["Role"]["Arn"]
bucket = f"segment-{region}-{identity['Account']}"
image = f"{REGISTRIES[region]}.dkr.ecr.{region}.amazonaws.com/semantic-segmentation:1"
name = f"segment-boto3-{time.strftime('%Y-%m-%d-%H-%M-%S')}-{uuid.uuid4().hex[:6]}"
print(f"role {role}, bucket {bucket}")

# The four channels.
s3.create_bucket(Bucket=bucket)
channels = []
for channel in ("train", "validation", "train_annotation", "validation_annotation"):
    for path in sorted((folder / channel).rglob("*.*")):
        s3.upload_file(str(path), bucket, f"{name}/{path.relative_to(folder).as_posix()}")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/{channel}/"}
    source["S3DataDistributionType"] = "FullyReplicated"
    kind = "image/png" if channel.endswith("annotation") else "image/jpeg"
    channels.append({"ChannelName": channel, "ContentType": kind, "DataSource": {"S3DataSource": source}})

training, validation = masks("train"), masks("validation")
classes = 1 + max(int(mask[mask != 255].max(initial=0)) for mask in training.values())

sagemaker.create_training_job(
    TrainingJobName=name,
    AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
    RoleArn=role,
    InputDataConfig=channels,
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
    ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
    HyperParameters={
        "backbone": "resnet-50",
        "algorithm": "fcn",
        "use_pretrained_model": "True",
        "crop_size": "240",
        "num_classes": str(classes),
        "epochs": "10",
        "learning_rate": "0.0001",
        "optimizer": "rmsprop",
        "lr_scheduler": "poly",
        "mini_batch_size": "8",
        "validation_mini_batch_size": "8",
        "num_training_samples": str(len(training)),
        **given,
    },
)
waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
try:
    waiter.wait(TrainingJobName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 720})
except WaiterError:
    # Says only that the job failed; why is in its description.
    sys.exit(f"{name} failed: {sagemaker.describe_training_job(TrainingJobName=name)['FailureReason']}")
described = sagemaker.describe_training_job(TrainingJobName=name)
model_data = described["ModelArtifacts"]["S3ModelArtifacts"]
for metric in described["FinalMetricDataList"]:
    print(f"{metric['MetricName']} {metric['Value']:.4f}")
print(f"model {model_data}")

variant = {"VariantName": "AllTraffic", "ModelName": name, "InstanceType": "ml.m4.xlarge", "InitialInstanceCount": 1}
sagemaker.create_model(
    ModelName=name, PrimaryContainer={"Image": image, "ModelDataUrl": model_data}, ExecutionRoleArn=role
)
sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
try:
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": 5, "MaxAttempts": 360})
    images = {path.stem: path.read_bytes() for path in (folder / "validation").iterdir()}
    counts = np.zeros((classes, classes), int)  # pixels by true and by found class
    for stem, mask in validation.items():
        answer = runtime.invoke_endpoint(
            EndpointName=name, ContentType="image/jpeg", Accept="image/png", Body=images[stem]
        )
        found = np.array(Image.open(io.BytesIO(answer["Body"].read())))
        known = (mask != 255) & (found < classes)
        np.add.at(counts, (mask[known], found[known]), 1)
    shared, covered = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = shared / np.maximum(covered, 1)
    print(f"mean IoU {iou.mean():.4f} over {len(validation)} pictures; of the classes {iou.round(4).tolist()}")
except WaiterError:
    sys.exit(f"{name} failed: {sagemaker.describe_endpoint(EndpointName=name)['FailureReason']}")
finally:
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
