"""Train a TensorFlow classifier of cats and dogs as a SageMaker job, deploy it and ask it: SageMaker Python SDK v2.

    python cats_and_dogs_v2.py FOLDER [NAME=VALUE ...]

    FOLDER/pets/images/ ...                 a folder laid out as the Oxford-IIIT Pet data set is
    FOLDER/pets/annotations/ ...
    FOLDER/weights/mobilenet_v2.keras       what mobilenet_v2_weights.py writes

NAME=VALUE are further hyperparameters: the arguments of cats_and_dogs/train.py.
"""

import base64
import sys
from pathlib import Path

import sagemaker
from sagemaker.s3 import S3Uploader
from sagemaker.tensorflow import TensorFlow

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"cats-and-dogs/{folder.resolve().name}"


def pictures(split):
    """Species and file of each picture of trainval or test."""
    for line in (folder / "pets" / "annotations" / f"{split}.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, species, _ = line.split()
            yield {"1": "cat", "2": "dog"}[species], folder / "pets" / "images" / f"{name}.jpg"


channels = {"weights": session.upload_data(str(folder / "weights"), bucket=bucket, key_prefix=f"{prefix}/weights")}
# In the bucket, a folder for each species.
for channel, split in {"train": "trainval", "validation": "test"}.items():
    channels[channel] = f"s3://{bucket}/{prefix}/{channel}"
    for species, file in pictures(split):
        S3Uploader.upload(str(file), f"{channels[channel]}/{species}", sagemaker_session=session)

estimator = TensorFlow(
    entry_point="train.py",
    source_dir=str(Path(__file__).with_name("cats_and_dogs")),
    role=role,
    framework_version="2.16",
    py_version="py310",
    instance_count=1,
    instance_type="ml.c5.2xlarge",
    hyperparameters={"epochs": 5, "learning-rate": 0.001, **given},
    metric_definitions=[{"Name": "validation:accuracy", "Regex": r"val_accuracy: ([0-9.]+)"}],
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=session,
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")

predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
try:
    asked, right = list(pictures("test")), 0
    for species, file in asked:
        instance = {"b64": base64.b64encode(file.read_bytes()).decode()}
        (answer,) = predictor.predict({"instances": [instance]})["predictions"]
        right += answer["label"] == species
    print(f"{right} of {len(asked)} pictures right")
finally:
    predictor.delete_endpoint()
