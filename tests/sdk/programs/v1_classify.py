"""SageMaker's image classification as notebooks of 2019 and 2020 have it: SageMaker Python SDK v1.

python v1_classify.py FOLDER NAME=VALUE ...
"""

import json
import os
import sys

import boto3
import sagemaker
from sagemaker import get_execution_role
from sagemaker.amazon.amazon_estimator import get_image_uri

folder = sys.argv[1]
given = dict(setting.split("=", 1) for setting in sys.argv[2:])

role = get_execution_role()
sess = sagemaker.Session()
bucket = sess.default_bucket()
prefix = "ic-v1"
training_image = get_image_uri(sess.boto_region_name, "image-classification", repo_version="latest")
print(training_image)

channels = {}
for channel in ("train", "validation", "train_lst", "validation_lst"):
    sess.upload_data(path=os.path.join(folder, channel), bucket=bucket, key_prefix=prefix + "/" + channel)
    channels[channel] = sagemaker.session.s3_input(
        f"s3://{bucket}/{prefix}/{channel}",
        distribution="FullyReplicated",
        content_type="application/x-image",
        s3_data_type="S3Prefix",
    )

with open(os.path.join(folder, "train_lst", "train.lst")) as file:
    training = file.read().splitlines()
with open(os.path.join(folder, "validation_lst", "validation.lst")) as file:
    validation = [line.split("\t") for line in file.read().splitlines()]

ic = sagemaker.estimator.Estimator(
    training_image,
    role,
    train_instance_count=1,
    train_instance_type="ml.p2.xlarge",
    train_volume_size=50,
    train_max_run=360000,
    input_mode="File",
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=sess,
)
ic.set_hyperparameters(
    **dict(
        {
            "num_layers": 18,
            "image_shape": "3,224,224",
            "num_classes": len({line.split("\t")[1] for line in training}),
            "num_training_samples": len(training),
            "mini_batch_size": 16,
            "epochs": 10,
            "learning_rate": 0.01,
        },
        **given,
    )
)
ic.fit(inputs=channels, logs=True)
print("model", ic.model_data)
print(
    "job",
    boto3.client("sagemaker").describe_training_job(TrainingJobName=ic.latest_training_job.name)["TrainingJobStatus"],
)

ic_classifier = ic.deploy(initial_instance_count=1, instance_type="ml.m4.xlarge")
ic_classifier.content_type = "application/x-image"
right = 0
for _, label, path in validation:
    with open(os.path.join(folder, "validation", path), "rb") as file:
        payload = bytearray(file.read())
    result = json.loads(ic_classifier.predict(payload))
    right += result.index(max(result)) == int(label)
print(f"{right} of {len(validation)} pictures right")
sess.delete_endpoint(ic_classifier.endpoint)
