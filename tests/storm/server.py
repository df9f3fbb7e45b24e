"""A platform as users start it, in a home of its own, with what it logged and the memory it took."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.control.test_kill import Platform, children, until
from tests.storm.weather import Tally, tracebacks

from clary.client import gateway
from clary.control import home as homes
from clary.control.jobs.launchers.local.lock import holder, is_held

__all__ = ["ENDED", "Server"]

MEMORY = 1 << 30  # bytes that a gateway may ever have had; idle it takes some 150 MB
ENDED = {"Completed", "Failed", "Stopped"}


class Server(Platform):
    """Stopped when the block ends, and its jobs with it; what it logged is looked through, and copied to ``logs``."""

    def __init__(self, home: Path, tally: Tally, options: Sequence[str] = (), *, logs: Path | None = None) -> None:
        self._tally, self._options, self._logs, self._starts = tally, list(options), logs or home.parent, 0
        self.key, self.secret = "x", "y"
        super().__init__(home)
        if "--require-signatures" in self._options:
            ((self.key, self.secret),) = homes.credentials(home).items()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        jobs = [folder for folder in (self.home / "jobs").glob("*") if is_held(folder)]
        processes = [child for folder in jobs for child in (*children(holder(folder)), holder(folder))]
        if homes.held(self.home):
            self.look_at_memory()
            gateway.stop(self.home)
        for process in filter(None, processes):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.look_at_log()

    def start(self) -> None:
        # A new log begins with each start.
        self.look_at_log()
        gateway.start(self.home, ["--port", str(self._port), *self._options])

    @property
    def port(self) -> int:
        return int(self._port)

    def client(self, service: str, *, attempts: int = 8) -> Any:
        """A client that tries ``attempts`` times: as long as a start takes, unless told otherwise."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self._port}",
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            config=Config(retries={"max_attempts": attempts, "mode": "standard"}, read_timeout=120),
        )

    def look_at_log(self) -> None:
        log = gateway.log_file(self.home)
        if not log.exists():
            return
        self._starts += 1
        text = log.read_text(errors="replace")
        (self._logs / f"gateway-{self._starts}.log").write_text(text)  # for who keeps the folder of a round
        for error in tracebacks(text):
            self._tally.find(f"the server's log has a traceback: {error}")

    def look_at_memory(self) -> None:
        status = Path(f"/proc/{self.pid}/status").read_text().split()
        peak = int(status[status.index("VmHWM:") + 1]) << 10
        if peak > MEMORY:
            self._tally.find(f"the server took {peak >> 20} MiB of memory, more than {MEMORY >> 20}")

    def end_all(self) -> None:
        """Stop jobs and delete endpoints; each job must come to an end that says why."""
        sagemaker = self.client("sagemaker")
        for page in sagemaker.get_paginator("list_endpoints").paginate():
            for endpoint in page["Endpoints"]:
                try:
                    sagemaker.delete_endpoint(EndpointName=endpoint["EndpointName"])
                except ClientError:  # it is on its way already
                    continue
        pages = sagemaker.get_paginator("list_training_jobs").paginate()
        names = [job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]]
        for name in names:
            self._stop_job(sagemaker, name)
        try:
            until(lambda: all(self.describe(name)["TrainingJobStatus"] in ENDED for name in names))
        except AssertionError:
            states = {name: self.describe(name)["SecondaryStatus"] for name in names}
            self._tally.find(f"jobs never end: { ({n: s for n, s in states.items() if s not in ENDED}) }")
        for name in names:
            job = self.describe(name)
            if job["TrainingJobStatus"] == "Failed" and not job.get("FailureReason"):
                self._tally.find(f"a job failed and does not say why: {name}")

    def describe(self, name: str) -> dict[str, Any]:
        job: dict[str, Any] = self.client("sagemaker").describe_training_job(TrainingJobName=name)
        return job

    def _stop_job(self, sagemaker: Any, name: str) -> None:
        if self.describe(name)["TrainingJobStatus"] not in ENDED:
            try:
                sagemaker.stop_training_job(TrainingJobName=name)
            except (ClientError, BotoCoreError):  # it ended meanwhile
                return
