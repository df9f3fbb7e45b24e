"""TensorFlow with SageMaker SDK v2: train a script, deploy what it saved, ask it; then with an inference.py."""

import sys
from pathlib import Path

import numpy as np
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import CSVSerializer, NumpySerializer
from sagemaker.tensorflow import TensorFlow, TensorFlowModel, TensorFlowPredictor

work = Path(sys.argv[1])
source = Path(__file__).with_name("tensorflow")
rows = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
np.savetxt(work / "rows.csv", rows, delimiter=",")
session = sagemaker.Session()
role = sagemaker.get_execution_role()
estimator = TensorFlow(
    entry_point="train.py",
    source_dir=str(source),
    role=role,
    framework_version="2.8",
    py_version="py39",
    instance_count=1,
    instance_type="ml.c5.xlarge",
    hyperparameters={"epochs": 20, "learning_rate": 0.1},
    metric_definitions=[{"Name": "train:accuracy", "Regex": r"train accuracy=([0-9.]+)"}],
    sagemaker_session=session,
)
data = session.upload_data(str(work / "rows.csv"), key_prefix="tensorflow-v2/train")
estimator.fit({"training": data}, logs=True)

asked = np.array([[2, 2, 0, 0], [0, 0, 2, 2]], dtype="float32")
predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.large")
print("classes", np.argmax(predictor.predict(asked)["predictions"], axis=1).tolist())
named = {"signature_name": "serving_default", "instances": asked.tolist()}
print("named", np.argmax(predictor.predict(named)["predictions"], axis=1).tolist())
try:
    predictor.predict({"instances": [["a"]]})
except ClientError as error:
    print("refused", error.response["Error"]["Message"])
by_csv = TensorFlowPredictor(predictor.endpoint_name, session, serializer=CSVSerializer())
print("csv", np.argmax(by_csv.predict(asked)["predictions"], axis=1).tolist())
predictor.delete_endpoint()

model = TensorFlowModel(
    model_data=estimator.model_data,
    role=role,
    framework_version="2.8",
    entry_point="inference.py",
    source_dir=str(source),
    sagemaker_session=session,
)
predictor = model.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=NumpySerializer(),
    deserializer=JSONDeserializer(),
)
print("handled", predictor.predict(asked))
predictor.delete_endpoint()
