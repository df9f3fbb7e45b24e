"""What `clary run` says of a job and of a bucket of AWS's, in real Python processes with the real botocore."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from tests.loopback import serving

from clary.client.environment import HOOK
from clary.control.objects.aws_buckets import remark

ARN = "arn:aws:sagemaker:us-east-1:000000000000:training-job/pets-1"
PROGRAM = """
import botocore.session
session = botocore.session.Session()
job = session.create_client("sagemaker", region_name="us-east-1")
job.create_training_job(
    TrainingJobName="pets-1", AlgorithmSpecification={"TrainingInputMode": "File"}, RoleArn="a" * 20,
    OutputDataConfig={"S3OutputPath": "s3://b"}, ResourceConfig={"VolumeSizeInGB": 1}, StoppingCondition={})
job.create_processing_job(
    ProcessingJobName="pets-1", AppSpecification={"ImageUri": "i"}, RoleArn="a" * 20,
    ProcessingResources={"ClusterConfig": {"VolumeSizeInGB": 1}})
s3 = session.create_client("s3", region_name="us-east-1")
for bucket in ("sagemaker-sample-files", "sagemaker-sample-files", "mine", "sagemaker-us-east-1-111122223333"):
    try:
        s3.head_object(Bucket=bucket, Key="a.jpg")
    except Exception as error:
        print(error)
raise SystemExit("the program's own last word")
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A gateway that starts any job and has no bucket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers["X-Amz-Target"].removeprefix("SageMaker.Create")
            body = f'{{"{kind}Arn": "{ARN}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            name = next(part for part in (*self.headers["Host"].split("."), *self.path.split("/")) if known(part))
            self.send_response(404)
            self.send_header("x-amz-error-message", f"The specified bucket does not exist: {name}{remark(name)}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with serving(Handler) as url:
        yield url


def known(word: str) -> bool:
    return word == "mine" or word.startswith("sagemaker-")


def told(url: str, **variables: str) -> list[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLARY_", "PYTHON"))}
    environ |= {"PYTHONPATH": str(HOOK), "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    environ |= {"CLARY_ENDPOINT": url, "AWS_ENDPOINT_URL": url, "NO_PROXY": "127.0.0.1", **variables}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout.count("Not Found") == 4, done.stderr
    return done.stderr.splitlines()


def test_a_job_is_said_when_it_begins_and_a_bucket_of_aws_at_the_end_once(url: str) -> None:
    first, second, own, last = told(url, CLARY_FOLLOW="clary logs {} -f --home /x")
    assert first == "clary: job pets-1 started; follow it: clary logs pets-1 -f --home /x"
    assert second == first  # a processing job of this name
    assert own == "the program's own last word"
    missing = (
        "clary: The specified bucket does not exist: sagemaker-sample-files; it is AWS's own: fetch its files where"
    )
    assert last.startswith(missing)


def test_where_clary_run_did_not_start_the_program_nothing_is_said(url: str) -> None:
    assert told(url) == ["the program's own last word"]
