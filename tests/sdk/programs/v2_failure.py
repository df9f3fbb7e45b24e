"""A job whose hyperparameters are wrong: what `fit` raises."""

import sys
from pathlib import Path

import sagemaker
from sagemaker import exceptions, image_uris
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput

folder = Path(sys.argv[1])
session = sagemaker.Session()
estimator = Estimator(
    image_uris.retrieve("image-classification", session.boto_region_name),
    sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.p3.2xlarge",
    sagemaker_session=session,
)
estimator.set_hyperparameters(num_classes=3, num_training_samples=24, learning_rate="much")
channels = {
    name: TrainingInput(
        session.upload_data(str(folder / name), key_prefix=f"failure/{name}"), content_type="application/x-image"
    )
    for name in ("train", "validation", "train_lst", "validation_lst")
}
try:
    estimator.fit(channels, logs=False)
except exceptions.UnexpectedStatusException as error:
    print("raised", error.actual_status, error)
