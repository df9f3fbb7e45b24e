"""The same script with SageMaker SDK v3: its own drivers start it."""

import sys
from pathlib import Path

from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train import ModelTrainer

folder = Path(sys.argv[1])
session = Session()
image = image_uris.retrieve(
    "pytorch",
    session.boto_region_name,
    version="2.1",
    py_version="py310",
    instance_type="ml.c5.xlarge",
    image_scope="training",
)
trainer = ModelTrainer(
    training_image=image,
    role=get_execution_role(),
    sagemaker_session=session,
    base_job_name="script-v3",
    source_code=SourceCode(source_dir=str(Path(__file__).with_name("script")), entry_script="train.py"),
    compute=Compute(instance_type="ml.c5.xlarge", instance_count=1),
    hyperparameters={"epochs": 60, "lr": 0.05, "nesterov": True, "crop": [1, 2]},
)
data = session.upload_data(str(folder / "train"), key_prefix="script-v3/train")
trainer.train(input_data_config=[InputData(channel_name="training", data_source=data)], wait=True, logs=True)
job = trainer._latest_training_job
print("status", job.training_job_status)
logs = session.boto_session.client("logs")
where = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
streams = logs.describe_log_streams(logStreamNamePrefix=job.training_job_name, **where)["logStreams"]
events = logs.get_log_events(logStreamName=streams[0]["logStreamName"], startFromHead=True, **where)["events"]
print(*(event["message"] for event in events), sep="\n")
