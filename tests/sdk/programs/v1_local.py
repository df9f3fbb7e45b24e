"""Local mode of SDK v1, as notebooks of 2019 and 2020 have it.

python v1_local.py FOLDER NAME=VALUE ...
"""

import json
import os
import sys

from sagemaker.amazon.amazon_estimator import get_image_uri
from sagemaker.estimator import Estimator
from sagemaker.local import LocalSession
from sagemaker.session import s3_input

folder = sys.argv[1]
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
with open(os.path.join(folder, "train_lst", "train.lst")) as file:
    training = file.read().splitlines()
with open(os.path.join(folder, "validation_lst", "validation.lst")) as file:
    validation = [line.split("\t") for line in file.read().splitlines()]

estimator = Estimator(
    get_image_uri("us-east-1", "image-classification"),
    "SageMakerRole",
    train_instance_count=1,
    train_instance_type="local",
    output_path="file://model",
    sagemaker_session=LocalSession(),
)
classes = len({line.split("\t")[1] for line in training})
estimator.set_hyperparameters(
    num_classes=classes, num_training_samples=len(training), num_layers=18, learning_rate=0.01, **given
)
estimator.fit(
    {
        name: s3_input("file://" + os.path.join(folder, name), content_type="application/x-image")
        for name in ("train", "validation", "train_lst", "validation_lst")
    }
)
print("model", estimator.model_data, os.listdir("model"))

predictor = estimator.deploy(initial_instance_count=1, instance_type="local")
predictor.content_type = "image/jpeg"
right = 0
for _, label, path in validation:
    with open(os.path.join(folder, "validation", path), "rb") as picture:
        scores = json.loads(predictor.predict(picture.read()))
    right += scores.index(max(scores)) == int(label)
print(f"{right} of {len(validation)} pictures right")
predictor.delete_endpoint()
