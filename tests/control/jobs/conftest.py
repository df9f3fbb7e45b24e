"""Object stores for tests of jobs: the local one, and one that pretends to be far away; requests, programs, jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from clary.control.jobs.kinds.training import programs
from clary.control.jobs.kinds.training.programs import ImageCommand
from clary.control.jobs.launch import Command, Exit, Launch
from clary.control.jobs.launchers.local import lock, orphans
from clary.control.jobs.launchers.local.launcher import LocalLauncher
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.settings import Settings

from .launchers.memory import MemoryLauncher
from .world import LocalWorld, World


class FarStore(LocalStore):
    """Behaves as a store that is not on this machine: objects can only be downloaded."""

    local = False

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        with self.open(bucket, key) as source:
            path.write_bytes(source.read())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", port=4747)


@pytest.fixture
def objects(settings: Settings) -> LocalStore:
    """An empty local store with the bucket ``bucket``."""
    store = LocalStore(settings.s3_root)
    store.create_bucket("bucket", "us-east-1")
    return store


@pytest.fixture
def far_objects(objects: LocalStore) -> FarStore:
    """The same objects, as if they were elsewhere."""
    return FarStore(objects.root)


@pytest.fixture
def upload(objects: LocalStore) -> Callable[..., None]:
    """``upload({"a/b.txt": b"...", "marker/": b""})``: into ``bucket``."""

    def put(files: dict[str, bytes], bucket: str = "bucket") -> None:
        for key, data in files.items():
            if key.endswith("/"):
                objects.mark_folder(bucket, key, ObjectMetadata(marker=True))
                continue
            path = objects.root / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return put


@pytest.fixture
def make_channel() -> Callable[..., dict[str, Any]]:
    """``make_channel("train", "s3://bucket/data/", kind="S3Prefix", **members)``: a channel of a request."""

    def make(name: str, uri: str, kind: str = "S3Prefix", distribution: str = "", **members: Any) -> dict[str, Any]:
        source = {"S3DataType": kind, "S3Uri": uri}
        source |= {"S3DataDistributionType": distribution} if distribution else {}
        return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **members}

    return make


@pytest.fixture
def make_body(make_channel: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """``make_body(name="job", **members)``: the record's body of a job for image classification."""

    def make(name: str = "job", **members: Any) -> dict[str, Any]:
        body = {
            "TrainingJobName": name,
            "TrainingJobArn": f"arn:aws:sagemaker:eu-west-1:000000000000:training-job/{name}",
            "AlgorithmSpecification": {
                "TrainingImage": "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1",
                "TrainingInputMode": "File",
            },
            "HyperParameters": {"num_classes": "2", "num_training_samples": "4"},
            "InputDataConfig": [make_channel("train", "s3://bucket/train/", ContentType="application/x-image")],
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out/", "KmsKeyId": ""},
            "ResourceConfig": {"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "RoleArn": "arn:aws:iam::000000000000:role/ClaryRole",
            "CreationTime": 1_700_000_000.5,
            "_attempt": 1,
        }
        return body | members

    return make


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """``wait_for(condition, seconds=20)``: what ``condition()`` says once that is true; fails when it never is."""

    def wait(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
            time.sleep(0.01)
        return found

    return wait


@dataclass
class Monitors:
    """Starts monitors of tiny programs, one folder each, and leaves none behind."""

    root: Path
    wait: Callable[..., Any]
    launches: list[Launch] = field(default_factory=list)

    def prepare(self, *argv: str, name: str = "job", **members: Any) -> Launch:
        folder = self.root / f"{name}-{len(self.launches)}"
        (folder / "opt_ml").mkdir(parents=True)
        given: dict[str, Any] = {"environment": {"PATH": os.environ["PATH"]}, "grace": 10.0} | members
        given = {"program": Command(argv)} | given
        launch = Launch(job=name, folder=folder, log=folder / "log", **given)
        launch.write()
        self.launches.append(launch)
        return launch

    def start(self, launch: Launch) -> str:
        """The monitor's answer."""
        command = [sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.job_monitor", str(launch.folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def run(self, *argv: str, **members: Any) -> tuple[Exit, list[str]]:
        """Exit note and log lines of a program that was run to its end."""
        launch = self.prepare(*argv, **members)
        self.start(launch)
        return self.end(launch), self.lines(launch)

    def end(self, launch: Launch) -> Exit:
        found: Exit = self.wait(lambda: Exit.read(launch.folder, launch.attempt))
        self.wait(lambda: not lock.is_held(launch.folder))
        return found

    def lines(self, launch: Launch) -> list[str]:
        return [line.partition(" ")[2] for line in launch.log.read_text().splitlines()]

    def close(self) -> None:
        for launch in self.launches:
            process = lock.holder(launch.folder)
            if process and lock.is_held(launch.folder):
                os.kill(process, signal.SIGKILL)
            self.wait(lambda folder=launch.folder: not lock.is_held(folder))
            orphans.kill_orphans(launch.folder, process, lock.last_started(launch.folder))


@pytest.fixture
def monitors(tmp_path: Path, wait_for: Callable[..., Any]) -> Iterator[Monitors]:
    """Runs tiny programs under real monitors: see ``Monitors``."""
    found = Monitors(tmp_path / "jobs", wait_for)
    yield found
    found.close()


@pytest.fixture
def world(settings, objects, upload, make_body, monkeypatch):
    """A ``World`` whose jobs run in memory; see tests/control/jobs/launchers/local for one with processes."""
    upload({"train/a.txt": b"data\n"})
    monkeypatch.setattr(programs, "resolve", lambda specification, rules=(): ImageCommand(("program",)))
    found = World(settings, objects, make_body, MemoryLauncher())
    yield found
    found.store.close()


@pytest.fixture
def local_world(settings, objects, upload, make_body, monkeypatch):
    """The same with processes: every job runs the shell script ``local_world.program``."""
    upload({"train/a.txt": b"data\n"})
    found = LocalWorld(settings, objects, make_body, LocalLauncher(settings))
    monkeypatch.setattr(programs, "resolve", lambda specification, rules=(): ImageCommand(("sh", "-c", found.program)))
    yield found
    found.close()
