"""What public notebooks do with SDK v2's processors: SKLearnProcessor, ScriptProcessor, local mode, failures, stops."""

import json
import tempfile
from pathlib import Path

import boto3
import sagemaker
from sagemaker.exceptions import UnexpectedStatusException
from sagemaker.processing import ProcessingInput, ProcessingJob, ProcessingOutput, Processor, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor

CODE = """
import argparse, json, os
import numpy as np
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--ratio", type=float, default=0.3)
args, _ = parser.parse_known_args()
rows = np.loadtxt("/opt/ml/processing/input/rows.csv", delimiter=",")
train, test = train_test_split(rows, test_size=args.ratio, random_state=0)
np.savetxt("/opt/ml/processing/train/train.csv", train)
np.savetxt("/opt/ml/processing/test/test.csv", test)
print("shapes", train.shape, test.shape, os.environ["STAGE"])
"""

folder = Path(tempfile.mkdtemp())
(folder / "rows.csv").write_text("".join(f"{n},{n * n}\n" for n in range(20)))
(folder / "preprocessing.py").write_text(CODE)
(folder / "broken.py").write_text("import sys\nprint('about to fail')\nsys.exit(3)\n")

session = sagemaker.Session()
role = sagemaker.get_execution_role()
session.sagemaker_client.create_experiment(ExperimentName="splits")
processor = SKLearnProcessor(
    framework_version="1.2-1",
    role=role,
    instance_type="ml.m5.xlarge",
    instance_count=1,
    env={"STAGE": "test"},
    tags=[{"Key": "team", "Value": "pets"}],
    max_runtime_in_seconds=600,
)
outputs = [
    ProcessingOutput(output_name="train_data", source="/opt/ml/processing/train"),
    ProcessingOutput(output_name="test_data", source="/opt/ml/processing/test"),
]
processor.run(
    code=str(folder / "preprocessing.py"),
    inputs=[ProcessingInput(source=str(folder / "rows.csv"), destination="/opt/ml/processing/input")],
    outputs=outputs,
    arguments=["--ratio", "0.25"],
    experiment_config={"ExperimentName": "splits", "TrialComponentDisplayName": "preprocessing"},
)
description = processor.jobs[-1].describe()
print("status", description["ProcessingJobStatus"])
for output in description["ProcessingOutputConfig"]["Outputs"]:
    uri = output["S3Output"]["S3Uri"]
    print(
        output["OutputName"],
        len(
            sagemaker.s3.S3Downloader.read_file(
                f"{uri}/{output['OutputName'].split('_')[0]}.csv", sagemaker_session=session
            ).splitlines()
        ),
    )

attached = ProcessingJob.from_processing_name(session, processor.latest_job.job_name)
print("attached", [one.destination for one in attached.inputs], [one.source for one in attached.outputs])

failing = ScriptProcessor(
    image_uri=processor.image_uri, command=["python3"], role=role, instance_count=1, instance_type="ml.m5.xlarge"
)
try:
    failing.run(code=str(folder / "broken.py"))
except UnexpectedStatusException as error:
    print("raised", str(error).splitlines()[0])

waiting = Processor(
    role=role,
    image_uri=processor.image_uri,
    entrypoint=["sh", "-c", "echo started; sleep 600"],
    instance_count=1,
    instance_type="ml.m5.xlarge",
)
waiting.run(wait=False, logs=False)
waiting.latest_job.stop()
boto3.client("sagemaker").get_waiter("processing_job_completed_or_stopped").wait(
    ProcessingJobName=waiting.latest_job.job_name
)
print("stopped", waiting.latest_job.describe()["ProcessingJobStatus"])

local = SKLearnProcessor(
    framework_version="1.2-1", role=role, instance_type="local", instance_count=1, env={"STAGE": "local"}
)
local.run(
    code=str(folder / "preprocessing.py"),
    inputs=[ProcessingInput(source=str(folder / "rows.csv"), destination="/opt/ml/processing/input")],
    outputs=[
        ProcessingOutput(output_name="train", source="/opt/ml/processing/train"),
        ProcessingOutput(output_name="test", source="/opt/ml/processing/test"),
    ],
)
names = [one["ProcessingJobName"] for one in boto3.client("sagemaker").list_processing_jobs()["ProcessingJobSummaries"]]
print("listed", json.dumps(local.latest_job.job_name in names))
