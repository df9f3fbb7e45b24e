"""Train SageMaker's own image classification, deploy it and ask it: SageMaker Python SDK v3.

    python classify_v3.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as prepare.py does it; NAME=VALUE are further hyperparameters.
"""

import json
import sys
from pathlib import Path

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, StoppingCondition
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])

session = Session()
role = get_execution_role()
bucket = session.default_bucket()
prefix = f"classify-v3/{folder.resolve().name}"
image = image_uris.retrieve("image-classification", session.boto_region_name)
print(f"role {role}, bucket {bucket}")

# The four channels.
channels = [
    InputData(
        channel_name=name,
        data_source=session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}"),
        content_type="application/x-image",
    )
    for name in ("train", "validation", "train_lst", "validation_lst")
]

training = (folder / "train_lst" / "train.lst").read_text().splitlines()
validation = [line.split("\t") for line in (folder / "validation_lst" / "validation.lst").read_text().splitlines()]

trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="classify-v3",
    compute=Compute(instance_type="ml.p3.2xlarge", instance_count=1, volume_size_in_gb=50),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{prefix}/output"),
    hyperparameters={
        "num_layers": 18,
        "image_shape": "3,224,224",
        "resize": 256,
        "num_classes": len({line.split("\t")[1] for line in training}),
        "num_training_samples": len(training),
        "mini_batch_size": 16,
        "epochs": 10,
        "learning_rate": 0.01,
        **given,
    },
)
trainer.train(channels, wait=True, logs=True)
model_data = trainer._latest_training_job.model_artifacts.s3_model_artifacts
print(f"model {model_data}")

builder = ModelBuilder(
    image_uri=image,
    s3_model_data_url=model_data,
    role_arn=role,
    instance_type="ml.m4.xlarge",
    sagemaker_session=session,
)
model = builder.build()
endpoint = builder.deploy(endpoint_name=f"{trainer._latest_training_job.training_job_name}-endpoint")
try:
    right = 0
    for _, label, path in validation:
        image = (folder / "validation" / path).read_bytes()
        answer = endpoint.invoke(body=image, content_type="image/jpeg", accept="application/json")
        scores = json.loads(answer.body.read())
        right += scores.index(max(scores)) == int(label)
    print(f"{right} of {len(validation)} pictures right")
finally:
    endpoint.delete()
    model.delete()
