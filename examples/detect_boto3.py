"""Train SageMaker's own object detection on RecordIO, deploy it and ask it: boto3 alone.

    python detect_boto3.py FOLDER [NAME=VALUE ...]

    FOLDER/train.rec
    FOLDER/validation.rec

Records are as im2rec packs them with --pack-label. NAME=VALUE are further hyperparameters. A picture counts as right
when the best box of the answer and a true one of its class have an intersection over union above 0.5.
"""

import json
import struct
import sys
import time
import uuid
from pathlib import Path

import boto3
from botocore.exceptions import WaiterError

REGISTRIES = {"us-east-1": "811284229777", "us-west-2": "433757028032", "eu-west-1": "685385470294"}
MAGIC = 0xCED7230A  # begins every part of a record

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])


def records(path):
    """The records of a RecordIO file. One that holds the magic number lies there in parts, split where it was."""
    data, at, parts = path.read_bytes(), 0, []
    while at < len(data):
        magic, word = struct.unpack_from("<II", data, at)
        if magic != MAGIC:
            raise ValueError(f"{path} has no record at byte {at}")
        kind, length = word >> 29, word & (1 << 29) - 1
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + (length + 3) // 4 * 4
        if kind in (0, 3):  # a whole record, or the last part of one
            yield struct.pack("<I", MAGIC).join(parts)
            parts = []


def objects_of(record):
    """The picture of a record, and its objects: class, xmin, ymin, xmax, ymax."""
    (count,) = struct.unpack_from("<I", record)
    labels = struct.unpack_from(f"<{count}f", record, 24)
    header, width = int(labels[0]), int(labels[1])
    return record[24 + 4 * count :], [labels[at : at + 5] for at in range(header, count, width)]


def overlap(one, other):
    """Intersection over union of two boxes of xmin, ymin, xmax, ymax."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    area, other_area = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area + other_area - shared)


sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
s3 = boto3.client("s3")
region = sagemaker.meta.region_name

# Who we are: arn:aws:sts::<account>:assumed-role/<role>/<session>
identity = boto3.client("sts").get_caller_identity()
role = boto3.client("iam").get_role(RoleName=identity["Arn"].split("/")[1])["Role"]["Arn"]
bucket = f"detect-{region}-{identity['Account']}"
image = f"{REGISTRIES[region]}.dkr.ecr.{region}.amazonaws.com/object-detection:1"
name = f"detect-boto3-{time.strftime('%Y-%m-%d-%H-%M-%S')}-{uuid.uuid4().hex[:6]}"
print(f"role {role}, bucket {bucket}")

# The two channels, one file of records in each.
s3.create_bucket(Bucket=bucket)
channels = []
for channel in ("train", "validation"):
    s3.upload_file(str(folder / f"{channel}.rec"), bucket, f"{name}/{channel}/{channel}.rec")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/{channel}/"}
    source["S3DataDistributionType"] = "FullyReplicated"
    channels.append(
        {"ChannelName": channel, "ContentType": "application/x-recordio", "DataSource": {"S3DataSource": source}}
    )

training, validation = (
    [objects_of(record) for record in records(folder / f"{split}.rec")] for split in ("train", "validation")
)

sagemaker.create_training_job(
    TrainingJobName=name,
    AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
    RoleArn=role,
    InputDataConfig=channels,
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
    ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
    HyperParameters={
        "base_network": "resnet-50",
        "use_pretrained_model": "1",
        "num_classes": str(1 + max(int(one[0]) for _, objects in training for one in objects)),
        "num_training_samples": str(len(training)),
        "mini_batch_size": "8",
        "epochs": "30",
        "learning_rate": "0.001",
        "lr_scheduler_step": "20",
        "lr_scheduler_factor": "0.1",
        "optimizer": "sgd",
        "image_shape": "300",
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
    right = 0
    for image, objects in validation:
        answer = runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Body=image)
        # Rows of class, score, xmin, ymin, xmax, ymax; the highest score first.
        for class_id, _, *box in json.loads(answer["Body"].read())["prediction"][:1]:
            right += any(one[0] == class_id and overlap(box, one[1:]) > 0.5 for one in objects)
    print(f"{right} of {len(validation)} pictures right")
except WaiterError:
    sys.exit(f"{name} failed: {sagemaker.describe_endpoint(EndpointName=name)['FailureReason']}")
finally:
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
