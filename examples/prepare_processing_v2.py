"""Prepare channels by a processing job of one's own script: SageMaker Python SDK v2.

    python prepare_processing_v2.py PICTURES [SIZE]

PICTURES is a folder a class; SIZE the shorter side of what comes out, 256 pixels unless said.
"""

import sys
from pathlib import Path

import sagemaker
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.pytorch import PyTorchProcessor

pictures = Path(sys.argv[1])
size = sys.argv[2] if len(sys.argv) > 2 else "256"

session = sagemaker.Session()
prefix = f"s3://{session.default_bucket()}/prepare-v2/{pictures.resolve().name}"
channels = ("train", "validation", "train_lst", "validation_lst")

processor = PyTorchProcessor(
    framework_version="2.1",
    py_version="py310",
    role=sagemaker.get_execution_role(),
    instance_count=1,
    instance_type="ml.m5.xlarge",
    base_job_name="resize-pictures",
    sagemaker_session=session,
)
processor.run(
    code="resize_pictures.py",
    source_dir=str(Path(__file__).parent / "processing"),
    arguments=["--size", size, "--validation", "0.25"],
    inputs=[ProcessingInput(source=str(pictures), destination="/opt/ml/processing/input/pictures")],
    outputs=[
        ProcessingOutput(output_name=name, source=f"/opt/ml/processing/output/{name}", destination=f"{prefix}/{name}")
        for name in channels
    ],
)

job = processor.latest_job.describe()
print(f"{job['ProcessingJobStatus']}: {job['ExitMessage']}")
for output in processor.latest_job.outputs:
    stored = sagemaker.s3.S3Downloader.list(f"{output.destination}/", sagemaker_session=session)
    print(f"{output.output_name}: {len(stored)} objects in {output.destination}")
