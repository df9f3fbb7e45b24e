"""Train SageMaker's own object detection, deploy it and ask it: SageMaker Python SDK v2.

    python detect_v2.py FOLDER [NAME=VALUE ...]

    FOLDER/train/1.jpg ...          FOLDER/train_annotation/1.json ...          a JSON of boxes for each picture
    FOLDER/validation/9.jpg ...     FOLDER/validation_annotation/9.json ...

NAME=VALUE are further hyperparameters. A picture counts as right when the best box of the answer and a true one of its
class have an intersection over union above 0.5.
"""

import json
import sys
from pathlib import Path

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import IdentitySerializer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])


def annotations(split):
    return [json.loads(path.read_text()) for path in sorted((folder / f"{split}_annotation").rglob("*.json"))]


def overlap(one, other):
    """Intersection over union of two boxes of left, top, right, bottom."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    area, other_area = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area + other_area - shared)


def boxes_of(annotation):
    """Class and box of each object, in fractions of the picture as the answers are."""
    size = annotation["image_size"][0]
    width, height = size["width"], size["height"]
    for box in annotation["annotations"]:
        right, bottom = box["left"] + box["width"], box["top"] + box["height"]
        yield box["class_id"], (box["left"] / width, box["top"] / height, right / width, bottom / height)


session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"detect-v2/{folder.resolve().name}"
print(f"role {role}, bucket {bucket}")

# The four channels; annotations have the content type of the pictures.
channels = {}
for name in ("train", "validation", "train_annotation", "validation_annotation"):
    uri = session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}")
    channels[name] = TrainingInput(
        uri, distribution="FullyReplicated", content_type="image/jpeg", s3_data_type="S3Prefix"
    )

training, validation = annotations("train"), annotations("validation")

estimator = Estimator(
    image_uris.retrieve("object-detection", session.boto_region_name),
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
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "overlap_threshold": 0.5,
        "nms_threshold": 0.45,
        "image_shape": 300,
        "label_width": 350,
        **given,
    }
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")

detector = estimator.deploy(
    initial_instance_count=1,
    instance_type="ml.m4.xlarge",
    serializer=IdentitySerializer(content_type="image/jpeg"),
    deserializer=JSONDeserializer(),
)
try:
    right = 0
    for annotation in validation:
        answer = detector.predict((folder / "validation" / annotation["file"]).read_bytes())
        # Rows of class, score, xmin, ymin, xmax, ymax; the highest score first.
        for class_id, _, *box in answer["prediction"][:1]:
            right += any(c == class_id and overlap(box, true) > 0.5 for c, true in boxes_of(annotation))
    print(f"{right} of {len(validation)} pictures right")
finally:
    detector.delete_endpoint()
