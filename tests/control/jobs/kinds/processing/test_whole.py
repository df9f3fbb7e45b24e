"""Processing jobs from their request to their end, with real processes and gateways that come and go."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from tests.control.jobs.world import LocalWorld

from clary.control.jobs import creation, folders
from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.jobs.launchers.local import lock, namespace

from .conftest import wanted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not namespace.available(), reason="needs mount namespaces"),
]

# Leaves a folder of the name of its attempt, and fails on one that is there already.
SCRIPT = b"""
import os, sys, time
here = "/opt/ml/processing/train"
os.mkdir(f"{here}/made")
with open("/opt/ml/processing/live/started", "a") as file:
    file.write("x")
with open("/opt/ml/processing/input/a.csv", "a") as file:
    file.write(" changed")
print("up", flush=True)
while not os.path.exists("/opt/ml/go"):
    time.sleep(0.01)
with open(f"{here}/made/whole.csv", "w") as file:
    file.write(open("/opt/ml/processing/input/a.csv").read())
open("/opt/ml/output/message", "w").write("all of it")
"""
OUTPUTS = [
    wanted("train", "s3://bucket/out/train", "/opt/ml/processing/train"),
    wanted("live", "s3://bucket/out/live", "/opt/ml/processing/live", "Continuous"),
]


class Jobs:
    def __init__(self, world: LocalWorld, make_request: Any) -> None:
        self.world = world
        self._make_request = make_request

    async def create(self, name: str, **members: Any) -> None:
        request = self._make_request(name, **members)
        await creation.create(KIND, request, self.world.jobs._context, region="eu-west-1")

    def body(self, name: str) -> dict[str, Any]:
        found = self.world.store.get(KIND.name, name)
        assert found is not None
        return dict(found.body)

    def folder(self, name: str) -> Any:
        return folders.job_folder(self.world.settings, KIND.name, name)

    def lines(self, name: str) -> list[str]:
        record = self.world.store.get(KIND.name, name)
        assert record is not None
        stream = folders.stream_name(name, "algo-1", record.created)
        logs = self.world.logs
        return (
            [e.message for e in logs.events(KIND.log_group, stream)] if logs.has_stream(KIND.log_group, stream) else []
        )

    async def up(self, name: str, times: int = 1) -> None:
        await self.world.until(lambda: self.lines(name).count("up") == times)

    def go(self, name: str) -> None:
        (self.folder(name) / "opt_ml/go").touch()

    async def ended(self, name: str) -> dict[str, Any]:
        async with asyncio.timeout(40):
            return dict((await self.world.jobs.ended(KIND.name, name)).body)

    async def cleared(self, name: str) -> None:
        """The results go last, when the record says the end."""
        await self.world.until(lambda: not (self.folder(name) / "opt_ml/processing").exists())

    def stored(self, key: str) -> str:
        with self.world.objects.open("bucket", key) as file:
            return file.read().decode()

    def keys(self) -> list[str]:
        return [found.key for found in self.world.objects.list("bucket", "out/")]


@pytest.fixture
def jobs(local_world, make_request, stored, upload):
    upload({"code/prep.py": SCRIPT})
    return Jobs(local_world, make_request)


def test_killed_monitors_and_gateways_lose_nothing(jobs):
    async def first() -> None:
        async with jobs.world.gateway():
            await jobs.create("job", outputs=OUTPUTS)
            await jobs.up("job")
            os.kill(lock.holder(jobs.folder("job")), signal.SIGKILL)
            # Another attempt, on the inputs as they are in the bucket and on outputs that are empty.
            await jobs.up("job", times=2)
            assert jobs.body("job")["_attempt"] == 2

    async def second() -> None:
        async with jobs.world.gateway():
            assert jobs.body("job")["ProcessingJobStatus"] == "InProgress"
            jobs.go("job")
            body = await jobs.ended("job")
            assert (body["ProcessingJobStatus"], body["ExitMessage"]) == ("Completed", "all of it"), body
            assert body["ProcessingStartTime"] <= body["ProcessingEndTime"]
            await jobs.cleared("job")

    asyncio.run(first())
    asyncio.run(second())
    assert jobs.keys() == ["out/live/started", "out/train/made/whole.csv"]
    assert jobs.stored("out/live/started") == "x"
    assert jobs.stored("out/train/made/whole.csv") == "a changed"
    assert jobs.stored("data/a.csv") == "a"


def test_stopped_out_of_time_and_failed(jobs):
    async def live() -> None:
        async with jobs.world.gateway() as running:
            await jobs.create("stopped", outputs=OUTPUTS)
            await jobs.create("late", outputs=OUTPUTS, StoppingCondition={"MaxRuntimeInSeconds": 1})
            await jobs.up("stopped")
            running.stop(KIND.name, "stopped")
            body = await jobs.ended("stopped")
            assert (body["ProcessingJobStatus"], body.get("FailureReason")) == ("Stopped", None)
            assert (await jobs.ended("late"))["ProcessingJobStatus"] == "Stopped"
            entry = {"ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/none.py"]}
            image = {"ImageUri": "pytorch-training:2.1-cpu-py310"}
            await jobs.create("failed", AppSpecification=image | entry)
            body = await jobs.ended("failed")
            assert body["FailureReason"] == "AlgorithmError: See job logs for more information, exit code: 2"
            assert any("none.py" in line for line in jobs.lines("failed"))
            await jobs.cleared("failed")

    asyncio.run(live())


def test_two_hosts_each_with_its_own_tree(jobs, upload):
    upload(
        {
            "code/prep.py": b"""
import json, os
me = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
open(f"/opt/ml/processing/train/{me}", "w").write(" ".join(sorted(os.listdir("/opt/ml/processing/input"))))
"""
        }
    )

    async def live() -> None:
        async with jobs.world.gateway():
            cluster = {"InstanceCount": 2, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}
            await jobs.create("pair", ProcessingResources={"ClusterConfig": cluster})
            assert (await jobs.ended("pair"))["ProcessingJobStatus"] == "Completed"

    asyncio.run(live())
    assert jobs.keys() == ["out/train/algo-1", "out/train/algo-2"]
    assert jobs.stored("out/train/algo-1") == jobs.stored("out/train/algo-2") == "a.csv b code"
