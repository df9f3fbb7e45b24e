"""Writing a model folder: every engine is checked, the network stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import nn

from clary.errors import AlgorithmError, ArtifactError
from clary.vision.artifact import export
from clary.vision.artifact.archive import open_model
from clary.vision.artifact.export import TOLERANCE, write_model
from clary.vision.artifact.manifest import Input, Manifest, Output, Provenance
from clary.vision.base.preprocessing import Preprocess
from clary.vision.inference.engines.onnxruntime import OnnxRuntime
from clary.vision.inference.engines.openvino import OpenVino
from clary.vision.models.normalization import InputNormalization
from clary.vision.tasks import TASKS

MANIFEST = Manifest(
    task="classification",
    algorithm="image-classification",
    labels=("a", "b", "c"),
    network={"architecture": "none"},
    input=Input(Preprocess(32, 40)),
    provenance=Provenance("0.1.0", "2026-01-01T00:00:00Z"),
)
GRAPHS = (OpenVino, OnnxRuntime)


class Small(nn.Module):
    """uint8 (N, H, W, 3) to softmax scores (N, 3)."""

    def __init__(self, backbone: nn.Module | None = None) -> None:
        super().__init__()
        self.normalize = InputNormalization()
        head = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
        )
        self.backbone = backbone or head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.backbone(self.normalize(images)).softmax(dim=1)
        return scores


@pytest.fixture
def network() -> Small:
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def example(image) -> np.ndarray:
    return np.stack([image(40, 32, seed) for seed in range(3)])


class TestWriting:
    def test_the_folder_opens_and_names_its_files(self, network, example, tmp_path):
        written = write_model(tmp_path, network, example, MANIFEST, engines=GRAPHS)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "model.onnx", "model.safetensors"]
        with open_model(tmp_path) as model:
            assert model.manifest == written
        assert set(written.files) == {"model.onnx", "model.safetensors"}

    def test_engines_are_recorded(self, network, example, tmp_path):
        checks = write_model(tmp_path, network, example, MANIFEST, engines=GRAPHS).engines
        assert set(checks) == {"openvino", "onnxruntime"}
        assert checks["onnxruntime"].precision == "fp32"
        assert all(
            check.largest_difference <= TOLERANCE[check.precision] and check.version for check in checks.values()
        )

    def test_a_real_network(self, example, tmp_path):
        torch.manual_seed(0)
        network = Small(timm.create_model("resnet18", pretrained=False, num_classes=3))
        checks = write_model(tmp_path, network, example, MANIFEST, engines=GRAPHS).engines
        assert checks["onnxruntime"].largest_difference < 1e-5

    def test_any_batch_size(self, network, example, tmp_path):
        manifest = write_model(tmp_path, network, example, MANIFEST, engines=())
        many = np.concatenate([example] * 4)
        with torch.inference_mode():
            expected = network.eval()(torch.from_numpy(many)).numpy()
        np.testing.assert_allclose(OnnxRuntime(tmp_path, manifest)(many)[0], expected, atol=1e-5)

    def test_the_state_dict_is_complete(self, network, example, tmp_path):
        network.to(memory_format=torch.channels_last)
        write_model(tmp_path, network, example, MANIFEST, engines=())
        state = load_file(tmp_path / "model.safetensors")
        assert state.keys() == network.state_dict().keys()
        assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())

    def test_the_network_is_left_as_it_was(self, network, example, tmp_path):
        network.train()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        write_model(tmp_path, network, example, MANIFEST, engines=GRAPHS)
        assert network.training
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())

    def test_it_is_quiet(self, network, example, tmp_path, capfd):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            write_model(tmp_path, network, example, MANIFEST, engines=GRAPHS)
        assert caught == []
        assert capfd.readouterr() == ("", "")


class Places(nn.Module):
    """uint8 (N, H, W, 3) to softmax scores (N, 3, H, W); ``fixed`` forgets that sizes differ."""

    def __init__(self, fixed: bool = False) -> None:
        super().__init__()
        self.normalize = InputNormalization()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
        self.fixed = fixed

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = (32, 40) if self.fixed else (images.shape[1], images.shape[2])
        logits = self.body(self.normalize(images))
        scores: torch.Tensor = nn.functional.interpolate(logits * 5, size=size, mode="bilinear").softmax(dim=1)
        return scores


class Boxes(nn.Module):
    """uint8 (N, H, W, 3) to boxes (N, 4, 4) and scores (N, 4, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places()

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = nn.functional.avg_pool2d(self.places(images), (16, 20)).flatten(2).transpose(1, 2)
        return scores.repeat(1, 1, 2)[..., :4], scores


PIXELS = replace(
    MANIFEST, task="segmentation", input=Input(Preprocess.whole()), outputs=TASKS.get("segmentation").outputs
)
BOXES = replace(MANIFEST, task="detection", outputs=TASKS.get("detection").outputs)


class TestTasks:
    def test_pictures_of_any_size(self, example, tmp_path, image):
        torch.manual_seed(0)
        network = Places().eval()
        manifest = write_model(tmp_path, network, example, PIXELS, engines=GRAPHS)
        assert set(manifest.engines) == {"openvino", "onnxruntime"}
        images = np.stack([image(57, 71, seed) for seed in range(2)])
        with torch.inference_mode():
            expected = network(torch.from_numpy(images)).numpy()
        for engine in GRAPHS:
            (found,) = engine(tmp_path, manifest)(images)
            np.testing.assert_allclose(found, expected, atol=0.02)

    def test_a_graph_of_one_size_is_found_out(self, example, tmp_path):
        torch.manual_seed(0)
        with pytest.raises(AlgorithmError, match="engine `onnxruntime` differ from torch's in fp32"):
            write_model(tmp_path, Traced(Places(fixed=True)), example, PIXELS, engines=[OnnxRuntime])
        assert not (tmp_path / "manifest.json").exists()

    def test_two_outputs_in_their_order(self, example, tmp_path):
        torch.manual_seed(0)
        network = Boxes().eval()
        manifest = write_model(tmp_path, network, example, BOXES, engines=GRAPHS)
        with torch.inference_mode():
            expected = [one.numpy() for one in network(torch.from_numpy(example))]
        for engine in GRAPHS:
            for found, exact in zip(engine(tmp_path, manifest)(example), expected, strict=True):
                np.testing.assert_allclose(found, exact, atol=0.02)

    def test_a_manifest_that_names_another_output(self, example, tmp_path):
        torch.manual_seed(0)
        manifest = write_model(tmp_path, Boxes(), example, BOXES, engines=())
        other = replace(manifest, outputs=(Output("boxes"), Output("marks")))
        for engine in GRAPHS:
            with pytest.raises(ArtifactError, match="the graph has no output `marks`"):
                engine(tmp_path, other)


class Traced(nn.Module):
    """Takes any size in eager torch; what is traced has the size of the first example."""

    def __init__(self, network: Places) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.network.fixed = torch.onnx.is_in_onnx_export()
        scores: torch.Tensor = self.network(images)
        return scores


@dataclass
class Opened:
    expected: np.ndarray
    precision: str
    error: float
    version: str = "1"

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.expected[: len(images)] + self.error,)


@dataclass
class Crooked:
    """An engine whose scores are off by ``bf16`` in that precision, and by ``fp32`` in the other."""

    bf16: float
    fp32: float
    expected: np.ndarray
    name: str = "crooked"

    def __call__(self, folder: Path, manifest: Manifest, *, precision: str) -> Opened:
        if precision == "fp32":
            return Opened(self.expected, "fp32", self.fp32)
        return Opened(self.expected, "bf16", self.bf16)


class TestChecking:
    @pytest.fixture
    def expected(self, network, example):
        with torch.inference_mode():
            return network.eval()(torch.from_numpy(example)).numpy()

    def write(self, tmp_path, network, example, engine):
        return write_model(tmp_path, network, example, MANIFEST, engines=[engine]).engines["crooked"]

    def test_bf16_close_enough(self, tmp_path, network, example, expected):
        check = self.write(tmp_path, network, example, Crooked(0.01, 0.0, expected))
        assert check.precision == "bf16"
        assert check.largest_difference == pytest.approx(0.01, abs=1e-6)

    def test_bf16_too_far_falls_back_to_fp32(self, tmp_path, network, example, expected):
        check = self.write(tmp_path, network, example, Crooked(0.03, 0.0, expected))
        # Not exactly zero: on some processors eager torch sums one image alone in another order than in a batch.
        assert (check.precision, check.largest_difference) == ("fp32", pytest.approx(0.0, abs=1e-6))

    @pytest.mark.parametrize("error", [0.01, np.nan])
    def test_fp32_too_far_is_an_error_that_names_the_engine(self, tmp_path, network, example, expected, error):
        with pytest.raises(AlgorithmError, match="engine `crooked`"):
            self.write(tmp_path, network, example, Crooked(0.5, error, expected))
        assert not (tmp_path / "manifest.json").exists()

    def test_serving_obeys_the_check(self, tmp_path, network, example):
        manifest = write_model(tmp_path, network, example, MANIFEST, engines=[OpenVino])
        plain = replace(manifest.engines["openvino"], precision="fp32")
        engine = OpenVino(tmp_path, replace(manifest, engines={"openvino": plain}))
        assert engine.precision == "fp32"


def test_no_tensor_library_is_loaded_to_open_a_model(model_archive):
    program = (
        "import sys, clary.vision.artifact.archive as a\n"
        f"a.open_model({str(model_archive)!r}).close()\n"
        "assert not {'torch', 'onnx', 'openvino', 'onnxruntime'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)


def test_trainings_on_threads_of_one_process_export_one_after_the_other(tmp_path, monkeypatch):
    busy = Lock()

    def slow(*words, **named):
        assert busy.acquire(blocking=False)
        time.sleep(0.1)
        busy.release()

    monkeypatch.setattr(torch.onnx, "export", slow)
    example = np.zeros((1, 8, 8, 3), np.uint8)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda n: export._write_graph(tmp_path / n, nn.Identity(), example, MANIFEST), "abc"))
