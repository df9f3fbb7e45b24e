"""Warm starts of the real algorithm: forked jobs train with several threads, and nothing goes from one to the next."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.control.jobs.kinds.training.test_scripts import archive
from tests.toolkit.conftest import Scripts

from clary.control.jobs.job_queue import Jobs
from clary.control.jobs.kinds.training.preparation import prepare
from clary.control.jobs.launch import Command, Exit, Launch, Script
from clary.control.jobs.launchers.local import forkserver, lock, namespace
from clary.control.logs.streams import LogWriter

SETTINGS = {"num_layers": "20", "image_shape": "3,32,32", "num_classes": "3", "num_training_samples": "12"}
SETTINGS |= {"mini_batch_size": "4", "epochs": "1"}


@dataclass
class Forkserver:
    process: subprocess.Popen[bytes]
    socket: Path


def start(socket: Path, **environment: str) -> Forkserver:
    command = [sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.forkserver", str(socket)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(forkserver.READ_AT_LOAD)}
    clean |= environment
    return Forkserver(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean), socket)


def end(found: Forkserver) -> int:
    for pipe in (found.process.stdin, found.process.stdout):
        assert pipe is not None
        pipe.close()
    return found.process.wait(30)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forkserver]:
    found = start(tmp_path_factory.mktemp("forkserver") / "socket")
    assert found.process.stdout is not None
    assert found.process.stdout.readline() == b"ready\n"
    yield found
    assert end(found) == 0


@pytest.fixture
def builtin(settings, objects, colours, make_body, make_channel, tmp_path):
    """``builtin("name", **environment)``: the launch of a small job of image classification."""
    colours(objects.root / "bucket", {"train": 4, "validation": 2})

    def make(name: str = "job", **environment: str) -> Launch:
        given = [
            make_channel(n, f"s3://bucket/{n}", ContentType="application/x-image") for n in ("train", "validation")
        ]
        body = make_body(name, InputDataConfig=given, HyperParameters=SETTINGS, Environment=environment)
        stream = tmp_path / name / "stream"
        log = LogWriter(stream)
        isolated = namespace.available()
        launch = prepare(body, settings=settings, objects=objects, log=log, stream=stream, isolated=isolated)
        log.close()
        kept = {n: v for n, v in launch.environment.items() if not n.startswith(forkserver.READ_AT_LOAD)}
        launch = replace(launch, environment=kept)
        launch.write()
        return launch

    return make


def lines(launch: Launch) -> list[str]:
    return [line.partition(" ")[2] for line in launch.log.read_text().splitlines()]


@pytest.mark.slow
def test_forked_jobs_train_with_several_threads(warm, builtin, wait_for):
    for name in ("first", "second"):
        launch = builtin(name, OMP_NUM_THREADS="2")
        answer = forkserver.ask(warm.socket, launch.folder, 30)
        assert int(answer or 0) == lock.holder(launch.folder)
        note = wait_for(partial(Exit.read, launch.folder, 1), 120)
        assert note.code == 0, lines(launch)
        assert any("Setting number of threads: 2" in line for line in lines(launch))
        assert any("Validation-accuracy" in line for line in lines(launch))
        assert (launch.opt_ml / "model" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_job_that_wants_its_libraries_otherwise_is_refused(warm, builtin):
    launch = builtin(MKL_NUM_THREADS="1")
    assert forkserver.ask(warm.socket, launch.folder, 30) is None
    assert not (launch.folder / "lock").exists()


@pytest.mark.slow
def test_what_is_withheld_neither_acts_nor_costs_the_warm_start(warm, builtin, tmp_path, wait_for):
    mine = tmp_path / "mine.txt"
    mine.write_text("my own words")
    away = {"CLARY_PRECISION_CACHE": str(mine), "SAGEMAKER_BASE_DIR": str(tmp_path), "PYTHONPATH": str(tmp_path)}
    launch = builtin(LD_PRELOAD="x.so", OMP_NUM_THREADS="1", **away)
    assert forkserver.ask(warm.socket, launch.folder, 30)
    note = wait_for(partial(Exit.read, launch.folder, 1), 120)
    assert note.code == 0, lines(launch)
    assert mine.read_text() == "my own words"
    assert (launch.opt_ml / "model" / "manifest.json").is_file()
    assert any("LD_PRELOAD, PYTHONPATH, SAGEMAKER_BASE_DIR withheld from" in line for line in lines(launch))


@pytest.mark.slow
@pytest.mark.parametrize("request_", ["/nowhere/at/all", "", "x" * 10_000, "/dev/null"])
def test_nonsense_gets_no_answer_and_does_no_harm(warm, request_):
    assert forkserver.ask(warm.socket, Path(request_), 30) is None
    assert warm.process.poll() is None


@pytest.mark.slow
def test_a_job_outlives_its_forkserver_and_answers_a_stop(builtin, tmp_path, wait_for):
    own = start(tmp_path / "socket")
    assert own.process.stdout is not None
    assert own.process.stdout.readline() == b"ready\n"
    launch = builtin()
    process = int(forkserver.ask(own.socket, launch.folder, 30) or 0)
    own.process.kill()
    end(own)
    assert lock.is_held(launch.folder)
    os.kill(process, signal.SIGTERM)
    note = wait_for(lambda: Exit.read(launch.folder, 1), 60)
    assert note.reason == "Stopped"
    assert forkserver.ask(own.socket, launch.folder, 5) is None, "no one keeps its socket"


@pytest.mark.slow
def test_a_forked_job_is_heard_by_hooks_of_other_distributions(builtin, listening, tmp_path, wait_for):
    own = start(tmp_path / "socket", PYTHONPATH=str(listening))
    assert own.process.stdout is not None
    assert own.process.stdout.readline() == b"ready\n"
    launch = builtin()
    # Of the platform's own environment: a request's does not reach the interpreter.
    launch = replace(launch, environment={**launch.environment, "PYTHONPATH": str(listening)})
    launch.write()
    assert forkserver.ask(own.socket, launch.folder, 30)
    note = wait_for(partial(Exit.read, launch.folder, 1), 120)
    assert note.code == 0, lines(launch)
    told = [json.loads(line) for line in (launch.opt_ml / "output" / "events.jsonl").read_text().splitlines()]
    assert [told[0]["event"], told[-1]["event"]] == ["start", "close"]
    assert {"step", "forward", "loss", "backward", "batch", "phase"} <= {one["event"] for one in told}
    assert end(own) == 0


LOOKING = """
import sys
torch_was_there = "torch" in sys.modules
import atexit, json, logging, os, random, threading, time
import numpy, torch, sagemaker_training, mine
atexit.register(lambda: print("at the end"))
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
print(json.dumps({
    "warm": torch_was_there, "name": __name__, "main": sys.modules["__main__"].__dict__ is globals(),
    "file": os.path.abspath(__file__), "argv": sys.argv, "cwd": os.getcwd(), "first": sys.path[0],
    "prefix": sys.prefix, "executable": sys.executable, "handlers": len(logging.getLogger().handlers),
    "level": logging.getLogger().level, "lr": os.environ["SM_HP_LR"], "mine": os.environ["MINE"],
    "random": [random.random(), float(numpy.random.rand()), torch.initial_seed()],
    "threads": torch.get_num_threads(), "ours": mine.WHERE,
    "out": [sys.stdin.read(), sys.stdout.encoding],
}))
mine.WHERE = "changed"
torch.set_num_threads(1)
os.environ["LEAK"] = "1"
"""


@pytest.fixture
def script(settings, objects, upload, make_body, tmp_path):
    """``script("name", {"train.py": ...}, **environment)``: the launch of a script."""
    upload({"train/a.txt": b"data"})

    def make(name: str, source: dict[str, str], **environment: str) -> Launch:
        upload({f"{name}.tar.gz": archive(source)})
        given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://bucket/{name}.tar.gz", "lr": "1"}
        image = {"TrainingImage": "pytorch-training:2.1-cpu-py310", "TrainingInputMode": "File"}
        body = make_body(name, AlgorithmSpecification=image, HyperParameters=given, Environment=environment)
        stream = tmp_path / name / "stream"
        log = LogWriter(stream)
        isolated = namespace.available()
        launch = prepare(body, settings=settings, objects=objects, log=log, stream=stream, isolated=isolated)
        log.close()
        pip = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "2"}
        kept = {n: v for n, v in launch.environment.items() if not n.startswith(forkserver.READ_AT_LOAD)}
        launch = replace(launch, environment=kept | pip)
        launch.write()
        return launch

    return make


@pytest.mark.slow
def test_a_warm_script_finds_all_as_a_fresh_interpreter_has_it(warm, script, wait_for):
    told: dict[str, dict[str, Any]] = {}
    drawn: list[float] = []
    # The third is cold.
    for name in ("first", "second", "third"):
        launch = script(name, {"train.py": LOOKING, "mine.py": f"WHERE = '{name}'\n"}, MINE=name)
        if name == "third":
            assert isinstance(launch.program, Script)
            argv = (sys.executable, "-P", "-m", "clary.toolkit.train", launch.program.plan)
            launch = replace(launch, program=Command(argv))
            launch.write()
            job_monitor = [sys.executable, "-P", "-m", "clary.control.jobs.launchers.local.job_monitor"]
            subprocess.run([*job_monitor, str(launch.folder)], check=True, stdout=subprocess.DEVNULL)
        else:
            assert forkserver.ask(warm.socket, launch.folder, 30)
        note = wait_for(partial(Exit.read, launch.folder, 1), 120)
        assert note.code == 0, lines(launch)
        printed = lines(launch)
        told[name] = json.loads(next(line for line in printed if line.startswith('{"warm"')))
        assert printed.index("a thread") < printed.index("at the end")
        drawn += told[name].pop("random")
        told[name] = {key: json.loads(json.dumps(value).replace(name, "NAME")) for key, value in told[name].items()}
    assert [told[name].pop("warm") for name in told] == [True, True, False]
    assert told["first"] == told["second"] == told["third"]
    assert len(set(drawn)) == 9
    assert told["first"]["main"]
    assert told["first"]["threads"] == 2


@pytest.mark.slow
def test_a_warm_script_that_fails_fails_as_a_cold_one(warm, script, wait_for):
    def ended(name: str, source: str) -> tuple[Exit, list[str], str]:
        launch = script(name, {"train.py": source})
        assert forkserver.ask(warm.socket, launch.folder, 30)
        note = wait_for(partial(Exit.read, launch.folder, 1), 120)
        return note, lines(launch), (launch.opt_ml / "output" / "failure").read_text()

    note, printed, failure = ended("raises", "def f():\n    raise ValueError('no pictures')\nf()\n")
    assert note.code == 1
    place = printed.index("Traceback (most recent call last):")
    # Not a line of what runs it.
    assert printed[place + 1].endswith('train.py", line 3, in <module>')
    assert 'ErrorMessage "ValueError: no pictures"' in failure
    assert "mend line 2 of train.py" in ended("syntax", "x = 1\nprint 'x'\n")[2]
    assert "ExitCode 3" in ended("code", "import sys\nsys.exit(3)\n")[2]
    note, _, failure = ended("killed", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert note.code == 137
    assert "ExitCode 137" in failure


@pytest.mark.slow
def test_a_script_that_pins_what_is_loaded_starts_cold_and_gets_it(warm, script, wait_for, tmp_path):
    scripts = Scripts(tmp_path)
    scripts.wheel("numpy", "999.0", "version = '999'\n")
    source = {"train.py": "import numpy\nprint('numpy', numpy.version)\n", "requirements.txt": "numpy==999.0\n"}
    launch = script("pinned", source, PIP_FIND_LINKS=str(scripts.wheels))
    assert forkserver.ask(warm.socket, launch.folder, 30)
    note = wait_for(partial(Exit.read, launch.folder, 1), 120)
    assert note.code == 0, lines(launch)
    assert "numpy 999" in lines(launch)
    cold = "The script starts cold: its requirements bring numpy, which the warm process has loaded"
    assert any(line.endswith(cold) for line in lines(launch))


@pytest.mark.slow
def test_a_warm_job_from_its_submission_to_its_end(world, colours, make_channel, monkeypatch):
    monkeypatch.undo()  # the real programs
    for name in [name for name in os.environ if name.startswith(forkserver.READ_AT_LOAD)]:
        monkeypatch.delenv(name)
    colours(world.objects.root / "bucket", {"train": 4, "validation": 2})
    given = [make_channel(n, f"s3://bucket/{n}", ContentType="application/x-image") for n in ("train", "validation")]
    world.settings = replace(world.settings, warm=True)
    started: list[bool] = []
    real = forkserver.ask

    def ask(path: Path, folder: Path, seconds: float) -> str | None:
        answer = real(path, folder, seconds)
        started.append(answer is not None)
        return answer

    monkeypatch.setattr(forkserver, "ask", ask)

    async def live() -> None:
        async with world.gateway() as jobs:
            assert isinstance(jobs, Jobs)
            world.submit("one", InputDataConfig=given, HyperParameters=SETTINGS)
            assert await world.ended("one") == ["Completed"], world.record("one").body

    asyncio.run(live())
    assert started == [True], "it was forked by the forkserver"
    assert world.stream("one").startswith("one/algo-1-")
    assert world.record("one").body["ModelArtifacts"]["S3ModelArtifacts"].endswith("/one/output/model.tar.gz")
