"""Image URIs: account and region do not matter, repository and tag do; and what each stands for here."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.families import FAMILIES
from clary.control.images import Builtin, ImageCommand, Script, Unavailable, program_of, repository
from clary.registry import Registry
from clary.vision.algorithms import catalog
from clary.vision.base.spec import AnySpec

FRAMEWORKS = "763104351884.dkr.ecr.us-east-1.amazonaws.com/"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1", ("image-classification", "1")),
        ("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-training:1.6-gpu", ("pytorch-training", "1.6-gpu")),
        ("image-classification", ("image-classification", "latest")),
        ("localhost:5000/mine/net:2", ("net", "2")),
        ("localhost:5000/mine/net", ("net", "latest")),
        ("r/net@sha256:0123", ("net", "latest")),
        ("r/net:7@sha256:0123", ("net", "7")),
        ("", ("", "latest")),
    ],
)
def test_repository_and_tag(uri, expected):
    assert repository(uri) == expected


NAMES = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True)


@given(st.from_regex(r"[a-z0-9.:/-]*", fullmatch=True), NAMES, NAMES)
def test_whatever_stands_before_the_last_slash(registry, name, tag):
    assert repository(f"{registry}/{name}:{tag}") == (name, tag)


ACCOUNTS = st.from_regex(r"[0-9]{12}", fullmatch=True)
REGIONS = st.from_regex(r"(us|eu|ap|cn|me)(-gov)?-(north|south|east|west|central)-[1-9]", fullmatch=True)
DIGESTS = st.just("") | st.from_regex(r"@sha256:[0-9a-f]{64}", fullmatch=True)
KINDS = st.sampled_from(["training", "inference"])


@given(ACCOUNTS, REGIONS, DIGESTS, KINDS, st.sampled_from(list(catalog.SPECS)), st.sampled_from(["", ":1", ":latest"]))
def test_a_built_in_algorithm_in_any_account_and_region_trains_and_serves(account, region, digest, kind, spec, tag):
    host = f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn') else ''}"
    for name in (spec.name, *spec.aliases):
        assert program_of(f"{host}/{name}{tag}{digest}", kind) == Builtin(spec)


@given(ACCOUNTS, REGIONS, DIGESTS)
def test_a_framework_in_any_account_and_region(account, region, digest):
    image = f"{account}.dkr.ecr.{region}.amazonaws.com/pytorch-training:2.1-cpu-py310{digest}"
    assert program_of(image, "training") == Script("pytorch", "training", "2.1", "py310", "cpu")


def test_an_algorithm_added_as_a_folder_is_found(tmp_path: Path, monkeypatch):
    folder = tmp_path / "more_algorithms" / "edge_finding"
    folder.mkdir(parents=True)
    for place in (folder.parent, folder):
        (place / "__init__.py").touch()
    (folder / "spec.py").write_text(
        "from clary.vision.base.hyperparameters import Hyperparameters\n"
        "from clary.vision.base.spec import Spec\n"
        "SPEC = Spec('edge-finding', 'segmentation', 'edges:train', Hyperparameters, channels=(), metrics=())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    more: Registry[AnySpec] = Registry("algorithms", "more_algorithms", "SPEC", submodule="spec")
    monkeypatch.setattr("clary.control.images.SPECS", more)
    program = program_of("1.dkr.ecr.us-east-1.amazonaws.com/edge-finding:1", "training")
    assert isinstance(program, Builtin)
    assert program.name == "edge-finding"


# Every family of AWS's images that a program for pictures may name; framework, version, Python and device as told.
BOTH, TRAINING, INFERENCE = ("training", "inference"), ("training",), ("inference",)
SCRIPTS = {
    "tensorflow-training:2.1.0-gpu-py3": (TRAINING, "tensorflow", "2.1.0", "py3", "gpu"),
    "tensorflow-training:2.13-gpu-py310": (TRAINING, "tensorflow", "2.13", "py310", "gpu"),
    "sagemaker-tensorflow-scriptmode:1.13-cpu-py3": (TRAINING, "tensorflow", "1.13", "py3", "cpu"),
    "sagemaker-tensorflow:1.12.0-cpu-py2": (BOTH, "tensorflow", "1.12.0", "py2", "cpu"),
    "tensorflow-inference:2.1.0-cpu": (INFERENCE, "tensorflow", "2.1.0", "", "cpu"),
    "sagemaker-tensorflow-serving:1.12-cpu": (INFERENCE, "tensorflow", "1.12", "", "cpu"),
    "tensorflow-inference-eia:2.3.0-cpu": (INFERENCE, "tensorflow", "2.3.0", "", "cpu"),
    "tensorflow-inference-graviton:2.16.1-cpu-py310-ubuntu20.04-sagemaker": (
        *(INFERENCE, "tensorflow", "2.16.1", "py310", "cpu"),
    ),
    "pytorch-training:1.6-gpu-py36": (TRAINING, "pytorch", "1.6", "py36", "gpu"),
    "pytorch-training:2.1-cpu-py310": (TRAINING, "pytorch", "2.1", "py310", "cpu"),
    "pytorch-training": (TRAINING, "pytorch", "", "", ""),
    "pytorch-inference:1.6-gpu-py3": (INFERENCE, "pytorch", "1.6", "py3", "gpu"),
    "pytorch-inference-graviton:2.0-cpu-py310": (INFERENCE, "pytorch", "2.0", "py310", "cpu"),
    "pytorch-training-neuronx:1.13.1-neuronx-py310-sdk2.18.0-ubuntu20.04": (
        *(TRAINING, "pytorch", "1.13.1", "py310", ""),
    ),
    "sagemaker-pytorch:1.1.0-gpu-py3": (BOTH, "pytorch", "1.1.0", "py3", "gpu"),
    "huggingface-pytorch-training:2.0-transformers4.28-gpu-py310-cu118-ubuntu20.04": (
        *(TRAINING, "pytorch", "2.0", "py310", "gpu"),
    ),
    "huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04": (
        *(INFERENCE, "pytorch", "2.6.0", "py312", "cpu"),
    ),
    "mxnet-training:1.9.0-cpu-py38": (TRAINING, "mxnet", "1.9.0", "py38", "cpu"),
    "sagemaker-mxnet-serving:1.4.1-cpu-py3": (INFERENCE, "mxnet", "1.4.1", "py3", "cpu"),
    "sagemaker-scikit-learn:1.2-1-cpu-py3": (BOTH, "scikit-learn", "1.2-1", "py3", "cpu"),
    "sagemaker-xgboost:1.5-1": (BOTH, "xgboost", "1.5-1", "", ""),
    "sagemaker-base-python:3.10": (BOTH, "base-python", "3.10", "", ""),
}


@pytest.mark.parametrize(("image", "expected"), SCRIPTS.items())
@pytest.mark.parametrize("kind", BOTH)
def test_frameworks(image, expected, kind):
    kinds, *told = expected
    framework, version, python, device = told
    program = program_of(FRAMEWORKS + image, kind)
    if kind in kinds:
        assert program == Script(framework, kind, version, python, device)
    else:
        assert isinstance(program, Unavailable)
        assert program.reason == f"the image {FRAMEWORKS}{image} is not known here"


@pytest.mark.parametrize(
    "image",
    [
        "my-company/trainer:3",
        "",
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_not_known_here(image, kind):
    hint = "use the image of a built-in algorithm: image-classification:1, object-detection:1, semantic-segmentation:1"
    assert program_of(FRAMEWORKS + image, kind) == Unavailable(f"the image {FRAMEWORKS}{image} is not known here", hint)


@pytest.mark.parametrize(
    ("image", "family"),
    [
        ("linear-learner:1", "built-in algorithms for tables, text and series"),
        ("kmeans:1", "built-in algorithms for tables, text and series"),
        ("xgboost:1", "built-in algorithms for tables, text and series"),
        ("image-classification-neo:1", "Neo"),
        ("sagemaker-inference-pytorch:1.8-cpu-py3", "Neo"),
        ("sagemaker-debugger-rules:latest", "Debugger's rules"),
        ("sagemaker-debugger-rule-evaluator:latest", "Debugger's rules"),
        ("sagemaker-clarify-processing:1.0", "Clarify"),
        ("sagemaker-spark-processing:3.3-cpu-py39-v1", "Spark and Data Wrangler"),
        ("sagemaker-tritonserver:23.02-py3", "Triton"),
        # A server of language models: no script of anybody's.
        ("huggingface-pytorch-tgi-inference:2.0-tgi1.0", "servers of language models"),
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_an_image_of_awss_that_nothing_here_stands_for_is_named(image, family, kind):
    found = program_of(FRAMEWORKS + image, kind)
    assert isinstance(found, Unavailable)
    assert found.reason == f"the image {FRAMEWORKS}{image} is of {family}, which Clary has not"
    assert found.hint == next(one.instead for one in FAMILIES if one.name == family)
    assert program_of(FRAMEWORKS + image, kind, entrypoint=["smspark-submit"], arguments=["a.py"]) == found


@pytest.mark.parametrize(
    ("image", "meant"),
    [
        ("image-clasification:1", "image-classification:1"),
        ("objectdetection:1", "object-detection:1"),
        ("semantic_segmentation:latest", "semantic-segmentation:1"),
    ],
)
def test_a_misspelt_image_is_told_the_nearest(image, meant):
    found = program_of(f"r/{image}", "training")
    assert isinstance(found, Unavailable)
    assert found.hint.startswith(f"is {meant} meant? use the image of a built-in algorithm: ")


def test_a_tag_that_does_not_exist():
    reason = "the image r/image-classification:7 has the tag `7`, which does not exist"
    expected = Unavailable(reason, "use image-classification:1")
    assert program_of("r/image-classification:7", "inference") == expected


def test_an_entry_point():
    bash, words = ["/bin/bash"], ["-c", "python train.py"]
    assert program_of("mine/trainer:3", "training", entrypoint=bash, arguments=words) == ImageCommand(
        ("/bin/bash",), ("-c", "python train.py")
    )
    assert program_of("image-classification:1", "training", entrypoint=bash) == ImageCommand(("/bin/bash",))
    assert program_of(f"{FRAMEWORKS}pytorch-training:2.1-cpu-py310", "training", entrypoint=bash, arguments=words) == (
        Script("pytorch", "training", "2.1", "py310", "cpu", ("/bin/bash",), ("-c", "python train.py"))
    )
