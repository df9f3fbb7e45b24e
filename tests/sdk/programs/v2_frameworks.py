"""Scripts of the frameworks beside PyTorch and TensorFlow, each with its estimator of SDK v2.

python v2_frameworks.py sklearn|xgboost|huggingface
"""

import io
import sys
import tarfile
from pathlib import Path
from urllib.parse import urlsplit

import sagemaker
from sagemaker.huggingface import HuggingFace
from sagemaker.sklearn import SKLearn
from sagemaker.xgboost import XGBoost

session = sagemaker.Session()
where = {
    "source_dir": str(Path(__file__).with_name("frameworks")),
    "role": sagemaker.get_execution_role(),
    "instance_count": 1,
    "instance_type": "ml.m5.large",
    "sagemaker_session": session,
}
framework = sys.argv[1]
if framework == "sklearn":
    Path("iris.csv").write_text("".join(f"{n % 3},{n % 3 + n / 100},{n % 7}\n" for n in range(60)))
    data = session.upload_data("iris.csv", key_prefix="forest")
    estimator = SKLearn(
        entry_point="forest.py", framework_version="0.23-1", hyperparameters={"max_leaf_nodes": 30}, **where
    )
elif framework == "xgboost":
    Path("train.libsvm").write_text("".join(f"{n % 2} 1:{n % 2 * 3} 4:{n % 5}\n" for n in range(60)))
    data = session.upload_data("train.libsvm", key_prefix="boost")
    estimator = XGBoost(
        entry_point="boost.py",
        framework_version="1.5-1",
        hyperparameters={"max_depth": 3, "eta": 0.2, "objective": "reg:squarederror", "num_round": 5},
        **where,
    )
else:
    Path("sentences.txt").write_text(
        "".join(f"{n % 2}\t{'good fine' if n % 2 else 'bad sad'} day {n}\n" for n in range(64))
    )
    data = session.upload_data("sentences.txt", key_prefix="sentences")
    estimator = HuggingFace(
        entry_point="sentences.py",
        # There is no image for a machine without a GPU.
        transformers_version="4.26.0",
        pytorch_version="1.13.1",
        py_version="py39",
        hyperparameters={"epochs": 4, "train_batch_size": 8, "learning_rate": 0.01},
        **where | {"instance_type": "ml.p3.2xlarge"},
    )
estimator.fit({"train": data}, logs=True)
print("model", estimator.model_data)
place = urlsplit(estimator.model_data)
stored = session.boto_session.client("s3").get_object(Bucket=place.netloc, Key=place.path[1:])["Body"].read()
with tarfile.open(fileobj=io.BytesIO(stored)) as archive:
    print("files", sorted(archive.getnames()))
