"""Put pets into a bucket, then run examples/unet/engine.py as a plain program that reads them from there.

python unet_plain.py ENGINE FOLDER NAME=VALUE ...
"""

import subprocess
import sys
from pathlib import Path

import boto3

engine, folder = sys.argv[1], Path(sys.argv[2])
s3 = boto3.client("s3")
s3.create_bucket(Bucket="unet-plain")
for path in sorted((folder / "pets").rglob("*")):
    if path.is_file():
        s3.upload_file(str(path), "unet-plain", f"pets/{path.relative_to(folder / 'pets').as_posix()}")
settings = [f"--{word}" for word in sys.argv[3:]]
command = [sys.executable, engine, "--bucket", "unet-plain", "--weights", str(folder / "weights"), *settings]
command += ["--output-data-dir", "drawn"]
subprocess.run(command, check=True)
print("drawn", sorted(path.name for path in Path("drawn").iterdir()))
print("saved", [path.name for path in Path("model").glob("*/saved_model.pb")])
