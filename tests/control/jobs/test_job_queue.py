"""Jobs from submission to their end, on the launcher in memory; gateways that come and go.

What only real processes show is in tests/control/jobs/launchers/local/test_jobs.py.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tarfile
from dataclasses import replace
from typing import Any

import pytest

from clary.control.jobs import capacity, channels, folders, job_lifecycle
from clary.control.jobs.kinds.training import preparation
from clary.control.jobs.launch import Launch
from clary.control.jobs.launchers.base import Running
from clary.control.store.records import NoSuchRecord

from .launchers.memory import MemoryHost
from .world import KIND


def ok(host: MemoryHost) -> None:
    host.write("loss=0.5", "loss=0.25", host.read("input/data/train/a.txt").strip())
    host.put("model/made", "made\n")
    host.put("output/data/more", "more\n")
    host.exit(0)


def waits(host: MemoryHost) -> None:
    host.write("up")


@pytest.fixture(autouse=True)
def program(world) -> None:
    world.launcher.program = ok


def host_of(world, name: str, host: str = folders.FIRST_HOST) -> MemoryHost:
    found: MemoryHost = world.launcher.hosts[KIND, name, host]
    return found


def go(world, name: str) -> None:
    host_of(world, name).write("went")
    host_of(world, name).exit(0)


def test_a_job_from_its_submission_to_its_end(world):
    specification = {
        "TrainingImage": "any",
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": r"loss=(\S+)"}],
    }

    async def live() -> None:
        async with world.gateway():
            world.submit("one", AlgorithmSpecification=specification)
            assert await world.ended("one") == ["Completed"]

    asyncio.run(live())
    body = world.record("one").body
    assert world.history("one") == ["Downloading", "Training", "Uploading", "Completed"]
    assert body["_phase"] == "ended"
    assert body["TrainingTimeInSeconds"] >= 1
    assert body["TrainingEndTime"] >= body["TrainingStartTime"]
    assert body["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/one/output/model.tar.gz"}
    assert [(m["MetricName"], m["Value"]) for m in body["FinalMetricDataList"]] == [("loss", 0.25)]
    assert world.lines("one")[-3:] == ["loss=0.5", "loss=0.25", "data"]
    with tarfile.open(world.settings.s3_root / "bucket/out/one/output/model.tar.gz") as archive:
        assert archive.getnames() == ["made"]
    assert (world.settings.s3_root / "bucket/out/one/output/output.tar.gz").exists()


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ({"code": 3}, "AlgorithmError: , exit code: 3"),
        ({"code": None, "signal": 9}, "AlgorithmError: killed by signal 9 (SIGKILL), exit code: 137"),
        ({"code": None, "error": "ClientError: the program `x` cannot be started"}, "ClientError: the program `x`"),
    ],
)
def test_a_failing_program_gives_the_reason(world, end, reason):
    world.launcher.program = lambda host: host.exit(**end)

    async def live() -> None:
        async with world.gateway():
            world.submit("bad")
            assert await world.ended("bad") == ["Failed"]

    asyncio.run(live())
    assert world.record("bad").body["FailureReason"].startswith(reason)
    assert world.record("bad").body["_attempt"] == 1
    assert not (world.settings.s3_root / "bucket/out/bad/output/model.tar.gz").exists()


def test_a_program_says_itself_why_it_failed(world):
    def program(host: MemoryHost) -> None:
        host.put("output/failure", "no such column")
        host.exit(2)

    world.launcher.program = program

    async def live() -> None:
        async with world.gateway():
            world.submit("bad")
            assert await world.ended("bad") == ["Failed"]

    asyncio.run(live())
    assert world.record("bad").body["FailureReason"] == "ClientError: no such column, exit code: 2"


def test_a_channel_that_is_gone_fails_the_job_by_name(world, make_channel):
    async def live() -> None:
        async with world.gateway():
            world.submit("gone", InputDataConfig=[make_channel("train", "s3://bucket/nothing/")])
            assert await world.ended("gone") == ["Failed"]

    asyncio.run(live())
    assert "s3://bucket/nothing/" in world.record("gone").body["FailureReason"]


def test_those_that_find_no_place_wait_in_order(world):
    world.launcher.program = waits

    async def live() -> None:
        async with world.gateway():
            for name in ("a", "b", "c", "d"):
                world.submit(name)
            await world.until(lambda: [world.secondary(n) for n in "abcd"] == ["Training"] * 2 + ["Pending"] * 2)
            go(world, "a")
            await world.until(lambda: [world.secondary(n) for n in "bcd"] == ["Training", "Training", "Pending"])
            for name in ("b", "c", "d"):
                await world.until(lambda name=name: world.secondary(name) == "Training")
                go(world, name)
            assert await world.ended("a", "b", "c", "d") == ["Completed"] * 4

    asyncio.run(live())
    assert world.history("d") == ["Pending", "Downloading", "Training", "Uploading", "Completed"]


def test_stop_while_running_lets_the_program_save(world):
    world.launcher.program = waits

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            world.stop("one")
            assert world.status("one") == "Stopping"
            world.stop("one")
            assert await world.ended("one") == ["Stopped"]

    asyncio.run(live())
    assert world.lines("one")[-1] == "stopping"
    assert world.history("one") == ["Downloading", "Training", "Stopping", "Stopped"]
    assert world.record("one").body["ModelArtifacts"]["S3ModelArtifacts"].endswith("model.tar.gz")


def test_stop_while_waiting_ends_at_once(world):
    world.launcher.program = waits

    async def live() -> None:
        async with world.gateway():
            for name in ("a", "b", "c"):
                world.submit(name)
            world.stop("c")
            assert world.status("c") == "Stopped"
            for name in ("a", "b"):
                world.stop(name)
            assert await world.ended("a", "b", "c") == ["Stopped"] * 3

    asyncio.run(live())
    assert not world.folder("c").exists()


def test_stop_while_data_are_fetched(world, monkeypatch):
    fetch = channels.fill

    async def live() -> None:
        async with world.gateway() as jobs:
            loop, began, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

            def slowly(*arguments: Any, **named: Any) -> Any:
                loop.call_soon_threadsafe(began.set)
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
                return fetch(*arguments, **named)

            monkeypatch.setattr(channels, "fill", slowly)
            world.submit("one")
            await began.wait()
            world.stop("one")
            assert await world.ended("one") == ["Stopped"]
            go_on.set()
            await world.until(lambda: not (world.folder("one") / "opt_ml/input/data").exists())
            await world.until(lambda: not jobs._lifecycles)

    asyncio.run(live())
    assert world.launcher.starts == []


def test_a_job_of_a_deleted_ones_name_waits_until_that_one_is_over(world, monkeypatch):
    """What still fetches for the deleted job neither ends the new one nor writes into its folder."""
    fetch = channels.fill
    monkeypatch.setattr(capacity, "slots", lambda settings: 2)

    async def live() -> None:
        async with world.gateway() as jobs:
            loop, began, go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

            def slowly(*arguments: Any, **named: Any) -> Any:
                if not began.is_set():
                    loop.call_soon_threadsafe(began.set)
                    asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
                return fetch(*arguments, **named)

            monkeypatch.setattr(channels, "fill", slowly)
            world.submit("one")
            await began.wait()
            world.stop("one")
            assert await world.ended("one") == ["Stopped"]
            world.store.delete(KIND, "one")
            world.submit("one")
            assert [name for _, name in jobs._queue] == ["one"]
            go_on.set()
            assert await world.ended("one") == ["Completed"]
            await world.until(lambda: not jobs._lifecycles)

    asyncio.run(live())
    assert len(world.launcher.starts) == 1


def test_a_job_out_of_time(world):
    world.launcher.program = waits

    async def live() -> None:
        async with world.gateway():
            world.submit("one", StoppingCondition={"MaxRuntimeInSeconds": 0.05})
            assert await world.ended("one") == ["Stopped"]

    asyncio.run(live())
    assert world.history("one")[-1] == "MaxRuntimeExceeded"


def test_a_running_job_is_found_again(world):
    world.launcher.program = waits

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            await world.until(lambda: world.jobs._lifecycles[KIND, "one"]._running)
            go(world, "one")
            assert await world.ended("one") == ["Completed"]

    asyncio.run(first())
    assert isinstance(host_of(world, "one").state, Running)
    asyncio.run(second())
    assert world.lines("one").count("up") == len(world.launcher.starts) == 1
    assert world.record("one").body["_attempt"] == 1


def test_a_job_that_ended_in_between_is_finished(world):
    world.launcher.program = waits

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            assert await world.ended("one") == ["Completed"]

    asyncio.run(first())
    go(world, "one")
    asyncio.run(second())
    assert world.lines("one")[-2:] == ["up", "went"]


def test_waiting_jobs_are_taken_up_in_their_order(world):
    world.settings = replace(world.settings, max_jobs=1)

    async def live() -> None:
        world.create("a")
        world.create("b")
        async with world.gateway():
            assert await world.ended("a", "b") == ["Completed"] * 2

    asyncio.run(live())
    assert [start.job for start in world.launcher.starts] == ["a", "b"]


@pytest.mark.parametrize("alive", [True, False])
def test_a_job_that_is_lost_goes_on(world, alive):
    def program(host: MemoryHost) -> None:
        at = host.launch.opt_ml / "checkpoints/at"
        host.write(f"run {at.read_text() if at.exists() else 0}", "up")
        host.put("checkpoints/at", "1")

    world.launcher.program = program

    async def live() -> None:
        async with world.gateway():
            world.submit("one", CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"})
            await world.running("one")
            if alive:
                host_of(world, "one").lose()
                await finish()
        if not alive:
            host_of(world, "one").lose()
            async with world.gateway():
                await finish()

    async def finish() -> None:
        await world.until(lambda: world.lines("one").count("up") == 2)
        go(world, "one")
        assert await world.ended("one") == ["Completed"]

    asyncio.run(live())
    assert [line for line in world.lines("one") if line.startswith("run")] == ["run 0", "run 1"]
    ways = ["Downloading", "Training", "Interrupted", "Restarting", "Training", "Uploading", "Completed"]
    assert world.history("one") == ways
    assert world.record("one").body["_attempt"] == 2


@pytest.mark.parametrize("refuses", [True, False])
def test_a_job_that_is_always_lost_fails_in_the_end(world, refuses):
    world.launcher.program = lambda host: host.lose()
    world.launcher.refuses = refuses

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    body = world.record("one").body
    assert body["FailureReason"].startswith("InternalServerError: the program was interrupted 5 times")
    assert body["_attempt"] == job_lifecycle.MOST_ATTEMPTS
    assert [start.attempt for start in world.launcher.starts] == ([] if refuses else [1, 2, 3, 4, 5])


def test_a_stop_of_a_job_that_is_lost(world):
    world.launcher.program = waits

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            assert await world.ended("one") == ["Stopped"]

    asyncio.run(first())
    world.stop("one")  # the record only: nothing runs that could act on it
    host_of(world, "one").lose()
    asyncio.run(second())
    assert world.lines("one").count("up") == 1


def test_a_gateway_that_is_killed_between_two_writes(world):
    """Started, but not yet noted in the record: the launcher tells, and it is started no second time."""
    world.launcher.program = waits

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    def forget(record):
        return {**record.body, "_launched": 0}, record.status

    async def second() -> None:
        async with world.gateway():
            await world.running("one")
            go(world, "one")
            assert await world.ended("one") == ["Completed"]

    asyncio.run(first())
    world.store.edit(KIND, "one", forget)
    asyncio.run(second())
    assert len(world.launcher.starts) == 1


def test_a_full_disk_fails_the_job_and_not_the_next(world, monkeypatch):
    prepare = preparation.prepare

    def full(*arguments: Any, **named: Any) -> Launch:
        raise OSError(28, "No space left on device", "opt_ml/input/data/train/a.txt")

    async def live() -> None:
        async with world.gateway():
            monkeypatch.setattr(preparation, "prepare", full)
            world.submit("full")
            assert await world.ended("full") == ["Failed"]
            monkeypatch.setattr(preparation, "prepare", prepare)
            world.submit("next")
            assert await world.ended("next") == ["Completed"]

    asyncio.run(live())
    assert "No space left on device" in world.record("full").body["FailureReason"]


def test_a_fault_of_ours_fails_the_job_and_not_the_next(world, monkeypatch, caplog):
    async def live() -> None:
        async with world.gateway():
            with monkeypatch.context() as broken:
                broken.setattr(folders, "stream_name", lambda job, host, created: 1 / 0)
                world.submit("lost")
                assert await world.ended("lost") == ["Failed"]
            world.submit("next")
            assert await world.ended("next") == ["Completed"]

    asyncio.run(live())
    assert world.record("lost").body["FailureReason"] == "InternalServerError: ZeroDivisionError: division by zero"
    assert "the platform failed while it followed the job lost, which is failed" in caplog.text


def test_jobs_that_share_the_machine_share_its_threads(world, monkeypatch):
    monkeypatch.setattr(capacity, "cores", lambda: 8)
    world.launcher.program = waits
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    async def live() -> None:
        async with world.gateway():
            for name in ("a", "b"):
                world.submit(name)
                await world.running(name)
                world.stop(name) if name == "b" else None
            world.stop("a")
            await world.ended("a", "b")

    asyncio.run(live())
    assert "OMP_NUM_THREADS" not in host_of(world, "a").launch.environment
    assert host_of(world, "b").launch.environment["OMP_NUM_THREADS"] == "4"


class TestEnded:
    def test_many_wait_some_give_up_and_some_come_late(self, world):
        world.launcher.program = waits

        async def live() -> None:
            async with world.gateway() as jobs:
                world.submit("one")
                waiting = [asyncio.create_task(jobs.ended(KIND, "one")) for _ in range(4)]
                await world.running("one")
                waiting[0].cancel()
                go(world, "one")
                ends = await asyncio.gather(*waiting, return_exceptions=True)
                assert isinstance(ends[0], asyncio.CancelledError)
                assert [getattr(end, "status", end) for end in ends[1:]] == ["Completed"] * 3
                assert (await jobs.ended(KIND, "one")).status == "Completed"
                assert not jobs._endings

        asyncio.run(live())

    def test_a_job_that_is_stopped_in_the_queue(self, world):
        world.launcher.program = waits

        async def live() -> None:
            async with world.gateway() as jobs:
                for name in ("a", "b", "c"):
                    world.submit(name)
                waiting = asyncio.create_task(jobs.ended(KIND, "c"))
                await asyncio.sleep(0)
                world.stop("c")
                assert (await waiting).status == "Stopped"
                world.stop("a")
                world.stop("b")
                await world.ended("a", "b")

        asyncio.run(live())

    def test_a_name_that_nobody_has(self, world):
        async def live() -> None:
            async with world.gateway() as jobs:
                for kind in (KIND, "no-kind"):
                    with pytest.raises(NoSuchRecord, match="nobody"):
                        await jobs.ended(kind, "nobody")

        asyncio.run(live())

    def test_who_waits_is_let_go_when_the_gateway_ends(self, world):
        world.launcher.program = waits

        async def live() -> None:
            async with world.gateway() as jobs:
                world.submit("one")
                waiting = asyncio.create_task(jobs.ended(KIND, "one"))
                await world.running("one")
            with pytest.raises(asyncio.CancelledError):
                await waiting

        asyncio.run(live())


@pytest.mark.parametrize("how", ["the bucket is deleted", "the disk is full"])
def test_a_model_that_cannot_be_stored_is_kept_and_the_reason_says_where(world, monkeypatch, how):
    def trains(host: MemoryHost) -> None:
        if how == "the bucket is deleted":
            shutil.rmtree(world.settings.s3_root / "bucket")
        else:
            monkeypatch.setattr("clary.vision.base.files._beside", full_disk)
        ok(host)

    world.launcher.program = trains

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    model = world.folder("one") / "opt_ml" / "model"
    reason = world.record("one").body["FailureReason"]
    assert reason.endswith(f"; what the job left is kept in {model}")
    said = {
        "the bucket is deleted": "ClientError: The specified bucket does not exist: bucket",
        "the disk is full": "InternalServerError: ",
    }[how]
    assert reason.startswith(said)
    assert (how in reason) is (how == "the disk is full")
    assert (model / "made").read_text() == "made\n"
    assert "ModelArtifacts" not in world.record("one").body


def full_disk(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_program_that_could_not_even_say_that_the_disk_is_full(world, monkeypatch):
    def fails(host: MemoryHost) -> None:
        monkeypatch.setattr(job_lifecycle, "disk_is_full", lambda folder: True)
        host.exit(2)

    world.launcher.program = fails

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    reason = world.record("one").body["FailureReason"]
    assert reason.startswith("InternalServerError: the disk is full: free some space")
