"""kill -9 of anything at random instants: no job is lost or run twice, no acknowledged object is missing or torn.

CI does ten rounds, `make long` two hundred; CLARY_KILL_ROUNDS and CLARY_KILL_SEED make CI's others.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from clary.client import gateway
from clary.control import home as homes
from clary.control.jobs.launchers.local.lock import holder, is_held

ROUNDS = int(os.environ.get("CLARY_KILL_ROUNDS", "10"))
SEED = int(os.environ.get("CLARY_KILL_SEED", "0"))
LONG = 200
PATIENCE = 30.0  # seconds a round until everything that was started must have ended
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
ROLE = "arn:aws:iam::000000000000:role/Test"
ENDED = {"Completed", "Failed", "Stopped"}


class Platform:
    """A platform on a port of its own that is started again whenever it was killed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        gateway.start(self.home, ["--port", str(self._port)])

    @property
    def pid(self) -> int:
        server = homes.read_server(self.home)
        assert server is not None
        return server.pid

    def client(self, service: str) -> Any:
        """A client that tries again for as long as a start takes."""
        options = Config(retries={"max_attempts": 8, "mode": "standard"}, read_timeout=60)
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self._port}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="y",
            config=options,
        )


class Uploader(threading.Thread):
    """Puts objects over each other without pause, and remembers what may be found under each key."""

    def __init__(self, s3: Any) -> None:
        super().__init__(daemon=True)
        self._s3 = s3
        self._random = random.Random(SEED)
        self.enough = threading.Event()
        self.possible: dict[str, list[bytes]] = {}
        self.acknowledged = 0

    def run(self) -> None:
        while not self.enough.is_set():
            key = f"objects/{self._random.randrange(12)}"
            body = self._random.randbytes(self._random.choice([10, 5_000, 300_000]))
            allowed = self.possible.setdefault(key, [b""])
            allowed.append(body)  # from now on it may be there
            with suppress(ClientError, BotoCoreError):
                self._s3.put_object(Bucket="kill", Key=key, Body=body)
                self.possible[key] = [body]  # and now nothing else
                self.acknowledged += 1


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    platform = Platform(tmp_path / "home")
    yield platform
    gateway.stop(platform.home)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(LONG, marks=pytest.mark.long)])
def test_nothing_is_lost_whatever_is_killed(rounds, platform, colour_model, colour_jpeg):
    chance = random.Random(SEED)
    s3, sagemaker = platform.client("s3"), platform.client("sagemaker")
    s3.create_bucket(Bucket="kill")
    upload_images(s3, colour_jpeg)
    s3.upload_file(str(colour_model), "kill", "model.tar.gz")
    deploy(sagemaker)
    uploader = Uploader(platform.client("s3"))
    uploader.start()
    jobs: list[str] = []
    shot: set[str] = set()
    for number in range(rounds):
        jobs.append(create(sagemaker, f"job-{number}"))
        threading.Event().wait(chance.uniform(0, 1.5))
        victim = chance.choice([kill_gateway, kill_monitor, kill_program, kill_worker, kill_forkserver])
        victim(platform, jobs, shot, chance)
        assert len(invoke(platform, colour_jpeg("red"))) == 3
    uploader.enough.set()
    uploader.join()
    until(lambda: all(status(sagemaker, name) in ENDED for name in jobs), rounds)

    for name in jobs:
        check_job(platform, name, was_shot=name in shot)
    assert uploader.acknowledged > 0
    for key, allowed in uploader.possible.items():
        found = s3.get_object(Bucket="kill", Key=key)["Body"].read() if present(s3, key) else b""
        assert found in allowed, f"{key} is missing or torn"


# What is killed


def kill_gateway(platform: Platform, jobs: list[str], shot: set[str], chance: random.Random) -> None:
    os.kill(platform.pid, signal.SIGKILL)
    until(lambda: not homes.held(platform.home))
    platform.start()


def kill_monitor(platform: Platform, jobs: list[str], shot: set[str], chance: random.Random) -> None:
    """The job's program dies with it, and the job is started again."""
    monitors = running(platform, jobs)
    if monitors:
        kill(monitors[chance.choice(sorted(monitors))])


def kill_program(platform: Platform, jobs: list[str], shot: set[str], chance: random.Random) -> None:
    """An algorithm that was killed has failed, as on SageMaker."""
    monitors = running(platform, jobs)
    for name in sorted(monitors)[:1]:
        for pid in children(monitors[name]):
            shot.add(name)
            kill(pid)


def kill_worker(platform: Platform, jobs: list[str], shot: set[str], chance: random.Random) -> None:
    for pid in of_gateway(platform, "hosting.worker"):
        kill(pid)


def kill_forkserver(platform: Platform, jobs: list[str], shot: set[str], chance: random.Random) -> None:
    for pid in of_gateway(platform, "local.forkserver"):
        kill(pid)


def running(platform: Platform, jobs: list[str]) -> dict[str, int]:
    """The monitors of jobs that run now."""
    folders = {name: platform.home / "jobs" / name for name in jobs}
    return {name: holder(folder) for name, folder in folders.items() if is_held(folder)}


def of_gateway(platform: Platform, module: str) -> list[int]:
    return [pid for pid in children(platform.pid) if module in command(pid)]


def children(pid: int) -> list[int]:
    with suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return []


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# What must hold


def check_job(platform: Platform, name: str, *, was_shot: bool) -> None:
    sagemaker, s3 = platform.client("sagemaker"), platform.client("s3")
    job = sagemaker.describe_training_job(TrainingJobName=name)
    if job["TrainingJobStatus"] != "Completed":
        assert was_shot, f"{name}: {job['TrainingJobStatus']}, {job.get('FailureReason')}"
        return
    stages = [change["Status"] for change in job["SecondaryStatusTransitions"]]
    assert stages.count("Completed") == 1
    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://kill/")
    with tarfile.open(fileobj=io.BytesIO(s3.get_object(Bucket="kill", Key=key)["Body"].read())) as archive:
        assert "manifest.json" in archive.getnames()
    assert times_started(platform, name) <= 1 + stages.count("Restarting")
    assert name not in running(platform, [name])


def times_started(platform: Platform, name: str) -> int:
    logs = platform.client("logs")
    found = logs.filter_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs",
        logStreamNamePrefix=f"{name}/",
        filterPattern='"Reading default configuration"',
    )
    return len(found["events"])


def until(condition: Callable[[], bool], rounds: int = ROUNDS) -> None:
    deadline = time.monotonic() + 60.0 + PATIENCE * rounds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        threading.Event().wait(0.1)


# The programs' side


def upload_images(s3: Any, jpeg: Callable[..., bytes]) -> None:
    for split, count in (("train", 4), ("validation", 2)):
        lines: list[str] = []
        for label, colour in enumerate(("blue", "green", "red")):
            for number in range(count):
                s3.put_object(Bucket="kill", Key=f"{split}/{colour}{number}.jpg", Body=jpeg(colour, number))
                lines.append(f"{len(lines)}\t{label}\t{colour}{number}.jpg\n")
        s3.put_object(Bucket="kill", Key=f"{split}_lst/{split}.lst", Body="".join(lines).encode())


def create(sagemaker: Any, name: str) -> str:
    """Create a job; a call that was cut off is made again, and a job that is there then was acknowledged."""
    names = ("train", "validation", "train_lst", "validation_lst")
    channels = [
        {
            "ChannelName": name,
            "ContentType": "application/x-image",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://kill/{name}/"}},
        }
        for name in names
    ]
    shape = {"num_layers": "20", "image_shape": "3,28,28", "num_classes": "3", "num_training_samples": "12"}
    with suppress(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={**shape, "epochs": "3", "mini_batch_size": "4", "precision": "fp32"},
            InputDataConfig=channels,
            OutputDataConfig={"S3OutputPath": "s3://kill/output"},
            ResourceConfig={"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
    return name


def status(sagemaker: Any, name: str) -> str:
    return str(sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"])


def deploy(sagemaker: Any) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": "s3://kill/model.tar.gz"}
    sagemaker.create_model(ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m4.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    until(lambda: sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService")


def invoke(platform: Platform, image: bytes) -> list[float]:
    runtime = platform.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName="e", ContentType="image/jpeg", Body=image)
    scores: list[float] = json.loads(answer["Body"].read())
    return scores


def present(s3: Any, key: str) -> bool:
    try:
        s3.head_object(Bucket="kill", Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] == "404":
            return False
        raise
    return True
