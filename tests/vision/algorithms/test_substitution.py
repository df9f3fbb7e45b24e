"""Pretrained weights that are not here: refused, or another network in their place where that is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from clary.errors import AbsentWeightsError, WeightsError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import run_job
from clary.vision.algorithms.substitution import with_weights
from clary.vision.base.jobdir import SUBSTITUTE_WEIGHTS, JobDir
from clary.vision.models import weights

from . import test_image_classification, test_object_detection, test_semantic_segmentation

pytestmark = pytest.mark.usefixtures("one_thread")

LITE0 = "tf_efficientnet_lite0"
CLASSIFICATION = ("image-classification", test_image_classification.make)
DETECTION = ("object-detection", test_object_detection.make)
SEGMENTATION = ("semantic-segmentation", test_semantic_segmentation.make)
ASKED = [
    (*CLASSIFICATION, {"backbone": None, "num_layers": "50", "use_pretrained_model": "1"}, "resnet50"),
    (*CLASSIFICATION, {"backbone": None, "num_layers": "200", "use_pretrained_model": "1"}, "resnet200"),
    (*DETECTION, {"backbone": None, "base_network": "resnet-50", "use_pretrained_model": None}, "resnet50"),
    (*DETECTION, {"backbone": None, "base_network": "vgg-16", "use_pretrained_model": "1"}, "vgg16"),
    (*SEGMENTATION, {"backbone": "resnet-50", "algorithm": "fcn", "use_pretrained_model": None}, "resnet50"),
    (*SEGMENTATION, {"backbone": "resnet-101", "algorithm": "psp", "use_pretrained_model": "True"}, "resnet101"),
    (*SEGMENTATION, {"backbone": "resnet-101", "algorithm": "deeplab", "use_pretrained_model": "True"}, "resnet101"),
]
NAMES = [f"{algorithm}-{name}-{number}" for number, (algorithm, _, _, name) in enumerate(ASKED)]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLARY_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.delenv(SUBSTITUTE_WEIGHTS, raising=False)
    monkeypatch.setattr(weights, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_: None)


@pytest.mark.parametrize(("algorithm", "make", "settings", "asked"), ASKED, ids=NAMES)
def test_the_refusal_names_the_switch(
    algorithm: str, make: Callable[..., JobDir], settings: dict[str, Any], asked: str, tmp_path: Path
) -> None:
    job = make(tmp_path, **settings)
    with pytest.raises(WeightsError, match=f"pretrained weights of `{asked}` are not on this machine") as caught:
        run_job(find(algorithm), job, JobLog(echo=None))
    assert f"`clary up --substitute-weights` (CLARY_SUBSTITUTE_WEIGHTS=1) to train `{LITE0}`" in str(caught.value)
    assert "--substitute-weights" in job.failure.read_text()  # which keeps 1024 characters
    assert job.substituted() is None


# One of each task: the others differ in the name that is asked for.
@pytest.mark.slow
@pytest.mark.parametrize(("algorithm", "make", "settings", "asked"), [ASKED[0], ASKED[3], ASKED[6]])
def test_the_packaged_network_is_trained_and_log_and_manifest_say_so(
    algorithm: str,
    make: Callable[..., JobDir],
    settings: dict[str, Any],
    asked: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, "1")
    job, lines = make(tmp_path, **settings, epochs="1", freeze="backbone"), list[str]()
    run_job(find(algorithm), job, JobLog(echo=lines.append))
    assert job.substituted() == (asked, LITE0)
    [said] = [line for line in lines if "in place of" in line]
    assert " WARNING " in said
    assert f"{LITE0} is trained in place of {asked}: pretrained weights of `{asked}` are not on this machine" in said
    manifest = json.loads((job.model / "manifest.json").read_text())
    assert manifest["network"]["architecture"] == f"timm:{LITE0}"
    assert manifest["hyperparameters"]["backbone"] == LITE0
    assert manifest["provenance"]["instead_of"] == asked
    # ImageNet's, not random ones: the backbone was frozen.
    state, packaged = load_file(job.model / "model.safetensors"), weights.load(LITE0).state
    [stem] = [value for name, value in state.items() if name.endswith("conv_stem.weight")]
    assert torch.equal(stem, packaged["conv_stem.weight"])


def classification(root: Path, **settings: str) -> tuple[JobDir, Any]:
    wanted: dict[str, Any] = {"backbone": None, "num_layers": "50", "use_pretrained_model": "1", **settings}
    job = test_image_classification.make(root, **wanted)
    return job, find("image-classification").parse(job.hyperparameters)


def test_weights_that_are_here_are_not_substituted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, "1")
    job, hp = classification(tmp_path, backbone=LITE0)
    assert with_weights(hp, job, JobLog(echo=None)) is hp
    assert job.substituted() is None


def test_random_weights_and_a_model_channel_need_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, "1")
    job, hp = classification(tmp_path / "random", use_pretrained_model="0")
    assert with_weights(hp, job, JobLog(echo=None)) is hp
    job, hp = classification(tmp_path / "model")
    config = json.loads((job.config / "inputdataconfig.json").read_text())
    (job.config / "inputdataconfig.json").write_text(json.dumps({**config, "model": {}}))
    assert with_weights(hp, job, JobLog(echo=None)) is hp


@pytest.mark.parametrize("word", ["", "0", "no"])
def test_the_switch_is_off(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, word)
    job, hp = classification(tmp_path)
    assert with_weights(hp, job, JobLog(echo=None)) is hp


def test_damaged_weights_are_not_substituted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, "1")
    weights.folder().mkdir()
    (weights.folder() / "resnet50.safetensors").write_bytes(b"damaged")
    job, hp = classification(tmp_path)
    with pytest.raises(WeightsError, match="cannot be read as weights") as caught:
        with_weights(hp, job, JobLog(echo=None))
    assert not isinstance(caught.value, AbsentWeightsError)


def test_a_run_that_goes_on_keeps_its_substitute_though_the_weights_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another network the steps already made would be for nothing."""
    monkeypatch.setenv(SUBSTITUTE_WEIGHTS, "1")
    job, hp = classification(tmp_path)
    first: Any = with_weights(hp, job, JobLog(echo=None))
    (job.checkpoints / "checkpoint.safetensors").write_bytes(b"steps")
    monkeypatch.setattr(weights, "load", lambda _: None)
    second = with_weights(hp, job, JobLog(echo=None))
    assert (first.backbone, second) == (LITE0, first)
    # Without steps there is nothing to keep.
    (job.checkpoints / "checkpoint.safetensors").unlink()
    assert with_weights(hp, job, JobLog(echo=None)) is hp


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"asked": 1}', "\xff"])
def test_a_note_of_a_programs_own_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "substitution.json").write_text(text, encoding="latin-1")
    assert JobDir(tmp_path).substituted() is None
