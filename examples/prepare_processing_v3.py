"""Prepare channels by a processing job of one's own script: SageMaker Python SDK v3.

    python prepare_processing_v3.py PICTURES [SIZE]

PICTURES is a folder a class; SIZE the shorter side of what comes out, 256 pixels unless said.
"""

import sys
from pathlib import Path

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output

pictures = Path(sys.argv[1])
size = sys.argv[2] if len(sys.argv) > 2 else "256"

session = Session()
bucket, prefix = session.default_bucket(), f"prepare-v3/{pictures.resolve().name}"
channels = ("train", "validation", "train_lst", "validation_lst")

processor = FrameworkProcessor(
    image_uri=image_uris.retrieve(
        "pytorch",
        session.boto_region_name,
        version="2.1",
        py_version="py310",
        instance_type="ml.m5.xlarge",
        image_scope="training",
    ),
    command=["python3"],
    role=get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    base_job_name="resize-pictures",
    sagemaker_session=session,
)
processor.run(
    code="resize_pictures.py",
    source_dir=str(Path(__file__).parent / "processing"),
    arguments=["--size", size, "--validation", "0.25"],
    inputs=[
        ProcessingInput(
            input_name="pictures",
            s3_input=ProcessingS3Input(
                s3_uri=str(pictures),
                local_path="/opt/ml/processing/input/pictures",
                s3_data_type="S3Prefix",
                s3_input_mode="File",
            ),
        )
    ],
    outputs=[
        ProcessingOutput(
            output_name=name,
            s3_output=ProcessingS3Output(
                s3_uri=f"s3://{bucket}/{prefix}/{name}",
                local_path=f"/opt/ml/processing/output/{name}",
                s3_upload_mode="EndOfJob",
            ),
        )
        for name in channels
    ],
)

job = processor.latest_job
job.refresh()
print(f"{job.processing_job_status}: {job.exit_message}")
s3 = boto3.client("s3")
for name in channels:
    stored = s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/{name}/")
    print(f"{name}: {stored['KeyCount']} objects in s3://{bucket}/{prefix}/{name}")
