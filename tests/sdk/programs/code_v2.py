"""Code of one's own served with SageMaker SDK v2: the training script's estimator, then an inference.py beside it."""

import os
import sys
from pathlib import Path

import numpy as np
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.pytorch import PyTorch, PyTorchModel
from sagemaker.serializers import CSVSerializer, IdentitySerializer, JSONSerializer

folder, here = Path(sys.argv[1]), Path(__file__).parent
session, role = sagemaker.Session(), sagemaker.get_execution_role()
versions = {"framework_version": "2.1", "py_version": "py310"}
estimator = PyTorch(
    entry_point="train.py",
    source_dir=str(here / "script"),
    role=role,
    instance_count=1,
    instance_type="ml.c5.xlarge",
    hyperparameters={"epochs": 60, "lr": 0.05},
    sagemaker_session=session,
    **versions,
)
estimator.fit({"training": session.upload_data(str(folder / "train"), key_prefix="code-v2/train")}, logs=False)

# Without an entry point the training script serves: it has no functions, so that PyTorch's defaults do.
predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large")
scores = predictor.predict(np.array([[1, 0, 0], [0, 0, 1]], dtype=np.float32))
print("npy", type(scores).__name__, scores.shape)
predictor.serializer, predictor.deserializer = CSVSerializer(), CSVDeserializer()
print("csv", len(predictor.predict([[1, 0, 0], [0, 0, 1]])))
predictor.serializer, predictor.deserializer = JSONSerializer(), JSONDeserializer()
print("json", np.array(predictor.predict([[1, 0, 0]])).shape)
predictor.delete_endpoint()


def model(**more):
    return PyTorchModel(
        model_data=estimator.model_data,
        role=role,
        entry_point="inference.py",
        source_dir=str(here / "serving"),
        **versions,
        **more,
    )


predictor = model(sagemaker_session=session, env={"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}).deploy(
    1, "ml.m5.large", serializer=IdentitySerializer("image/jpeg"), deserializer=JSONDeserializer()
)
names = sorted(os.listdir(folder / "validation"))
right = of = 0
for label, name in enumerate(names):
    for file in sorted(os.listdir(folder / "validation" / name)):
        with open(folder / "validation" / name / file, "rb") as picture:
            (scores,) = predictor.predict(picture.read())
        right, of = right + (int(np.argmax(scores)) == label), of + 1
print(f"{right} of {of} pictures right")
predictor.serializer = JSONSerializer()
print("rows", len(predictor.predict({"rows": [[1, 0, 0], [0, 1, 0]]})))
predictor.serializer = CSVSerializer()
try:
    predictor.predict([[1, 0, 0]])
except ClientError as error:
    print("refused", error)
predictor.delete_model()
predictor.delete_endpoint()

local = model().deploy(1, "local", serializer=JSONSerializer(), deserializer=JSONDeserializer())
print("in local mode", len(local.predict({"rows": [[1, 0, 0]]})))
local.delete_endpoint()
