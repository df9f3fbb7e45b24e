"""SDK v3's ScriptProcessor in local mode, without a role, its output in a folder of this machine."""

import tempfile
from pathlib import Path

from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import ProcessingOutput, ProcessingS3Output

folder = Path(tempfile.mkdtemp())
(folder / "write.py").write_text('open("/opt/ml/processing/out/made.txt", "w").write("made")\nprint("has written")\n')
processor = ScriptProcessor(
    image_uri="763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310",
    command=["python3"],
    instance_count=1,
    instance_type="local",
)
processor.run(
    code=str(folder / "write.py"),
    outputs=[
        ProcessingOutput(
            output_name="out",
            s3_output=ProcessingS3Output(
                s3_uri=f"file://{folder}/out", local_path="/opt/ml/processing/out", s3_upload_mode="EndOfJob"
            ),
        )
    ],
)
print("made", (folder / "out" / "made.txt").read_text())
