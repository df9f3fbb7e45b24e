"""Parts of a model that do not fit each other: found when it is loaded, by every engine, in one line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, external_data_helper

from clary.errors import ArtifactError
from clary.vision.artifact.archive import entry, pack
from clary.vision.inference.engines import ENGINES
from clary.vision.inference.predictor import load

NAMES = sorted(engine.name for engine in ENGINES)
GRAPHS = sorted({*NAMES} - {"torch"})

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def changed(model_folder, tmp_path) -> Callable[..., Path]:
    def make(change: Change | None = None, source: Path = model_folder) -> Path:
        folder: Path = shutil.copytree(source, tmp_path / "model")
        manifest = json.loads((folder / "manifest.json").read_text())
        if change:
            change(manifest)
        for name in manifest["files"]:
            found = entry(folder / name)
            manifest["files"][name] = {"sha256": found.sha256, "bytes": found.bytes}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


def refusal(folder: Path, engine: str) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(folder, engine)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 600
    return line


def set_(*path: str, to: object) -> Change:
    def change(value: dict[str, Any]) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def one_more_class(manifest: dict[str, Any]) -> None:
    manifest["labels"].append("one more")
    manifest["network"]["num_classes"] = len(manifest["labels"])


@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("form", ["folder", "archive"])
def test_labels_of_another_network(changed, engine, form, tmp_path):
    folder = changed(one_more_class)
    line = refusal(folder if form == "folder" else pack(folder, tmp_path / "m.tar.gz"), engine)
    assert ("4" in line and "3" in line) or "do not fit" in line


@pytest.mark.parametrize("engine", NAMES)
def test_labels_and_a_network_of_other_classes(changed, engine):
    line = refusal(changed(lambda manifest: manifest["labels"].pop()), engine)
    assert "`network` is for 3 classes, `labels` names 2" in line


@pytest.mark.parametrize("engine", NAMES)
@pytest.mark.parametrize("task", ["detector", "segmenter"])
def test_labels_of_another_network_of_each_task(changed, engine, task, request):
    assert refusal(changed(one_more_class, request.getfixturevalue(f"{task}_folder")), engine)


@pytest.mark.parametrize("engine", GRAPHS)
def test_pictures_of_another_size(changed, engine):
    line = refusal(changed(set_("input", "height", to=96)), engine)
    assert "the network cannot be run on a picture as the manifest has it" in line


@pytest.mark.parametrize("engine", NAMES)
def test_a_detector_for_pictures_of_another_size(changed, engine, detector_folder):
    line = refusal(changed(set_("input", "height", to=96), detector_folder), engine)
    assert "the network cannot be run on a picture as the manifest has it" in line


@pytest.mark.parametrize("engine", NAMES)
def test_pictures_that_take_all_memory(changed, engine):
    def change(manifest: dict[str, Any]) -> None:
        manifest["input"] |= {"height": 16_384, "width": 16_384}

    assert "make 268,435,456 pixels, at most 16,777,216 are taken" in refusal(changed(change), engine)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("architecture", "timm:nothing", "no network is called `timm:nothing`"),
        ("architecture", "timm:resnet18", "the weights do not fit the network"),
        ("architecture", 7, "cannot be rebuilt"),
        ("mean", "abc", "cannot be rebuilt"),
        ("std", None, "cannot be rebuilt"),
        ("task", "poetry", "no network does `poetry`"),
        ("num_classes", 10**12, "`network` is for 1000000000000 classes"),
        ("num_classes", [3], "`network` is for"),
        ("num_classes", None, "`network` is for None classes"),
    ],
)
def test_descriptions_of_no_network(changed, key, value, said):
    line = refusal(changed(set_("network", key, to=value)), "torch")
    assert any(part in line for part in said.split("|")), line


def test_a_network_of_gigabytes_is_never_made(changed, monkeypatch):
    import torch

    from clary.vision import models

    places = []
    build = models.build

    def seen(network: dict[str, Any]) -> Any:
        places.append(torch.empty(0).device.type)
        return build(network)

    monkeypatch.setattr(models, "build", seen)
    folder = changed(set_("network", "architecture", to="timm:vit_giant_patch14_224"))  # 1 billion parameters
    assert "the weights do not fit the network" in refusal(folder, "torch")
    assert places == ["meta"]


@pytest.mark.parametrize("damage", ["length", "offsets", "shape", "empty"])
def test_headers_of_weights_that_claim_too_much(changed, damage, model_folder):
    data = (model_folder / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    if damage == "offsets":
        header[name]["data_offsets"] = [0, 1 << 50]
    if damage == "shape":
        header[name]["shape"] = [1 << 40]
    text = json.dumps(header).encode()
    length = (1 << 60 if damage == "length" else len(text)).to_bytes(8, "little")
    broken = b"" if damage == "empty" else length + text + data[8 + size :]

    folder = changed()
    (folder / "model.safetensors").write_bytes(broken)
    _signed(folder)
    assert "the weights cannot be read" in refusal(folder, "torch")


def test_weights_of_other_names(changed):
    folder = changed()
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    name, value = weights.popitem()
    safetensors.numpy.save_file({**weights, f"{name}2": value}, folder / "model.safetensors")
    _signed(folder)
    assert f"`{name}` is missing" in refusal(folder, "torch")


def _signed(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        found = entry(folder / name)
        manifest["files"][name] = {"sha256": found.sha256, "bytes": found.bytes}
    (folder / "manifest.json").write_text(json.dumps(manifest))


class TestExternalData:
    """A graph may say that a tensor's numbers lie in another file, and name any file of the machine."""

    @pytest.mark.parametrize("engine", GRAPHS)
    @pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph"])
    @pytest.mark.parametrize("location", ["weights.bin", "../secret.bin", "/etc/passwd"])
    def test_is_refused_wherever_it_is(self, changed, engine, place, location, tmp_path):
        folder = changed()
        (tmp_path / "secret.bin").write_bytes(os.urandom(1 << 20))
        (folder / "weights.bin").write_bytes(os.urandom(1 << 20))
        model = onnx.load(folder / "model.onnx")
        tensor = outside(model.graph.initializer[0], location)
        if place == "initializer":
            model.graph.initializer[0].CopyFrom(tensor)
        elif place == "attribute":
            model.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value=tensor))
        else:
            inner = onnx.helper.make_graph([], "inner", [], [], initializer=[tensor])
            model.graph.node.append(onnx.helper.make_node("If", ["c"], ["u"], then_branch=inner, else_branch=inner))
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        _signed(folder)
        assert "model.onnx: keeps weights in other files" in refusal(folder, engine)

    @pytest.mark.parametrize("engine", GRAPHS)
    @pytest.mark.parametrize("data", [b"", b"\x08", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x7f", b"\x0f" * 9])
    def test_bytes_that_are_no_graph(self, changed, engine, data):
        folder = changed()
        (folder / "model.onnx").write_bytes(data)
        _signed(folder)
        assert str(folder) in refusal(folder, engine)


def outside(tensor: TensorProto, location: str) -> TensorProto:
    moved = TensorProto()
    moved.CopyFrom(tensor)
    external_data_helper.set_external_data(moved, location, offset=0, length=len(moved.raw_data))
    moved.ClearField("raw_data")
    return moved


@pytest.mark.parametrize("engine", GRAPHS)
@pytest.mark.parametrize("name", [b"scores", b"Conv"])
def test_names_in_a_graph_that_are_no_utf_8(changed, engine, name, tmp_path, capfd):
    """Found by `make storm`."""

    def rename(_: dict[str, Any]) -> None:
        path = tmp_path / "model" / "model.onnx"
        graph = path.read_bytes()
        assert name in graph
        path.write_bytes(graph.replace(name, name[:-1] + b"\xff"))

    assert "cannot open the graph" in refusal(changed(rename), engine)
    assert capfd.readouterr().out == ""
