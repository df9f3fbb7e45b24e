"""The algorithms there are, and what it costs to ask."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from clary.errors import AlgorithmError, UsageError
from clary.vision.algorithms.catalog import SPECS, find, load_ahead, train_function
from clary.vision.base.hyperparameters import Hyperparameters
from clary.vision.base.spec import Spec

HEAVY = ("torch", "torchvision", "timm", "openvino", "onnx", "onnxruntime", "matplotlib", "jinja2", "starlette")


@pytest.mark.parametrize(
    "program",
    [
        "import clary",
        "from clary.vision.algorithms import catalog; assert catalog.SPECS.names()",
        "from clary.vision.algorithms.catalog import find; find('image-classification').parse({'num_classes': '2', "
        "'num_training_samples': '1'})",
        "import clary.cli.main as main; main.load_verbs()",
        "import clary.vision.base.jobdir, clary.vision.algorithms.run",
        "from clary.local.run import Run",
        "import clary; dir(clary); clary.__version__",
    ],
)
def test_nothing_heavy_is_loaded(program: str) -> None:
    ask = f"{program}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_the_verbs() -> None:
    done = subprocess.run([sys.executable, "-m", "clary", "--help"], capture_output=True, text=True, check=True)
    for verb in ("train", "weights", "evaluate", "predict", "serve", "report", "data", "quickstart"):
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("name", ["image-classification", "classification"])
def test_algorithm_is_found_by_its_names(name: str) -> None:
    assert find(name).name == "image-classification"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("", "choose one of `classification`"),
        ("../x", "choose one of `classification`"),
        ("Classification", "did you mean `classification`?"),
        ("clasification", "did you mean `classification`?"),
        ("image_classification", "did you mean `image-classification`?"),
    ],
)
def test_unknown_algorithm_is_one_line(name: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(name)
    assert str(caught.value).startswith(f"unknown algorithm `{name}`; {hint}")


def test_what_trains_is_found_by_its_name() -> None:
    from clary.vision.algorithms.image_classification.train import train

    assert train_function(find("classification")) is train


@pytest.mark.parametrize("name", ["clary.errors:nothing", "clary errors", "clary.errors:"])
def test_a_spec_that_names_no_function_is_one_line(name: str) -> None:
    spec = Spec("other", "classification", name, Hyperparameters, (), ())
    with pytest.raises(AlgorithmError, match="which trains other, is not there"):
        train_function(spec)


def test_what_trains_is_loaded_ahead_on_a_thread() -> None:
    program = "from clary.vision.algorithms.catalog import find, load_ahead; loading = load_ahead(find('detection'))\n"
    program += "import sys, gc; loading.join(); assert gc.isenabled()\n"
    program += "print('clary.vision.algorithms.object_detection.train' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_what_cannot_be_loaded_ahead_is_told_where_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    spec = Spec("other", "classification", "clary.nowhere:train", Hyperparameters, (), ())
    load_ahead(spec).join()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ModuleNotFoundError):
        train_function(spec)


@pytest.mark.parametrize("wanted", [True, False])
def test_collections_are_as_they_were_once_libraries_are_loaded(wanted: bool) -> None:
    try:
        (gc.enable if wanted else gc.disable)()
        train_function(find("classification"))
        assert gc.isenabled() is wanted
    finally:
        gc.enable()


def test_members_are_specs_of_different_names() -> None:
    names = [name for spec in SPECS for name in (spec.name, *spec.aliases)]
    assert all(isinstance(spec, Spec) for spec in SPECS)
    assert len(names) == len(set(names))
