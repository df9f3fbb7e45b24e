"""Local container mode of SDK v3: a ModelTrainer whose data and results are folders beside the program.

python v3_local.py FOLDER NAME=VALUE ...
"""

import os
import sys

from sagemaker.core import image_uris
from sagemaker.serve.mode.function_pointers import Mode
from sagemaker.serve.model_builder import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode as TrainingMode

folder = sys.argv[1]
given = dict(setting.split("=", 1) for setting in sys.argv[2:])
with open(f"{folder}/train_lst/train.lst") as file:
    training = file.read().splitlines()

trainer = ModelTrainer(
    training_mode=TrainingMode.LOCAL_CONTAINER,
    training_image=image_uris.retrieve("image-classification", "us-east-1"),
    compute=Compute(instance_type="local_cpu", instance_count=1),
    local_container_root=os.getcwd(),
    base_job_name="local-v3",
    hyperparameters={
        "num_classes": len({line.split("\t")[1] for line in training}),
        "num_training_samples": len(training),
        "num_layers": 18,
        **given,
    },
)
trainer.train(
    [
        InputData(channel_name=name, data_source=f"{folder}/{name}", content_type="application/x-image")
        for name in ("train", "validation", "train_lst", "validation_lst")
    ]
)
print("artifacts", os.listdir("compressed_artifacts"))

script = ModelTrainer(
    training_mode=TrainingMode.LOCAL_CONTAINER,
    training_image=image_uris.retrieve(
        "pytorch", "us-east-1", version="2.1", py_version="py310", instance_type="ml.c5.xlarge", image_scope="training"
    ),
    source_code=SourceCode(
        source_dir=os.path.join(os.path.dirname(os.path.abspath(__file__)), "script"), entry_script="train.py"
    ),
    compute=Compute(instance_type="local_cpu", instance_count=1),
    local_container_root=os.path.join(os.getcwd(), "script"),
    base_job_name="local-script-v3",
    hyperparameters={"epochs": 1, "lr": 0.05, "nesterov": True, "crop": [1, 2]},
)
script.train([InputData(channel_name="training", data_source=f"{folder}/train")])
print("artifacts of the script", sorted(os.listdir("script/compressed_artifacts")))

builder = ModelBuilder(
    image_uri=trainer.training_image,
    s3_model_data_url="file://compressed_artifacts/model.tar.gz",
    role_arn="arn:aws:iam::111111111111:role/service-role/AmazonSageMaker-ExecutionRole-20200101T000001",
    mode=Mode.LOCAL_CONTAINER,
)
builder.build()
endpoint = builder.deploy_local(endpoint_name="local-v3")
with open(f"{folder}/validation_lst/validation.lst") as file:
    validation = [line.split("\t") for line in file.read().splitlines()]
right = 0
for _, label, path in validation:
    with open(f"{folder}/validation/{path}", "rb") as picture:
        scores = endpoint.invoke(body=picture.read(), content_type="image/jpeg").body
    right += scores.index(max(scores)) == int(label)
print(f"{right} of {len(validation)} pictures right")
endpoint.delete()
