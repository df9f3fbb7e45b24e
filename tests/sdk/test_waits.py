"""The waiters of real clients, against a service whose job is over at the third question."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.loopback import serving

from clary.client import environment
from clary.client.patches.pauses import PAUSE
from clary.control.home import Server

from . import clients
from .conftest import RECORDER

WAIT = """
import sys, boto3
waiter = boto3.client("sagemaker").get_waiter("training_job_completed_or_stopped")
waiter.wait(TrainingJobName="job", **eval(sys.argv[1]))
"""


@pytest.fixture
def service() -> Iterator[str]:
    statuses = iter(("InProgress", "InProgress", "Completed"))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"TrainingJobStatus": next(statuses)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with serving(Handler) as url:
        yield url


def pauses(command: list[str], url: str, folder: Path) -> list[float]:
    """How long each pause of ``command`` was to be, in the environment of a gateway at ``url``."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environ |= {"PYTHONPATH": str(RECORDER), "PAUSES": str(folder / "pauses")}
    server = Server(url, 1, "0.1.0", str(folder), "us-east-1", 0.0)
    environ = environment.changes(server, environ).applied(environ)
    subprocess.run(command, env=environ, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return [float(line) for line in (folder / "pauses").read_text().splitlines()]


@pytest.mark.parametrize("asked", [{}, {"Delay": 30}, {"MaxAttempts": 3}])
def test_boto3(service: str, tmp_path: Path, asked: dict[str, int]) -> None:
    words = {"WaiterConfig": asked} if asked else {}
    assert pauses([sys.executable, "-c", WAIT, repr(words)], service, tmp_path) == [PAUSE, PAUSE]


@pytest.mark.slow
def test_cli(service: str, tmp_path: Path) -> None:
    """It has a botocore of its own, which only AWS_DATA_PATH reaches."""
    if not clients.is_whole(clients.location("cli")):
        pytest.skip("its environment is not there; `make clients` makes it")
    aws = clients.location("cli") / "bin" / "aws"
    words = ["sagemaker", "wait", "training-job-completed-or-stopped", "--training-job-name", "job"]
    assert pauses([str(aws), *words], service, tmp_path) == [PAUSE, PAUSE]
