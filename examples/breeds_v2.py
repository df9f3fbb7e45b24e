"""Fine-tune a network of your own on breeds, deploy it with its own inference code, ask it: SageMaker Python SDK v2.

    python breeds_v2.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as breeds_prepare.py does it; NAME=VALUE are hyperparameters of breeds/train.py.
"""

import sys
from pathlib import Path

import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.pytorch import PyTorch, PyTorchModel
from sagemaker.serializers import IdentitySerializer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
source = str(Path(__file__).resolve().with_name("breeds"))

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"breeds-v2/{folder.resolve().name}"

channels = {
    name: session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}")
    for name in ("train", "valid", "test", "model")
}
estimator = PyTorch(
    entry_point="train.py",
    source_dir=source,
    role=role,
    framework_version="2.1",
    py_version="py310",
    instance_count=1,
    instance_type="ml.g4dn.xlarge",
    output_path=f"s3://{bucket}/{prefix}/output",
    hyperparameters={"network": "tf_efficientnet_lite0", "epochs": 8, "batch-size": 16, "lr": 3e-4, **given},
    metric_definitions=[
        {"Name": "train:loss", "Regex": r"train_loss=([0-9.]+)"},
        {"Name": "valid:accuracy", "Regex": r"valid_accuracy=([0-9.]+)"},
        {"Name": "test:accuracy", "Regex": r"test_accuracy=([0-9.]+)"},
    ],
    sagemaker_session=session,
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")
described = session.describe_training_job(estimator.latest_training_job.name)
for metric in described["FinalMetricDataList"]:
    print(f"{metric['MetricName']} {metric['Value']:.4f}")

model = PyTorchModel(
    model_data=estimator.model_data,
    role=role,
    entry_point="inference.py",
    source_dir=source,
    framework_version="2.1",
    py_version="py310",
    sagemaker_session=session,
)
predictor = model.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=IdentitySerializer(content_type="image/jpeg"),
    deserializer=JSONDeserializer(),
)
try:
    pictures = sorted((folder / "test").glob("*/*.jpg"))
    right = sum(predictor.predict(path.read_bytes())["breed"] == path.parent.name for path in pictures)
    print(f"{right} of {len(pictures)} pictures right")
finally:
    predictor.delete_model()
    predictor.delete_endpoint()
