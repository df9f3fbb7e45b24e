"""Train SageMaker's own semantic segmentation, deploy it and ask it: SageMaker Python SDK v3.

    python segment_v3.py FOLDER [NAME=VALUE ...]

    FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.png ...          a mask for each picture: class ids,
    FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.png ...     255 where there is none

NAME=VALUE are further hyperparameters.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, StoppingCondition
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])


def masks(split):
    """Class ids by the name of the picture."""
    paths = sorted((folder / f"{split}_annotation").glob("*.png"))
    return {path.stem: np.array(Image.open(path)) for path in paths}


session = Session()
role = get_execution_role()
bucket = session.default_bucket()
prefix = f"segment-v3/{folder.resolve().name}"
image = image_uris.retrieve("semantic-segmentation", session.boto_region_name)
print(f"role {role}, bucket {bucket}")

# The four channels.
channels = [
    InputData(
        channel_name=name,
        data_source=session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}"),
        content_type="image/png" if name.endswith("annotation") else "image/jpeg",
    )
    for name in ("train", "validation", "train_annotation", "validation_annotation")
]

training, validation = masks("train"), masks("validation")
classes = 1 + max(int(mask[mask != 255].max(initial=0)) for mask in training.values())

trainer = ModelTrainer(
    training_image=image,
    role=role,
    sagemaker_session=session,
    base_job_name="segment-v3",
    compute=Compute(instance_type="ml.p3.2xlarge", instance_count=1, volume_size_in_gb=50),
    stopping_condition=StoppingCondition(max_runtime_in_seconds=3600),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{prefix}/output"),
    hyperparameters={
        "backbone": "resnet-50",
        "algorithm": "fcn",
        "use_pretrained_model": "True",
        "crop_size": 240,
        "num_classes": classes,
        "epochs": 10,
        "learning_rate": 0.0001,
        "optimizer": "rmsprop",
        "lr_scheduler": "poly",
        "mini_batch_size": 8,
        "validation_mini_batch_size": 8,
        "num_training_samples": len(training),
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
    images = {path.stem: path.read_bytes() for path in (folder / "validation").iterdir()}
    counts = np.zeros((classes, classes), int)  # pixels by true and by found class
    for stem, mask in validation.items():
        answer = endpoint.invoke(body=images[stem], content_type="image/jpeg", accept="image/png")
        found = np.array(Image.open(io.BytesIO(answer.body.read())))
        known = (mask != 255) & (found < classes)
        np.add.at(counts, (mask[known], found[known]), 1)
    shared, covered = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = shared / np.maximum(covered, 1)
    print(f"mean IoU {iou.mean():.4f} over {len(validation)} pictures; of the classes {iou.round(4).tolist()}")
finally:
    endpoint.delete()
    model.delete()
