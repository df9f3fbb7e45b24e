"""Train SageMaker's own semantic segmentation, deploy it and ask it: SageMaker Python SDK v2.

    python segment_v2.py FOLDER [NAME=VALUE ...]

    FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.png ...          a mask for each picture: class ids,
    FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.png ...     255 where there is none

NAME=VALUE are further hyperparameters. Needs Pillow.
"""

import sys
from pathlib import Path

import numpy as np
import sagemaker
from PIL import Image
from sagemaker import image_uris
from sagemaker.amazon.common import RecordDeserializer
from sagemaker.deserializers import BaseDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import IdentitySerializer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])


class ImageDeserializer(BaseDeserializer):
    """A PNG as an array of class ids."""

    ACCEPT = ("image/png",)

    def deserialize(self, stream, content_type):
        try:
            return np.array(Image.open(stream))
        finally:
            stream.close()


def masks(split):
    """Class ids by the name of the picture."""
    paths = sorted((folder / f"{split}_annotation").glob("*.png"))
    return {path.stem: np.array(Image.open(path)) for path in paths}


session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"segment-v2/{folder.resolve().name}"
print(f"role {role}, bucket {bucket}")

# The four channels.
channels = {}
for name in ("train", "validation", "train_annotation", "validation_annotation"):
    uri = session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}")
    kind = "image/png" if name.endswith("annotation") else "image/jpeg"
    channels[name] = TrainingInput(uri, distribution="FullyReplicated", content_type=kind, s3_data_type="S3Prefix")

training, validation = masks("train"), masks("validation")
classes = 1 + max(int(mask[mask != 255].max(initial=0)) for mask in training.values())

estimator = Estimator(
    image_uris.retrieve("semantic-segmentation", session.boto_region_name),
    role,
    instance_count=1,
    instance_type="ml.p3.2xlarge",
    volume_size=50,
    max_run=3600,
    input_mode="File",
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=session,
)
estimator.set_hyperparameters(
    **{
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
        "early_stopping": "True",
        "early_stopping_patience": 2,
        "early_stopping_min_epochs": 10,
        "num_training_samples": len(training),
        **given,
    }
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")

segmenter = estimator.deploy(
    initial_instance_count=1,
    instance_type="ml.m4.xlarge",
    serializer=IdentitySerializer(content_type="image/jpeg"),
    deserializer=ImageDeserializer(),
)
try:
    images = {path.stem: path.read_bytes() for path in (folder / "validation").iterdir()}
    counts = np.zeros((classes, classes), int)  # pixels by true and by found class
    for stem, mask in validation.items():
        found = segmenter.predict(images[stem])
        known = (mask != 255) & (found < classes)
        np.add.at(counts, (mask[known], found[known]), 1)
    shared, covered = counts.diagonal(), counts.sum(0) + counts.sum(1) - counts.diagonal()
    iou = shared / np.maximum(covered, 1)
    print(f"mean IoU {iou.mean():.4f} over {len(validation)} pictures; of the classes {iou.round(4).tolist()}")

    # The probabilities behind a mask: the class of a pixel is the one with the highest.
    mask = segmenter.predict(images[stem])
    segmenter.deserializer = RecordDeserializer(accept="application/x-protobuf")
    (record,) = segmenter.predict(images[stem])
    shape = list(record.features["shape"].int32_tensor.values)
    scores = np.array(record.features["target"].float32_tensor.values).reshape(shape)
    same = (scores.squeeze(axis=0).argmax(axis=0) == mask).mean()
    print(f"probabilities of shape {shape}, of the mask's class in {100 * same:.2f}% of the pixels")
finally:
    segmenter.delete_endpoint()
