"""Killed at random instants: monitors, programs, gateways. No job is lost, none is done twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import tarfile
from contextlib import suppress

import pytest

from clary.control.jobs.kinds.training import programs
from clary.control.jobs.kinds.training.programs import ImageCommand
from clary.control.jobs.launchers.local import lock

ROUNDS = 10
STEPS = 12

# Does each step once, wherever it is killed: a step is done when its line is whole and synced.
PROGRAM = f"""
import fcntl, os, shutil, time
fcntl.flock(os.open("/opt/ml/checkpoints/alone", os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
with open("/opt/ml/checkpoints/steps", "a+b") as file:
    file.seek(0)
    whole = file.read().rpartition(b"\\n")[0]
    file.truncate(len(whole) + 1 if whole else 0)
    for step in range(len(whole.splitlines()), {STEPS}):
        file.write(b"%d\\n" % step)
        file.flush()
        os.fsync(file.fileno())
        print("step", step, flush=True)
        time.sleep(0.02)
shutil.copy("/opt/ml/checkpoints/steps", "/opt/ml/model/steps")
"""


@pytest.mark.slow
def test_each_job_ends_once_whatever_is_killed(world, monkeypatch):
    monkeypatch.setattr(programs, "resolve", lambda given, rules=(): ImageCommand((sys.executable, "-c", PROGRAM)))
    monkeypatch.setattr("clary.control.jobs.job_lifecycle.MOST_ATTEMPTS", 1000)
    rng = random.Random(7)
    names = [f"job-{number}" for number in range(ROUNDS)]

    async def live() -> None:
        """A gateway that is left at a random instant, as if killed, while monitors are."""
        async with world.gateway() as jobs:
            for _ in range(rng.randrange(1, 10)):
                await asyncio.sleep(rng.random() * 0.1)
                running = [name for name in names if lock.is_held(world.folder(name))]
                if running and rng.random() < 0.4:
                    kill(lock.holder(world.folder(rng.choice(running))))
            for task in list(jobs._tasks.values()):
                task.cancel()

    async def finish() -> None:
        async with world.gateway():
            await world.ended(*names)

    for name in names:
        world.create(name, CheckpointConfig={"S3Uri": f"s3://bucket/checkpoints/{name}"})
        asyncio.run(live())
    asyncio.run(finish())
    for name in names:
        assert world.status(name) == "Completed", world.record(name).body
        assert world.history(name).count("Completed") == 1
        assert not any("BlockingIOError" in line for line in world.lines(name)), "two ran at a time"
        with tarfile.open(world.settings.s3_root / f"bucket/out/{name}/output/model.tar.gz") as archive:
            steps = archive.extractfile("steps")
            assert steps is not None
            assert steps.read().split() == [b"%d" % step for step in range(STEPS)], "each step once"
    assert any("Interrupted" in world.history(name) for name in names), "nothing was killed: the test is too tame"


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        if process:
            os.kill(process, signal.SIGKILL)
