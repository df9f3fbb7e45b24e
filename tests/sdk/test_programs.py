"""The programs of examples/, as written for AWS, run to their end and come to the right answers."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from clary.client import gateway

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

pytestmark = pytest.mark.slow


def right(output: str, of: int = 12) -> int:
    """How many of the pictures that a program asks the endpoint about."""
    (count,) = re.findall(rf"\b(\d+) of {of} pictures right$", output, re.MULTILINE)
    return int(count)


def nothing_left_this_machine(output: str) -> None:
    """The proxy of these programs is a closed port, and names of other machines mean nothing in the tests."""
    assert not re.search(r"127\.0\.0\.1:9\b|(Proxy|Connection|NameResolution)Error|will collect telemetry", output)


def test_v2(finished):
    assert finished.code == 0, finished.output
    assert "role arn:aws:iam::000000000000:role/" in finished.output
    assert "bucket sagemaker-us-east-1-000000000000" in finished.output
    assert re.search(r"Starting - .*\n", finished.output)
    assert re.search(r"Epoch\[2\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert "Completed - Training job completed" in finished.output
    assert re.search(
        r"model s3://\S+/classify-v2/channels/output/image-classification-\S+/output/model\.tar\.gz", finished.output
    )
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


@pytest.mark.pets
def test_v2_on_real_pets(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=235) >= 0.9 * 235
    nothing_left_this_machine(finished.output)


def test_v3(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"Epoch\[2\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def test_boto3(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^validation:accuracy [01]\.\d{4}$", finished.output, re.MULTILINE)
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def test_cli(finished):
    assert finished.code == 0, finished.output
    assert len(re.findall(r"Epoch\[\d\] Validation-accuracy=", finished.output)) == 3
    assert "endpoint InService" in finished.output
    (scores,) = re.findall(r"^scores of .*: \[(.*)\]$", finished.output, re.MULTILINE)
    assert sum(map(float, scores.split(","))) == pytest.approx(1, abs=1e-3)
    nothing_left_this_machine(finished.output)


def test_notebook(finished):
    assert finished.code == 0, finished.output
    assert "validation:accuracy" in finished.output
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def test_v2_says_why_a_job_failed(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^raised Failed Error for Training job \S+: Failed\. Reason: ", finished.output, re.MULTILINE)
    assert "learning_rate" in finished.output
    nothing_left_this_machine(finished.output)


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("classify*")))
def test_programs_know_nothing_of_this_platform(name):
    text = (EXAMPLES / name).read_text().lower()
    assert "clary" not in text
    assert "endpoint_url" not in text
    assert "endpoint-url" not in text
    assert "localhost" not in text
    assert "127.0.0" not in text


def test_without_a_running_platform_run_starts_one_for_the_time_of_the_program(tmp_path, cli):
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    out = tmp_path / "out"
    code, _, told = cli(
        "run", "--home", tmp_path / "home", "sh", "-c", f'{sys.executable} -c "{program}" > {out}; exit 7'
    )
    assert (code, out.read_text()) == (7, "000000000000\n")
    assert "no platform runs; starting one for the time of this command" in told
    with pytest.raises(gateway.NotRunningError):
        gateway.running(tmp_path / "home")
