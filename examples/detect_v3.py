"""Train SageMaker's own object detection, deploy it and ask it: SageMaker Python SDK v3.

    python detect_v3.py FOLDER [NAME=VALUE ...]

    FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.json ...          a JSON of boxes for each picture
    FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.json ...

NAME=VALUE are further hyperparameters. A picture counts as right when the best box of the answer and a true one of its
class have an intersection over union above 0.5.
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


def annotations(split):
    return [json.loads(path.read_text()) for path in sorted((folder / f"{split}_annotation").rglob("*.json"))]


def overlap(one, other):
    """Intersection over union of two boxes of an annotation, in pixels."""
    across, down = (
        min(one[start] + one[length], other[start] + other[length]) - max(one[start], other[start])
        for start, length in (("left", "width"), ("top", "height"))
    )
    shared = max(across, 0) * max(down, 0)
    return shared / max(one["width"] * one["height"] + other["width"] * other["height"] - shared, 1)


session = Session()
role = get_execution_role()
bucket = session.default_bucket()
prefix = f"detect-v3/{folder.resolve().name}"
image = image_uris.retrieve("object-detection", session.boto_region_name)
print(f"role {role}, bucket {bucket}")

# The four channels; annotations have the content type of the pictures.
channels = [
    InputData(
        channel_name=name,
        data_source=session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}"),
        content_type="image/jpeg",
    )
    for name in ("train", "validation", "train_annotation", "validation_annotation")
]

training, validation = annotations("train"), annotations("validation")

trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="detect-v3",
    compute=Compute(instance_type="ml.p3.2xlarge", instance_count=1, volume_size_in_gb=50),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{prefix}/output"),
    hyperparameters={
        "base_network": "resnet-50",
        "use_pretrained_model": 1,
        "num_classes": 1 + max(box["class_id"] for one in training for box in one["annotations"]),
        "num_training_samples": len(training),
        "mini_batch_size": 8,
        "epochs": 30,
        "learning_rate": 0.001,
        "lr_scheduler_step": "20",
        "lr_scheduler_factor": 0.1,
        "optimizer": "sgd",
        "image_shape": 300,
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
    for annotation in validation:
        image = (folder / "validation" / annotation["file"]).read_bytes()
        # Asked for like this, an answer has the form of an annotation, with scores; the highest first.
        answer = endpoint.invoke(body=image, content_type="image/jpeg", accept="application/json;annotation=1")
        for best in json.loads(answer.body.read())["annotations"][:1]:
            same = [box for box in annotation["annotations"] if box["class_id"] == best["class_id"]]
            right += any(overlap(best, box) > 0.5 for box in same)
    print(f"{right} of {len(validation)} pictures right")
finally:
    endpoint.delete()
    model.delete()
