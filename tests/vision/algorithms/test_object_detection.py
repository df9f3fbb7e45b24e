"""Object detection from a job directory to a model: the contract, and what is its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clary.errors import CustomerError, DataError
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.object_detection import data
from clary.vision.algorithms.object_detection.spec import SPEC
from clary.vision.algorithms.object_detection.train import _optimizer
from clary.vision.algorithms.run import run_job
from clary.vision.base import decoding, preprocessing
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.base.types import Blob, Box, Sample
from clary.vision.models.anchors import Anchors, ssd_levels
from clary.vision.models.detector import build_detector, describe_detector, grids_of

from .contract import AlgorithmContract, Finished, run

# Networks for boxes are the slowest to train; the quick tests have the same contract for classes and masks.
pytestmark = pytest.mark.slow

SETTINGS = {
    "num_classes": "2",
    "num_training_samples": "9",
    "epochs": "2",
    "mini_batch_size": "4",
    "image_shape": "300",
    "backbone": "test_resnet",
    "use_pretrained_model": "0",
    "learning_rate": "0.001",
    "label_width": "17",
    "precision": "fp32",
}


def channel(root: Path, name: str, count: int) -> dict[str, Channel]:
    """``count`` pictures of a bright rectangle each, red or green by its class, and their JSON."""
    annotations = root / f"{name}_annotation"
    (root / name).mkdir(parents=True)
    annotations.mkdir()
    for number in range(count):
        random = np.random.default_rng(number)
        pixels = random.integers(0, 60, (60, 80, 3)).astype(np.uint8)
        left, top, width, height = (int(n) for n in random.integers((0, 0, 20, 20), (40, 30, 40, 30)))
        pixels[top : top + height, left : left + width, number % 2] = 250
        Image.fromarray(pixels).save(root / name / f"{number}.png")
        box = {"class_id": number % 2, "left": left, "top": top, "width": width, "height": height}
        size = [{"width": 80, "height": 60, "depth": 3}]
        told = {"file": f"{number}.png", "image_size": size, "annotations": [box]}
        (annotations / f"{number}.json").write_text(json.dumps(told))
    return {one: Channel(one, root / one, "image/png") for one in (name, annotations.name)}


def make(root: Path, **settings: str | None) -> JobDir:
    channels = channel(root / "data", "train", 9) | channel(root / "data", "validation", 3)
    merged = {**SETTINGS, **settings}
    return JobDir.create(root / "job", {name: text for name, text in merged.items() if text is not None}, channels)


class TestObjectDetection(AlgorithmContract):
    spec = SPEC

    @classmethod
    def make_job(cls, root: Path) -> JobDir:
        return make(root)


pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[..., JobDir]

OURS = {"neck": "fpn", "anchors": "fitted", "augmentation": "gentle", "optimizer": "adamw", "freeze": "norms"}


@pytest.fixture
def job(tmp_path: Path) -> Make:
    """``job(epochs="3", ...)``: a job directory in tmp_path, with some settings changed."""
    return lambda **changes: make(tmp_path, **changes)


def texts(finished: Finished) -> list[str]:
    return [line.partition("] ")[2] for line in finished.lines]


def failure(job: JobDir) -> str:
    with pytest.raises(CustomerError) as caught:
        run_job(SPEC, job, JobLog(echo=None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sample(root: Path, size: tuple[int, int], *boxes: Box) -> Sample:
    Image.new("RGB", size).save(root / "p.png")
    return Sample(Blob(root / "p.png"), boxes=boxes)


# Runs


def test_log_is_in_the_order_of_the_reference(job: Make) -> None:
    found = texts(run(SPEC, job(freeze_layer_pattern="conv0|stage1_")))
    order = [
        "Process 1 is a worker.",
        "Loaded iterator creator image/png for content type ('image/png', '1.0')",
        "Training images are resized to image shape (3, 300, 300)",
        "Create Store: device",
        "Start training from pretrained model 0.",
        "freeze_layer_pattern matches ",
        "Creating a new state instance.",
        "#quality_metric: host=algo-1, epoch=0, batch=2 train cross_entropy <loss>=(",
        "#quality_metric: host=algo-1, epoch=0, batch=2 train smooth_l1 <loss>=(",
        "Round of batches complete",
        "#quality_metric: host=algo-1, epoch=0, validation mAP <score>=(",
        "Updating the best model with validation-mAP=",
        'Saved checkpoint to "',
        "#progress_metric: host=algo-1, completed 50 % of epochs",
        "#quality_metric: host=algo-1, epoch=1, batch=2 train cross_entropy <loss>=(",
        "Test data is not provided.",
    ]
    places = [next(i for i, text in enumerate(found) if text.startswith(start)) for start in order]
    assert places == sorted(places)


def test_our_network_trains_as_well(job: Make) -> None:
    manifest = json.loads((run(SPEC, job(**OURS)).job.model / "manifest.json").read_text())
    network = manifest["network"]
    assert network["neck"] == {"kind": "fpn", "strides": [8, 16, 32], "width": 96, "depth": 1}
    assert [len(level["sizes"]) for level in network["anchors"]] == [3, 3, 3]
    assert [output["name"] for output in manifest["outputs"]] == ["boxes", "scores"]
    assert manifest["input"]["crop"] == "squash"
    assert manifest["metrics"].keys() >= {"validation:mAP", "validation:loss"}


def test_goes_on_from_a_model_of_another_number_of_classes(tmp_path: Path) -> None:
    first = run(SPEC, make(tmp_path / "first", **OURS)).job
    second = make(tmp_path / "second", **{**OURS, "num_classes": "3"})
    config = json.loads((second.config / "inputdataconfig.json").read_text())
    config["model"] = config["train"] | {"ContentType": "application/x-sagemaker-model"}
    (second.config / "inputdataconfig.json").write_text(json.dumps(config))
    (second.data / "model").symlink_to(first.model)
    found = texts(run(SPEC, second))
    assert "Start training from the model in the model channel." in found
    assert "done loading checkpoint" in found
    assert any("has 2 classes, this job 3: 2 tensors of its head start afresh" in text for text in found)
    networks = [json.loads((one.model / "manifest.json").read_text())["network"] for one in (first, second)]
    assert networks[0]["anchors"] == networks[1]["anchors"]


# Mistakes


def test_more_objects_than_label_width_holds(job: Make) -> None:
    made = job(label_width="12")
    path = made.data / "train_annotation" / "4.json"
    value = json.loads(path.read_text())
    value["annotations"] *= 3
    path.write_text(json.dumps(value))
    message = failure(made)
    assert message.startswith("Invalid parameter value 'label_width'. Please ensure that the value of parameter ")
    assert "at least 17" in message
    assert "4.json" in message or "4.png" in message


def test_fewer_pictures_than_a_batch(job: Make) -> None:
    expected = "The number of input images must be bigger or equal to the mini_batch_size."
    assert failure(job(mini_batch_size="10")) == expected


def test_everything_frozen(job: Make) -> None:
    assert "leaves nothing to train" in failure(job(freeze_layer_pattern=".*"))


def test_no_boxes_at_all(job: Make) -> None:
    made = job(**OURS)
    for path in (made.data / "train_annotation").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert "has no box in any picture" in failure(made)


def test_network_without_maps(job: Make) -> None:
    assert "gives no maps of features" in failure(job(backbone="vit_tiny_patch16_224"))


# Data


def test_objects_are_fractions_of_the_upright_picture(tmp_path: Path) -> None:
    cache = data.ObjectCache([sample(tmp_path, (200, 100), Box(1, 20, 10, 120, 60), Box(0, 0, 0, 200, 100))])
    assert len(cache) == 1
    expected = np.array([[1, 0.1, 0.1, 0.6, 0.6], [0, 0, 0, 1, 1]])
    np.testing.assert_allclose(cache[0], expected, rtol=1e-6)
    assert cache[0].dtype == np.float32
    assert data.ObjectCache([sample(tmp_path, (20, 10))])[0].shape == (0, 5)


def test_picture_that_went_away_is_named(tmp_path: Path) -> None:
    gone = sample(tmp_path, (20, 10))
    (tmp_path / "p.png").unlink()
    with pytest.raises(DataError, match=r"p\.png: cannot be read"):
        data.ObjectCache([gone])[0]


def test_slots_are_what_label_width_leaves() -> None:
    hp = SPEC.parse({**SETTINGS, "label_width": "350"})
    assert data.slots(hp) == 69
    assert data.slots(SPEC.parse({**SETTINGS, "label_width": "7"})) == 1


def test_batches_hold_pictures_and_targets_of_one_shape(job: Make) -> None:
    made = job()
    hp = SPEC.parse(SETTINGS)
    dataset = data.load_dataset(made, hp, JobLog(echo=None))
    anchors = Anchors(ssd_levels([(n, n) for n in (19, 10, 5, 3, 2, 1)], 300, 300))
    train, validation = data.loaders(dataset, hp, {300: anchors})
    assert validation is not None
    for loader, count in ((train, 8), (validation, 3)):
        batches = list(loader.epoch())
        assert sum(len(batch) for batch in batches) == count
        for batch in batches:
            assert batch.images.shape[1:] == (300, 300, 3)
            assert batch.targets.dtype == np.float32
            assert batch.targets.shape[1:] == (5 * 3 + 2268,)
    first = dataset.splits["validation"][0]
    expected = preprocessing.fit(decoding.decode(first.image.read()), data.serving_transform(hp))
    batch = next(iter(validation.epoch()))
    np.testing.assert_array_equal(batch.images[0], expected)
    np.testing.assert_allclose(batch.targets[0, :5], data.ObjectCache([first])[0][0])


# The update rule


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop", "adadelta", "adamw"])
def test_biases_of_predictors_learn_at_twice_the_rate(optimizer: str) -> None:
    hp = SPEC.parse({**SETTINGS, "optimizer": optimizer, "weight_decay": "0.01"})
    levels = ssd_levels(grids_of("timm:test_resnet", (96, 96)), 96, 96)
    with torch.device("meta"):
        detector = build_detector(describe_detector("timm:test_resnet", 2, (96, 96), levels)).detector
    groups = _optimizer(detector, hp).param_groups
    biases = {id(bias) for bias in detector.predictor_biases()}
    assert len(biases) == 12
    for group in groups:
        doubled = {id(parameter) in biases for parameter in group["params"]}
        assert doubled == {group["factor"] == 2}
        decays = group["weight_decay"] > 0
        assert not (decays and group["factor"] == 2)
    assert any(group["weight_decay"] for group in groups) == (optimizer in ("sgd", "rmsprop", "adamw"))
    assert sum(len(group["params"]) for group in groups) == sum(1 for _ in detector.parameters())
