"""Going on from an earlier model: opening it, agreeing with it, taking its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from clary.errors import ArtifactError, CustomerError
from clary.vision.algorithms.earlier_model import EarlierModel, check_agreement, earlier_model
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.archive import pack
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.models import build

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("model_folder", "detector_folder", "segmenter_folder")
HEADS = {"model_folder": 2, "detector_folder": 12, "segmenter_folder": 2}  # tensors that depend on the classes


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(kind: str, request: pytest.FixtureRequest) -> Path:
    """The model folder of a classifier, a detector, a segmenter; each of three classes."""
    found: Path = request.getfixturevalue(kind)
    return found


def opened(tmp_path: Path, channel: Path | None) -> tuple[EarlierModel | None, list[str]]:
    lines: list[str] = []
    channels = {"model": Channel("model", channel, "application/x-sagemaker-model")} if channel else {}
    job = JobDir.create(tmp_path / "job", {}, channels)
    return earlier_model(job, JobLog(echo=lines.append)), lines


def earlier(tmp_path: Path, channel: Path) -> EarlierModel:
    found, _ = opened(tmp_path, channel)
    assert found is not None
    return found


def other(model: EarlierModel, **changes: object) -> nn.Module:
    """A network of the same description, but for ``changes``, with weights of its own."""
    torch.manual_seed(9)
    return build({**model.network, **changes})


def put(model: EarlierModel, network: nn.Module, num_classes: int) -> list[str]:
    lines: list[str] = []
    model.put_into(network, num_classes, JobLog(echo=lines.append))
    return [line.partition("] ")[2] for line in lines]


# Opening


def test_without_the_channel_there_is_none(tmp_path: Path) -> None:
    assert opened(tmp_path, None) == (None, [])


def test_folder_and_archive_hold_the_same(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "channel" / "some" / "model.tar.gz")
    (plain, lines), packed = opened(tmp_path / "a", folder), earlier(tmp_path / "b", archive.parents[1])
    assert plain is not None
    assert [line.partition("] ")[2] for line in lines] == ["Start training from the model in the model channel."]
    assert plain.network == packed.network
    assert plain.state.keys() == packed.state.keys()
    assert all(torch.equal(plain.state[name], packed.state[name]) for name in plain.state)
    assert plain.mean == tuple(plain.network["mean"])
    assert plain.std == tuple(plain.network["std"])


def test_channel_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match="is empty: its training was stopped before the first epoch ended"):
        opened(tmp_path, tmp_path / "empty")


# Weights


def test_same_classes_take_every_tensor(folder: Path, tmp_path: Path) -> None:
    model = earlier(tmp_path, folder)
    network = other(model)
    assert any(not torch.equal(value, model.state[name]) for name, value in network.state_dict().items())
    assert put(model, network, 3) == ["done loading checkpoint"]
    assert all(torch.equal(value, model.state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("classes", [2, 5])
def test_other_classes_start_their_head_afresh_and_the_log_says_so(
    classes: int, kind: str, folder: Path, tmp_path: Path
) -> None:
    model = earlier(tmp_path, folder)
    network = other(model, num_classes=classes)
    fresh = {name: value.clone() for name, value in network.state_dict().items()}
    assert put(model, network, classes) == [
        f"The model in the model channel has 3 classes, this job {classes}: {_head_count(fresh, model)} tensors of its "
        "head start afresh.",
        "done loading checkpoint",
    ]
    for name, value in network.state_dict().items():
        fits = model.state[name].shape == value.shape
        assert torch.equal(value, model.state[name] if fits else fresh[name]), name


def _head_count(fresh: dict[str, torch.Tensor], model: EarlierModel) -> int:
    return sum(model.state[name].shape != value.shape for name, value in fresh.items())


def test_heads_are_small(kind: str, folder: Path, tmp_path: Path) -> None:
    model = earlier(tmp_path, folder)
    with torch.device("meta"):
        assert _head_count(build({**model.network, "num_classes": 7}).state_dict(), model) == HEADS[kind]


def test_other_tensors_that_do_not_fit_are_refused(segmenter_folder: Path, tmp_path: Path) -> None:
    model = earlier(tmp_path, segmenter_folder)
    network = other(model, width=32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(CustomerError, match="does not fit this job's network") as caught:
        put(model, network, 3)
    assert "(first `segmenter.head." in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


# Agreement


def test_what_agrees_passes() -> None:
    check_agreement({"architecture": "timm:a", "algorithm": "fcn", "more": 1}, {"architecture": "timm:a"})


def test_everything_that_differs_is_named() -> None:
    with pytest.raises(CustomerError) as caught:
        check_agreement({"architecture": "timm:a"}, {"architecture": "timm:b", "algorithm": "psp"})
    assert str(caught.value) == (
        "The model in the model channel does not fit this job (architecture: timm:a there, timm:b here, "
        "algorithm: None there, psp here); use the same architecture, algorithm"
    )
