"""A script of one's own with SageMaker SDK v2's PyTorch estimator: train, and look at what came out."""

import io
import sys
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import sagemaker
from sagemaker.pytorch import PyTorch

folder = Path(sys.argv[1])
session = sagemaker.Session()
estimator = PyTorch(
    entry_point="train.py",
    source_dir=str(Path(__file__).with_name("script")),
    role=sagemaker.get_execution_role(),
    framework_version="2.1",
    py_version="py310",
    instance_count=1,
    instance_type="ml.c5.xlarge",
    hyperparameters={"epochs": 60, "lr": 0.05, "nesterov": True, "crop": [1, 2]},
    metric_definitions=[{"Name": "train:accuracy", "Regex": r"train accuracy=([0-9.]+)"}],
    sagemaker_session=session,
)
data = session.upload_data(str(folder / "train"), key_prefix="script-v2/train")
estimator.fit({"training": data, "validation": data}, logs=True)
print("model", estimator.model_data)

place = urlsplit(estimator.model_data)
stored = session.boto_session.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
with tarfile.open(fileobj=io.BytesIO(stored)) as archive:
    print("files", archive.getnames())
described = session.describe_training_job(estimator.latest_training_job.name)
print("metrics", {metric["MetricName"]: metric["Value"] for metric in described["FinalMetricDataList"]})
