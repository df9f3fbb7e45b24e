"""Jobs whose hyperparameters are wrong: what `fit` raises, and how long after their end."""

import sys
import time
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
estimator.set_hyperparameters(num_classes=3, num_training_samples=24)
channels = {
    name: TrainingInput(
        session.upload_data(str(folder / name), key_prefix=f"failure/{name}"), content_type="application/x-image"
    )
    for name in ("train", "validation", "train_lst", "validation_lst")
}
# The first fails before it starts, the second once it has seen its data.
for logs, wrong in ((False, {"learning_rate": "much"}), (True, {"learning_rate": 0.1, "num_classes": 2})):
    estimator.set_hyperparameters(**wrong)
    try:
        estimator.fit(channels, logs=logs)
    except exceptions.UnexpectedStatusException as error:
        now = time.time()
        print("raised", error.actual_status, error)
        job = session.describe_training_job(estimator.latest_training_job.name)
        print(f"after {now - job['TrainingEndTime'].timestamp():.1f} s")
