"""Jobs from submission to their end, over real monitors and tiny programs; gateways that come and go.

What needs no process is in tests/control/jobs/test_supervisor.py, in memory.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tarfile
import time

import pytest

from clary.control import home
from clary.control.jobs import capacity, job_lifecycle
from clary.control.jobs.kinds.training.status import MESSAGES, remarks
from clary.control.jobs.launch import Exit
from clary.control.jobs.launchers.local import lock

WAIT = "trap 'echo stopping; exit 0' TERM; echo up; while [ ! -e go ]; do sleep 0.02; done; echo went"


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
    left = sorted(path.relative_to(world.folder("one")).as_posix() for path in world.folder("one").rglob("*"))
    assert "opt_ml/input/data" not in left
    assert {"launch.json", "exit.json", "opt_ml/input/config/hyperparameters.json"} <= set(left)


def test_a_network_that_takes_anothers_place_is_said_while_the_job_runs(world):
    """In the message that SDK v2 prints and `clary jobs` shows; once, though gateways come and go."""
    note = '{"asked": "resnet50", "trained": "tf_efficientnet_lite0"}'
    world.program = f"echo '{note}' > substitution.json; {WAIT}"

    def said() -> list[str]:
        return remarks(world.record("one").body)

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            await world.until(said)
            assert world.secondary("one") == "Training"
        async with world.gateway():
            (world.folder("one") / "opt_ml" / "go").touch()
            assert await world.ended("one") == ["Completed"]

    asyncio.run(live())
    assert said() == ["tf_efficientnet_lite0 is trained in place of resnet50, whose pretrained weights are not here."]
    messages = {one["Status"]: one["StatusMessage"] for one in world.record("one").body["SecondaryStatusTransitions"]}
    assert messages["Training"] == f"{MESSAGES['Training']} {said()[0]}"
    assert messages["Completed"] == MESSAGES["Completed"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("exit 3", "AlgorithmError: , exit code: 3"),
        ("echo 'no such column' > output/failure; exit 2", "ClientError: no such column, exit code: 2"),
        ("kill -9 $$", "AlgorithmError: killed by signal 9 (SIGKILL), exit code: 137"),
    ],
)
def test_a_failing_program_gives_the_reason(world, program, reason):
    world.program = program

    async def live() -> None:
        async with world.gateway():
            world.submit("bad")
            assert await world.ended("bad") == ["Failed"]

    asyncio.run(live())
    assert world.record("bad").body["FailureReason"] == reason
    assert world.record("bad").body["_attempt"] == 1
    assert not (world.settings.s3_root / "bucket/out/bad/output/model.tar.gz").exists()


def test_stop_while_running_lets_the_program_save(world):
    world.program = WAIT + "; true"

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


def test_a_running_job_is_found_again(world):
    world.program = WAIT

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            await world.until(lambda: world.jobs._lifecycles["training-job", "one"]._running)
            (world.folder("one") / "opt_ml/go").touch()
            assert await world.ended("one") == ["Completed"]

    asyncio.run(first())
    process = world.job_monitor("one")
    assert lock.is_held(world.folder("one"))
    asyncio.run(second())
    assert world.job_monitor("one") == process
    assert world.lines("one").count("up") == 1
    assert world.record("one").body["_attempt"] == 1


def test_a_job_that_ended_in_between_is_finished(world, wait_for):
    world.program = WAIT

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            assert await world.ended("one") == ["Completed"]

    asyncio.run(first())
    (world.folder("one") / "opt_ml/go").touch()
    wait_for(lambda: Exit.read(world.folder("one"), 1))
    asyncio.run(second())
    assert world.lines("one")[-2:] == ["up", "went"]


@pytest.mark.parametrize("alive", [True, False])
def test_a_job_whose_monitor_was_killed_goes_on(world, alive):
    world.program = "echo run $(cat checkpoints/at || echo 0); echo 1 > checkpoints/at; " + WAIT

    async def live() -> None:
        async with world.gateway():
            world.submit("one", CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"})
            await world.running("one")
            if alive:
                os.kill(world.job_monitor("one"), signal.SIGKILL)
                await world.until(lambda: world.lines("one").count("up") == 2)
                await finish()
        if not alive:
            os.kill(world.job_monitor("one"), signal.SIGKILL)
            async with world.gateway():
                await world.until(lambda: world.lines("one").count("up") == 2)
                await finish()

    async def finish() -> None:
        (world.folder("one") / "opt_ml/go").touch()
        assert await world.ended("one") == ["Completed"]

    asyncio.run(live())
    assert [line for line in world.lines("one") if line.startswith("run")] == ["run 0", "run 1"]
    ways = ["Downloading", "Training", "Interrupted", "Restarting", "Training", "Uploading", "Completed"]
    assert world.history("one") == ways
    assert world.record("one").body["_attempt"] == 2


def test_a_job_that_is_always_killed_fails_in_the_end(world):
    world.program = "kill -9 $PPID; sleep 5"

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    body = world.record("one").body
    assert body["FailureReason"].startswith("InternalServerError: the program was interrupted 5 times")
    assert body["_attempt"] == job_lifecycle.MOST_ATTEMPTS


def test_a_stop_of_a_job_whose_monitor_is_gone(world):
    world.program = WAIT

    async def first() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")

    async def second() -> None:
        async with world.gateway():
            assert await world.ended("one") == ["Stopped"]

    asyncio.run(first())
    world.stop("one")  # the record only: nothing runs that could act on it
    os.kill(world.job_monitor("one"), signal.SIGKILL)
    asyncio.run(second())
    assert world.lines("one").count("up") == 1


def test_jobs_that_share_the_machine_share_its_threads(world, monkeypatch):
    monkeypatch.setattr(capacity, "cores", lambda: 8)
    world.program = f"echo threads $OMP_NUM_THREADS; {WAIT}"
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    async def live() -> None:
        async with world.gateway():
            world.submit("a")
            await world.until(lambda: "up" in world.lines("a"))
            world.submit("b")
            await world.until(lambda: "up" in world.lines("b"))
            world.stop("a")
            world.stop("b")
            await world.ended("a", "b")

    asyncio.run(live())
    assert "threads" in world.lines("a")
    assert "threads 4" in world.lines("b")


def test_a_python_of_many_lines_is_all_in_the_log_before_the_end(world):
    world.program = f"exec {sys.executable} -c 'for i in range(5000): print(i)'"

    async def live() -> int:
        async with world.gateway():
            world.submit("one")
            await world.ended("one")
            return int(world.lines("one").count("4999"))

    assert asyncio.run(live()) == 1


def test_the_gateways_own_event_loop_will_do(world):
    """A monitor's end is seen at once, not by the clock."""
    uvloop = pytest.importorskip("uvloop")
    world.program = WAIT

    async def live() -> float:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            await world.until(lambda: world.jobs._lifecycles["training-job", "one"]._running)
            await asyncio.sleep(0)
            (world.folder("one") / "opt_ml/go").touch()
            began = time.monotonic()
            assert await world.ended("one") == ["Completed"]
            return time.monotonic() - began

    assert uvloop.run(live()) < job_lifecycle.POLL - 1


class TestPipes:
    """Jobs whose channel is in Pipe mode; each keeps what it read beside the pipe, as the built-in algorithms do."""

    READ = "cat input/data/train_0 > input/data/.train.rec; cat input/data/.train.rec"

    @pytest.fixture
    def submit(self, world, make_channel):
        """``submit(program)``: one job in Pipe mode, not waited for."""

        def submit(program: str) -> None:
            world.program = program
            world.submit("one", InputDataConfig=[make_channel("train", "s3://bucket/train/", InputMode="Pipe")])

        return submit

    @pytest.mark.parametrize(
        ("end", "status", "reason"),
        [
            ("exit 0", "Completed", ""),
            ("exit 3", "Failed", "AlgorithmError: , exit code: 3"),
            ("kill -9 $$", "Failed", "AlgorithmError: killed by signal 9 (SIGKILL), exit code: 137"),
        ],
    )
    def test_nothing_is_left_however_it_ends(self, world, submit, end, status, reason):
        async def live() -> None:
            async with world.gateway():
                submit(f"{self.READ}; {end}")
                assert await world.ended("one") == [status]

        asyncio.run(live())
        assert world.record("one").body.get("FailureReason", "") == reason
        assert world.lines("one")[-1] == "data"
        assert not (world.folder("one") / "opt_ml/input/data").exists()
        assert not (world.folder("one") / "pipes").exists()

    def test_an_object_that_is_lost_is_the_reason(self, world, submit):
        async def live() -> None:
            async with world.gateway():
                submit(f"rm {world.objects.root}/bucket/train/a.txt; {self.READ}; exit 0")
                assert await world.ended("one") == ["Failed"]

        asyncio.run(live())
        assert world.record("one").body["FailureReason"] == (
            "ClientError: s3://bucket/train/a.txt: an object of the train channel that does not exist; upload it, or "
            "leave it out"
        )
        assert not (world.folder("one") / "opt_ml/input/data").exists()

    def test_pipes_are_fed_while_there_is_no_gateway(self, world, submit):
        async def first() -> None:
            async with world.gateway():
                submit(f"echo up; while [ ! -e go ]; do sleep 0.02; done; {self.READ}; echo read > input/read")
                await world.running("one")

        async def second() -> None:
            async with world.gateway():
                assert await world.ended("one") == ["Completed"]

        asyncio.run(first())
        (world.folder("one") / "opt_ml/go").touch()
        read = world.folder("one") / "opt_ml/input/read"
        asyncio.run(world.until(read.exists))
        assert world.lines("one")[-1] == "data"
        asyncio.run(second())


def test_nothing_of_a_job_is_for_others(world, make_channel, open_to_others):
    """Its description holds the platform's keys; with a umask that takes nothing away."""
    world.settings.home.chmod(0o700)  # it was there before
    before = os.umask(0)
    try:
        with home.hold(world.settings.home):

            async def live() -> None:
                async with world.gateway():
                    piped = make_channel("more", "s3://bucket/train/", InputMode="Pipe")
                    whole = make_channel("train", "s3://bucket/train/")
                    checkpoints = {"S3Uri": "s3://bucket/checkpoints"}
                    world.submit("one", InputDataConfig=[whole, piped], CheckpointConfig=checkpoints)
                    assert await world.ended("one") == ["Completed"]

            asyncio.run(live())
        assert {"launch.json", "exit.json", "monitor.log", "lock"} <= set(os.listdir(world.folder("one")))
        assert open_to_others(world.settings.home) == []
    finally:
        os.umask(before)


def test_results_that_are_links_fail_the_job_and_nothing_behind_them_is_touched(world, tmp_path):
    mine = tmp_path / "mine"
    (mine / "data").mkdir(parents=True)
    (mine / "data/letter").write_text("private")
    (mine / "failure").write_text("not yours")
    world.program = f"rm -r output && ln -s {mine} output; exit 1"

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    assert world.record("one").body["FailureReason"] == (
        "AlgorithmError: no failure note was read: opt_ml/output is a symbolic link, exit code: 1"
    )
    assert (mine / "data/letter").read_text() == "private"
    assert not (world.objects.root / "bucket/out").exists()


def test_a_model_that_is_a_link_is_the_reason(world, tmp_path):
    (tmp_path / "mine").mkdir()
    world.program = f"rmdir model && ln -s {tmp_path / 'mine'} model; echo whole > checkpoints/last"

    async def live() -> None:
        async with world.gateway():
            world.submit("one", CheckpointConfig={"S3Uri": "s3://bucket/points"})
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    assert world.record("one").body["FailureReason"].startswith("ClientError: /opt/ml/model: is a symbolic link")
    assert (world.objects.root / "bucket/points/last").read_text() == "whole\n"


@pytest.mark.parametrize("code", [0, 1])
def test_a_folder_that_vanished_while_the_job_ran_is_named(world, code):
    world.program = f"echo up; while [ ! -e go ]; do sleep 0.02; done; exit {code}"

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            (world.folder("one") / "opt_ml").rename(world.folder("one") / "moved")
            (world.folder("one") / "moved/go").touch()
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    reason = world.record("one").body["FailureReason"]
    assert reason.startswith("InternalServerError: ")
    assert "jobs/one/opt_ml: is gone: somebody removed it while the job ran" in reason


def test_a_lock_that_names_a_stranger_costs_the_stranger_nothing(world):
    """A number edited, or given out again: the stop reaches the job's own monitor."""
    stranger = subprocess.Popen(["sleep", "60"])
    world.program = WAIT

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            line = (world.folder("one") / "lock").read_text().split()
            (world.folder("one") / "lock").write_text(" ".join([str(stranger.pid), *line[1:]]))
            world.stop("one")
            assert await world.ended("one") == ["Stopped"]

    try:
        asyncio.run(live())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_damaged_exit_delays_no_stop_and_fails_no_job(world):
    world.program = WAIT

    async def live() -> float:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            (world.folder("one") / "exit.json").write_text('{"attempt": 1, "co')
            began = time.monotonic()
            world.stop("one")
            assert await world.ended("one") == ["Stopped"]
            return time.monotonic() - began

    assert asyncio.run(live()) < 20
    assert world.lines("one")[-1] == "stopping"


def test_a_description_that_vanished_is_the_reason(world):
    """Killed, and its folder gone: the next attempt has nothing to start from."""
    world.program = WAIT

    async def live() -> None:
        async with world.gateway():
            world.submit("one")
            await world.running("one")
            (world.folder("one") / "launch.json").unlink()
            os.kill(world.job_monitor("one"), signal.SIGKILL)
            assert await world.ended("one") == ["Failed"]

    asyncio.run(live())
    assert "launch.json: cannot be read (No such file or directory)" in world.record("one").body["FailureReason"]
