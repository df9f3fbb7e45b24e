"""Fine-tune a network of your own on breeds, deploy it with its own inference code, ask it: SageMaker Python SDK v3.

    python breeds_v3.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as breeds_prepare.py does it; NAME=VALUE are hyperparameters of breeds/train.py.
"""

import json
import sys
from pathlib import Path

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import Compute, InputData, OutputDataConfig, SourceCode
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
source = str(Path(__file__).resolve().with_name("breeds"))

session = Session()
role = get_execution_role()
bucket = session.default_bucket()
prefix = f"breeds-v3/{folder.resolve().name}"
images = {
    scope: image_uris.retrieve(
        "pytorch",
        session.boto_region_name,
        version="2.1",
        py_version="py310",
        instance_type="ml.m5.xlarge",
        image_scope=scope,
    )
    for scope in ("training", "inference")
}

trainer = ModelTrainer(
    training_image=images["training"],
    role=role,
    sagemaker_session=session,
    base_job_name="breeds-v3",
    source_code=SourceCode(source_dir=source, entry_script="train.py", requirements="requirements.txt"),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    output_data_config=OutputDataConfig(s3_output_path=f"s3://{bucket}/{prefix}/output"),
    hyperparameters={"network": "tf_efficientnet_lite0", "epochs": 8, "batch-size": 16, "lr": 3e-4, **given},
)
channels = [
    InputData(
        channel_name=name,
        data_source=session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}"),
    )
    for name in ("train", "valid", "test", "model")
]
trainer.train(channels, wait=True, logs=True)
job = trainer._latest_training_job
model_data = job.model_artifacts.s3_model_artifacts
print(f"model {model_data}")

builder = ModelBuilder(
    image_uri=images["inference"],
    s3_model_data_url=model_data,
    source_code=SourceCode(source_dir=source, entry_script="inference.py"),
    role_arn=role,
    instance_type="ml.m5.xlarge",
    sagemaker_session=session,
)
model = builder.build()
endpoint = builder.deploy(endpoint_name=f"{job.training_job_name}-endpoint")
try:
    pictures = sorted((folder / "test").glob("*/*.jpg"))
    right = 0
    for path in pictures:
        answer = endpoint.invoke(body=path.read_bytes(), content_type="image/jpeg", accept="application/json")
        right += json.loads(answer.body.read())["breed"] == path.parent.name
    print(f"{right} of {len(pictures)} pictures right")
finally:
    endpoint.delete()
    model.delete()
