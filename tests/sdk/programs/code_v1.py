"""Code of one's own served with SageMaker SDK v1, as notebooks of 2020 have it."""

import os
import sys

import numpy as np
import sagemaker
from sagemaker.predictor import json_deserializer, json_serializer
from sagemaker.pytorch import PyTorch, PyTorchModel

folder, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))
session, role = sagemaker.Session(), sagemaker.get_execution_role()
estimator = PyTorch(
    entry_point="train.py",
    source_dir=os.path.join(here, "script"),
    role=role,
    framework_version="1.1.0",
    train_instance_count=1,
    train_instance_type="ml.m4.xlarge",
    hyperparameters={"epochs": 60, "lr": 0.05},
    sagemaker_session=session,
)
data = session.upload_data(os.path.join(folder, "train"), key_prefix="code-v1/train")
estimator.fit({"training": data}, logs=False)

# Before 1.2 the model's archive is left alone, and the code lies beside it in the bucket.
predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m4.xlarge")
print("npy", predictor.predict(np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32)).shape)
predictor.delete_endpoint()

model = PyTorchModel(
    model_data=estimator.model_data,
    role=role,
    entry_point="inference.py",
    source_dir=os.path.join(here, "serving"),
    framework_version="1.5.0",
    py_version="py3",
    sagemaker_session=session,
)
predictor = model.deploy(initial_instance_count=1, instance_type="ml.m4.xlarge")
predictor.content_type = predictor.accept = "application/json"
predictor.serializer, predictor.deserializer = json_serializer, json_deserializer
print("rows", len(predictor.predict({"rows": [[1, 0, 0], [0, 1, 0]]})))
predictor.delete_endpoint()
