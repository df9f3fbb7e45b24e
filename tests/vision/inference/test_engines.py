"""The contract of engines: every one gives the same answer to the same artifact."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clary.errors import ArtifactError, MissingPackageError, UsageError
from clary.vision.artifact.agreement import difference
from clary.vision.artifact.archive import open_model
from clary.vision.artifact.export import TOLERANCE
from clary.vision.artifact.manifest import Manifest
from clary.vision.inference import engines
from clary.vision.inference.engines import ENGINES, PREFERENCE, Engine, find, installed
from clary.vision.inference.engines.torch import Torch

NAMES = sorted(engine.name for engine in ENGINES)


@pytest.fixture(scope="module")
def manifest(model_folder: Path) -> Manifest:
    return open_model(model_folder).manifest


@pytest.fixture
def images(image) -> np.ndarray:
    """Nine pictures, (9, 48, 64, 3)."""
    return np.stack([image(64, 48, seed) for seed in range(9)])


@pytest.fixture(params=NAMES)
def engine(request, model_folder, manifest) -> Engine:
    return ENGINES.get(request.param)(model_folder, manifest)


@pytest.fixture(scope="module")
def reference(model_folder, manifest) -> Engine:
    return Torch(model_folder, manifest)


class TestContract:
    def test_scores_are_those_of_torch(self, engine, reference, images):
        (scores,) = engine(images)
        assert scores.shape == (9, 3)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-3)
        assert np.abs(scores - reference(images)[0]).max() <= TOLERANCE[engine.precision]
        assert np.ptp(scores, axis=0).max() > 0.2, "pictures must be told apart for this to mean something"

    def test_a_picture_gets_the_same_scores_in_any_company(self, engine, images):
        (together,) = engine(images)
        for size in (1, 2, 4, 8):
            (found,) = engine(images[:size])
            np.testing.assert_allclose(found, together[:size], atol=TOLERANCE[engine.precision] / 2)

    def test_answers_are_kept(self, engine, images):
        (first,) = engine(images[:1])
        copy = first.copy()
        engine(images[1:2])
        np.testing.assert_array_equal(first, copy)

    def test_pictures_are_left_as_they_are(self, engine, images):
        before = images.copy()
        images.setflags(write=False)
        engine(images)
        np.testing.assert_array_equal(images, before)

    def test_views_are_taken(self, engine, images):
        np.testing.assert_array_equal(engine(images[::-1])[0], engine(images[::-1].copy())[0])

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("streams", [1, 2])
    def test_threads(self, name, streams, model_folder, manifest, images):
        engine = ENGINES.get(name)(model_folder, manifest, streams=streams)
        expected = [engine(one[None])[0] for one in images]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda i: engine(images[i % 9][None])[0], range(27)))
        assert all(np.array_equal(found[i], expected[i % 9]) for i in range(27))

    @pytest.mark.slow  # a process of its own for each engine, which loads its libraries
    @pytest.mark.parametrize("name", NAMES)
    def test_the_first_calls_may_come_at_once(self, name, model_folder):
        """In a process of its own: what a binding sets up at its first call, it sets up once."""
        program = (
            "import threading, numpy as np, sys; sys.setswitchinterval(1e-6)\n"
            "from clary.vision.inference.predictor import load\n"
            f"model = load({str(model_folder)!r}, {name!r}, streams=2)\n"
            "start = threading.Barrier(2)\n"
            "images = np.zeros((1, 48, 64, 3), np.uint8)\n"
            "run = lambda: (start.wait(), model.engine(images))\n"
            "threads = [threading.Thread(target=run) for _ in range(2)]\n"
            "[one.start() for one in threads]; [one.join() for one in threads]\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    @pytest.mark.parametrize(
        "images",
        [
            np.zeros((1, 48, 64, 3), np.float32),
            np.zeros((1, 64, 48, 3), np.uint8),
            np.zeros((48, 64, 3), np.uint8),
            np.zeros((0, 48, 64, 3), np.uint8),
            np.zeros((1, 48, 64, 4), np.uint8),
        ],
    )
    def test_other_shapes_are_refused(self, engine, images):
        with pytest.raises(ValueError, match=r"not uint8 \(N, 48, 64, 3\)"):
            engine(images)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("damage", ["missing", "garbage"])
    def test_a_broken_model(self, name, damage, model_folder, manifest, tmp_path):
        folder = shutil.copytree(model_folder, tmp_path / "model")
        for file in ("model.onnx", "model.safetensors"):
            (folder / file).unlink()
            if damage == "garbage":
                (folder / file).write_bytes(b"garbage" * 50)
        with pytest.raises(ArtifactError) as caught:
            ENGINES.get(name)(folder, manifest)
        assert "\n" not in str(caught.value)
        assert str(folder) in str(caught.value)

    def test_fp32_can_be_asked_for(self, model_folder, manifest):
        assert all(kind(model_folder, manifest, precision="fp32").precision == "fp32" for kind in ENGINES)

    def test_precision_and_version_are_said(self, engine):
        assert engine.precision in ("fp32", "bf16")
        assert engine.version


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("task", ["detector", "segmenter"])
class TestTasks:
    """The same promises for networks of two outputs, and of pictures of any size."""

    @pytest.fixture
    def folder(self, task, request) -> Path:
        folder: Path = request.getfixturevalue(f"{task}_folder")
        return folder

    @pytest.fixture
    def opened(self, name, folder) -> Engine:
        return ENGINES.get(name)(folder, open_model(folder).manifest, streams=2)

    @pytest.fixture
    def batches(self, task, image) -> list[np.ndarray]:
        sizes = [(64, 64)] if task == "detector" else [(64, 64), (70, 45), (33, 129), (32, 32)]
        return [np.stack([image(*size, seed) for seed in range(3)]) for size in sizes]

    def test_outputs_are_those_of_torch(self, opened, folder, task, batches):
        manifest = open_model(folder).manifest
        exact = Torch(folder, manifest)
        found = [opened(images) for images in batches]
        assert all(one.dtype == np.float32 for outputs in found for one in outputs)
        expected = [exact(images) for images in batches]
        assert not difference(manifest.task, expected, found).fault(manifest.task, opened.precision)
        shapes = [[one.shape for one in outputs] for outputs in found]
        if task == "detector":
            assert shapes == [[(3, len(expected[0][0][0]), 4), (3, len(expected[0][0][0]), 3)]]
            assert all(one.min() >= 0 and one.max() <= 1 for one in found[0])
        else:
            assert shapes == [[(3, 3, *images.shape[1:3])] for images in batches]
            assert len(np.unique(found[0][0].argmax(axis=1))) > 1, (
                "pixels must be told apart for this to mean something"
            )

    def test_a_picture_gets_the_same_in_any_company(self, opened, folder, batches):
        manifest = open_model(folder).manifest
        for images in batches:
            together, alone = opened(images), opened(images[:1])
            assert not difference(manifest.task, [tuple(one[:1] for one in together)], [alone]).fault(
                manifest.task, opened.precision
            )

    def test_answers_are_kept(self, opened, batches):
        first = opened(batches[0][:1])
        copies = [one.copy() for one in first]
        opened(batches[-1][1:2])
        for one, copy in zip(first, copies, strict=True):
            np.testing.assert_array_equal(one, copy)

    def test_threads(self, opened, batches):
        images = [batch[i][None] for i in range(3) for batch in batches]
        expected = [opened(one) for one in images]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(opened, images * 3))
        for one, other in zip(found, expected * 3, strict=True):
            assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))

    @pytest.mark.parametrize("shape", [(0, 64, 64, 3), (64, 64, 3), (1, 64, 64, 1), (1, 0, 64, 3)])
    def test_other_shapes_are_refused(self, opened, task, shape):
        sides = "64, 64" if task == "detector" else "H, W"
        with pytest.raises(ValueError, match=rf"not uint8 \(N, {sides}, 3\)"):
            opened(np.zeros(shape, np.uint8))


class TestTorch:
    @pytest.mark.parametrize(
        "network", [{}, {"architecture": "timm:test_resnet", "num_classes": "x", "mean": [], "std": []}]
    )
    def test_a_description_that_lacks_something(self, model_folder, manifest, network):
        with pytest.raises(ArtifactError, match="cannot be rebuilt"):
            Torch(model_folder, replace(manifest, network=network))

    def test_weights_of_another_network(self, model_folder, manifest):
        network = {**manifest.network, "num_classes": 4}
        with pytest.raises(ArtifactError, match="weights do not fit"):
            Torch(model_folder, replace(manifest, network=network))


class TestFinding:
    def test_every_engine_is_ranked(self):
        assert sorted(PREFERENCE) == NAMES

    def test_auto_takes_the_first_installed(self, monkeypatch):
        assert find("auto").name == "openvino"
        monkeypatch.setattr(ENGINES.get("openvino"), "installed", classmethod(lambda cls: False))
        assert find("auto").name == "onnxruntime"
        assert [engine.name for engine in installed()] == ["onnxruntime", "torch"]

    def test_none_is_installed(self, monkeypatch):
        monkeypatch.setattr(engines._base, "find_spec", lambda name: None)
        with pytest.raises(MissingPackageError, match=r'pip install "clary\[serve\]"'):
            find("auto")
        with pytest.raises(MissingPackageError, match=r'engine `torch` is not installed; pip install "clary\[train\]"'):
            find("torch")

    def test_unknown(self):
        with pytest.raises(UsageError, match="unknown engines `openvine`; use `openvino`"):
            find("openvine")

    def test_listing_loads_nothing(self):
        program = (
            "import sys; from clary.vision.inference.engines import installed; installed()\n"
            "assert not {'torch', 'openvino', 'onnxruntime'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", program], check=True)


LET_GO = """
import gc, signal, sys, threading
from pathlib import Path
from clary.vision.artifact.agreement import difference
from clary.vision.artifact.archive import open_model
from clary.vision.inference.engines import ENGINES
signal.signal(signal.SIGINT, lambda number, frame: print("handled", flush=True))
folder = Path(sys.argv[2])
held = [ENGINES.get(sys.argv[1])(folder, open_model(folder).manifest)]
def let_go():
    held.clear()
    gc.collect()
thread = threading.Thread(target=let_go)
thread.start()
thread.join()
signal.raise_signal(signal.SIGINT)
"""


@pytest.mark.slow  # a process of its own for each engine, which loads its libraries
@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_survived_after_another_thread_let_the_engine_go(name, model_folder):
    """OpenVINO's plugin takes the main thread's stack for signals with it, and Ctrl-C became a SIGSEGV."""
    command = [sys.executable, "-c", LET_GO, name, str(model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
