"""Train SageMaker's own image classification, deploy it and ask it: SageMaker Python SDK v2.

    python classify_v2.py FOLDER [NAME=VALUE ...]

FOLDER is laid out as prepare.py does it; NAME=VALUE are further hyperparameters.
"""

import sys
from pathlib import Path

import sagemaker
from sagemaker import image_uris
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.serializers import IdentitySerializer

folder = Path(sys.argv[1])
given = dict(setting.split("=", 1) for setting in sys.argv[2:])

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"classify-v2/{folder.resolve().name}"
print(f"role {role}, bucket {bucket}")

# The four channels.
channels = {}
for name in ("train", "validation", "train_lst", "validation_lst"):
    uri = session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}")
    channels[name] = TrainingInput(uri, distribution="FullyReplicated", content_type="application/x-image")

training = (folder / "train_lst" / "train.lst").read_text().splitlines()
validation = [line.split("\t") for line in (folder / "validation_lst" / "validation.lst").read_text().splitlines()]

estimator = Estimator(
    image_uris.retrieve("image-classification", session.boto_region_name),
    role,
    instance_count=1,
    instance_type="ml.p3.2xlarge",
    volume_size=50,
    max_run=3600,
    input_mode="File",
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=session,
)
estimator.set_hyperparameters(
    **{
        "num_layers": 18,
        "image_shape": "3,224,224",
        "resize": 256,
        "num_classes": len({line.split("\t")[1] for line in training}),
        "num_training_samples": len(training),
        "mini_batch_size": 16,
        "epochs": 10,
        "learning_rate": 0.01,
        **given,
    }
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")

predictor = estimator.deploy(
    initial_instance_count=1,
    instance_type="ml.m4.xlarge",
    serializer=IdentitySerializer(content_type="image/jpeg"),
    deserializer=JSONDeserializer(),
)
try:
    right = 0
    for _, label, path in validation:
        scores = predictor.predict((folder / "validation" / path).read_bytes())
        right += scores.index(max(scores)) == int(label)
    print(f"{right} of {len(validation)} pictures right")
finally:
    predictor.delete_endpoint()
