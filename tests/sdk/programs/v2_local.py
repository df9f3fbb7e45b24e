"""Local mode, as notebooks switch to it to be rid of the cloud: SDK v2, data and model in folders beside the program.

python v2_local.py FOLDER NAME=VALUE ...
"""

import os
import shutil
import sys

from botocore.exceptions import ClientError
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.local import LocalSession
from sagemaker.pytorch import PyTorch
from sagemaker.serializers import IdentitySerializer

given = dict(setting.split("=", 1) for setting in sys.argv[2:])
shutil.copytree(sys.argv[1], "data", dirs_exist_ok=True)

sagemaker_session = LocalSession()
sagemaker_session.config = {"local": {"local_code": True}}
role = "arn:aws:iam::111111111111:role/service-role/AmazonSageMaker-ExecutionRole-20200101T000001"

with open("data/train_lst/train.lst") as file:
    training = file.read().splitlines()
with open("data/validation_lst/validation.lst") as file:
    validation = [line.split("\t") for line in file.read().splitlines()]

estimator = Estimator(
    image_uris.retrieve("image-classification", sagemaker_session.boto_region_name),
    role,
    instance_count=1,
    instance_type="local",
    output_path="file://./out",
    sagemaker_session=sagemaker_session,
)
classes = len({line.split("\t")[1] for line in training})
estimator.set_hyperparameters(
    num_classes=classes, num_training_samples=len(training), num_layers=18, learning_rate=0.01, **given
)
estimator.fit(
    {
        name: TrainingInput(f"file://data/{name}", content_type="application/x-image")
        for name in ("train", "validation", "train_lst", "validation_lst")
    }
)
print("model", estimator.model_data, os.listdir("out"))

predictor = estimator.deploy(1, "local", serializer=IdentitySerializer("image/jpeg"), deserializer=JSONDeserializer())
right = 0
for _, label, path in validation:
    with open(f"data/validation/{path}", "rb") as picture:
        scores = predictor.predict(picture.read())
    right += scores.index(max(scores)) == int(label)
print(f"{right} of {len(validation)} pictures right")
predictor.delete_endpoint()

# A script beside this program, and what it imports; nowhere said where the model goes.
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "script")
for name in ("train.py", "colours.py"):
    shutil.copy(os.path.join(here, name), name)
script = PyTorch(
    entry_point="train.py",
    role=role,
    framework_version="2.1",
    py_version="py310",
    instance_count=1,
    instance_type="local",
    hyperparameters={"epochs": 1, "lr": 0.05, "nesterov": True, "crop": [1, 2]},
    sagemaker_session=sagemaker_session,
)
script.fit({"training": "file://data/train", "validation": "file://data/train"})
print("script's model", script.model_data, os.path.exists(script.model_data[len("file://") :]))

refused = Estimator(estimator.image_uri, role, instance_count=1, instance_type="local_gpu")
refused.set_hyperparameters(num_classes=classes, num_training_samples=len(training))
try:
    refused.fit("file://data/train")
except ClientError as error:
    print("refused", error)
