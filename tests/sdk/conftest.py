"""One real platform, and real clients that run against it, all at once: they mostly wait."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clary.client import environment, gateway
from clary.control.home import Server

REPOSITORY = Path(__file__).resolve().parents[2]
PETS = Path(os.environ.get("CLARY_PETS", REPOSITORY.parent / "shared" / "data" / "pets"))
ENVIRONMENTS = Path(os.environ.get("CLARY_SDK", REPOSITORY / ".venv-sdk"))
PATIENCE = 240.0  # seconds a program may take

# A network small enough for the colours of the tests; everything else is as the programs have it.
SMALL = ("image_shape=3,32,32", "resize=36", "mini_batch_size=6", "epochs=3")


# The weights that come with Clary, for real pictures: 0.96 on the pets after one epoch.
PRETRAINED = (
    "use_pretrained_model=1",
    "backbone=tf_efficientnet_lite0",
    "freeze=3,norms",
    "epochs=1",
    "learning_rate=0.005",
)


@dataclass(frozen=True)
class Finished:
    """A program that has ended, or had to be: its exit code, and what it printed on both streams."""

    code: int
    output: str


class Program:
    """A client started in the background, under `clary run`; its output goes to a file."""

    def __init__(self, home: Path, command: list[str], programs: Path, cwd: Path) -> None:
        self._started = time.monotonic()
        self._output = cwd / "output"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "clary", "run", "--home", str(home), *command],
                cwd=cwd,
                env=_away_from_aws(programs),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> Finished:
        """Wait for it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(self._started + PATIENCE - time.monotonic(), 1))
        self.kill()
        return Finished(self._process.returncode, self._output.read_text(errors="replace"))

    def kill(self) -> None:
        """End the program as well: `clary run` hands the signal on."""
        self._process.terminate()
        self._process.wait()


def _away_from_aws(programs: Path) -> dict[str, str]:
    """An environment in which a call that leaves this machine fails at once: its proxy is a closed port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environ |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HTTPS_PROXY": "http://127.0.0.1:9"}
    return environ | {"HTTP_PROXY": "http://127.0.0.1:9", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A platform of its own, as `clary up --detach` starts it."""
    home = tmp_path_factory.mktemp("platform") / "home"
    yield gateway.start(home, ["--port", "0"])
    gateway.stop(home)


@pytest.fixture(scope="session")
def client(server: Server) -> Callable[[str], Any]:
    """``client("s3")``: boto3 of this environment, told where to go by variables alone."""
    import boto3

    with pytest.MonkeyPatch.context() as patch:
        changes = environment.changes(server, os.environ)
        for name in changes.unset:
            patch.delenv(name, raising=False)
        for name, value in changes.values.items():
            patch.setenv(name, value)
        session = boto3.Session()
        made = {name: session.client(name) for name in CLIENTS}
    return made.__getitem__


CLIENTS = ("sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "logs", "cloudwatch")


@pytest.fixture(scope="session")
def channels(colours: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three colours, laid out by examples/prepare.py."""
    folder = tmp_path_factory.mktemp("colours")
    colours(folder / "pictures", {"train": 8, "validation": 4})
    return prepared(folder / "pictures", folder / "channels")


def prepared(pictures: Path, channels: Path) -> Path:
    command = [sys.executable, str(REPOSITORY / "examples" / "prepare.py"), str(pictures), str(channels)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return channels


def folder_of(name: str) -> Path:
    """The folder of programs of the environment ``name``: v2, v3 or cli; ``main`` is this one."""
    return Path(sys.executable).parent if name == "main" else ENVIRONMENTS / name / "bin"


# Programs by the name of the test that waits for them: their environment, and the command.
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "test_v2": ("v2", ("python", "examples/classify_v2.py", "CHANNELS", *SMALL)),
    "test_v3": ("v3", ("python", "examples/classify_v3.py", "CHANNELS", *SMALL)),
    "test_boto3": ("main", ("python", "examples/classify_boto3.py", "CHANNELS", *SMALL)),
    "test_cli": ("cli", ("sh", "examples/classify_cli.sh", "CHANNELS", *SMALL)),
    "test_notebook": ("v2", (sys.executable, "tests/sdk/programs/notebook.py", "CHANNELS", *SMALL)),
    "test_v2_on_real_pets": ("v2", ("python", "examples/classify_v2.py", "PETS", *PRETRAINED)),
    "test_v2_says_why_a_job_failed": ("v2", ("python", "tests/sdk/programs/v2_failure.py", "CHANNELS")),
}


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest, server: Server, channels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Program]]:
    """Every program that a chosen test waits for, started together."""
    started: dict[str, Program] = {}
    for name in sorted({item.name for item in request.session.items} & set(PROGRAMS)):
        where, words = PROGRAMS[name]
        if missing(name):
            continue
        folders = {
            "CHANNELS": lambda: channels,
            "PETS": lambda: prepared(PETS, tmp_path_factory.mktemp("pets") / "pets"),
        }
        command = [str(folders[word]()) if word in folders else _found(word) for word in words]
        started[name] = Program(Path(server.home), command, folder_of(where), tmp_path_factory.mktemp(name))
    yield started
    for program in started.values():
        program.kill()


def missing(name: str) -> str:
    """What is not here that the program of the test ``name`` needs."""
    where, words = PROGRAMS[name]
    if where != "main" and not (ENVIRONMENTS / where / ".installed").exists():
        return f"{ENVIRONMENTS / where} is not installed; `make test` does it"
    if "PETS" in words and not (PETS / "annotations" / "list.txt").is_file():
        return "the real pets are not here; set CLARY_PETS to their folder"
    return ""


def _found(word: str) -> str:
    return str(REPOSITORY / word) if word.startswith(("examples/", "tests/")) else word


@pytest.fixture
def finished(request: pytest.FixtureRequest, running: dict[str, Program]) -> Finished:
    """The program of the test, once it has ended. Skips where what it needs is not here."""
    if reason := missing(request.node.name):
        pytest.skip(reason)
    return running[request.node.name].end()
