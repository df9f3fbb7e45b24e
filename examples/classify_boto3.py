"""Train SageMaker's own image classification, deploy it and ask it: boto3 alone.

    python classify_boto3.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as prepare.py does it; NAME=VALUE are further hyperparameters.
"""

import json
import sys
import time
import uuid
from pathlib import Path

import boto3
from botocore.exceptions import WaiterError

REGISTRIES = {"us-east-1": "811284229777", "us-west-2": "433757028032", "eu-west-1": "685385470294"}

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])

sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
s3 = boto3.client("s3")
region = sagemaker.meta.region_name

# Who we are: arn:aws:sts::<account>:assumed-role/<role>/<session>
identity = boto3.client("sts").get_caller_identity()
role = boto3.client("iam").get_role(RoleName=identity["Arn"].split("/")[1])["Role"]["Arn"]
bucket = f"classify-{region}-{identity['Account']}"
image = f"{REGISTRIES[region]}.dkr.ecr.{region}.amazonaws.com/image-classification:1"
name = f"classify-boto3-{time.strftime('%Y-%m-%d-%H-%M-%S')}-{uuid.uuid4().hex[:6]}"
print(f"role {role}, bucket {bucket}")

# The four channels.
s3.create_bucket(Bucket=bucket)
channels = []
for channel in ("train", "validation", "train_lst", "validation_lst"):
    for path in sorted((folder / channel).rglob("*.*")):
        s3.upload_file(str(path), bucket, f"{name}/{path.relative_to(folder).as_posix()}")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/{name}/{channel}/"}
    source["S3DataDistributionType"] = "FullyReplicated"
    channels.append(
        {"ChannelName": channel, "ContentType": "application/x-image", "DataSource": {"S3DataSource": source}}
    )

training = (folder / "train_lst" / "train.lst").read_text().splitlines()
validation = [line.split("\t") for line in (folder / "validation_lst" / "validation.lst").read_text().splitlines()]

sagemaker.create_training_job(
    TrainingJobName=name,
    AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
    RoleArn=role,
    InputDataConfig=channels,
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/{name}/output"},
    ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50},
    StoppingCondition={"MaxRuntimeInSeconds": 3600},
    HyperParameters={
        "num_layers": "18",
        "image_shape": "3,224,224",
        "resize": "256",
        "num_classes": str(len({line.split("\t")[1] for line in training})),
        "num_training_samples": str(len(training)),
        "mini_batch_size": "16",
        "epochs": "10",
        "learning_rate": "0.01",
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
    for _, label, path in validation:
        image = (folder / "validation" / path).read_bytes()
        answer = runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Body=image)
        scores = json.loads(answer["Body"].read())
        right += scores.index(max(scores)) == int(label)
    print(f"{right} of {len(validation)} pictures right")
except WaiterError:
    sys.exit(f"{name} failed: {sagemaker.describe_endpoint(EndpointName=name)['FailureReason']}")
finally:
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.delete_endpoint_config(EndpointConfigName=name)
    sagemaker.delete_model(ModelName=name)
