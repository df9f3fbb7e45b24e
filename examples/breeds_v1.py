"""Fine-tune a network of your own on breeds, deploy it with its own inference code, ask it: SageMaker Python SDK v1.

    python breeds_v1.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as breeds_prepare.py does it; NAME=VALUE are hyperparameters of breeds/train.py.
"""

import os
import sys
from glob import glob

import sagemaker
from sagemaker import get_execution_role
from sagemaker.predictor import json_deserializer
from sagemaker.pytorch import PyTorch, PyTorchModel

folder = sys.argv[1]
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "breeds")

role = get_execution_role()
sess = sagemaker.Session()
channels = {
    name: sess.upload_data(path=os.path.join(folder, name), key_prefix="breeds-v1/" + name)
    for name in ("train", "valid", "test", "model")
}
hyperparameters = {"network": "tf_efficientnet_lite0", "epochs": 8, "batch-size": 16, "lr": 3e-4}
hyperparameters.update(given)
estimator = PyTorch(
    entry_point="train.py",
    source_dir=source,
    role=role,
    framework_version="1.5.0",
    train_instance_count=1,
    train_instance_type="ml.p3.2xlarge",
    hyperparameters=hyperparameters,
    metric_definitions=[{"Name": "test:accuracy", "Regex": "test_accuracy=([0-9.]+)"}],
    sagemaker_session=sess,
)
estimator.fit(channels)
print("model", estimator.model_data)

model = PyTorchModel(
    model_data=estimator.model_data,
    role=role,
    entry_point="inference.py",
    source_dir=source,
    framework_version="1.5.0",
    sagemaker_session=sess,
)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m4.xlarge")
predictor.content_type = "image/jpeg"
predictor.serializer = None
predictor.accept = "application/json"
predictor.deserializer = json_deserializer
try:
    pictures = sorted(glob(os.path.join(folder, "test", "*", "*.jpg")))
    right = 0
    for path in pictures:
        with open(path, "rb") as picture:
            answer = predictor.predict(picture.read())
        right += answer["breed"] == os.path.basename(os.path.dirname(path))
    print(f"{right} of {len(pictures)} pictures right")
finally:
    predictor.delete_endpoint()
