"""Semantic segmentation from a job directory to a model: the contract, and what is its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from clary.errors import CustomerError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.run import run_job
from clary.vision.base.events import Hook, RunStart
from clary.vision.base.jobdir import Channel, JobDir
from clary.vision.formats._masks import mask_png
from clary.vision.inference.predictor import load

from .contract import AlgorithmContract, Finished, run

SPEC = find("semantic-segmentation")
SETTINGS = {
    "num_classes": "3",
    "num_training_samples": "9",
    "epochs": "2",
    "mini_batch_size": "4",
    "validation_mini_batch_size": "2",
    "base_size": "48",
    "crop_size": "30",
    "backbone": "test_resnet",
    "algorithm": "fcn",
    "use_pretrained_model": "False",
    "learning_rate": "0.01",
    "precision": "fp32",
}
CHANNELS = ("train", "train_annotation", "validation", "validation_annotation")


def draw(root: Path, name: str, count: int) -> None:
    """``count`` pictures of a bright rectangle each, red or green by its class, and their masks."""
    (root / name).mkdir(parents=True)
    (root / f"{name}_annotation").mkdir()
    for number in range(count):
        random = np.random.default_rng(number)
        pixels, ids = random.integers(0, 60, (40, 56, 3)).astype(np.uint8), np.zeros((40, 56), np.uint8)
        left, top, width, height = (int(n) for n in random.integers((0, 0, 16, 16), (30, 16, 26, 24)))
        pixels[top : top + height, left : left + width, number % 2] = 250
        ids[top : top + height, left : left + width] = 1 + number % 2
        ids[0] = 255
        Image.fromarray(pixels).save(root / name / f"{number}.png")
        (root / f"{name}_annotation" / f"{number}.png").write_bytes(mask_png(ids))


def make(root: Path, **settings: str | None) -> JobDir:
    data = root / "data"
    draw(data, "train", 9)
    draw(data, "validation", 3)
    channels = {name: Channel(name, data / name, "image/png") for name in CHANNELS}
    merged = {**SETTINGS, **settings}
    return JobDir.create(root / "job", {name: text for name, text in merged.items() if text is not None}, channels)


def texts(finished: Finished) -> list[str]:
    return [line.partition("] ")[2] for line in finished.lines]


def manifest_of(job: JobDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((job.model / "manifest.json").read_text())
    return found


def with_model(job: JobDir, folder: Path) -> JobDir:
    """The same job with ``folder`` as its model channel."""
    channels = {name: replace(channel, path=channel.path.resolve()) for name, channel in job.channels.items()}
    channels["model"] = Channel("model", folder, "application/x-sagemaker-model")
    return JobDir.create(job.root, job.hyperparameters, channels)


class TestSemanticSegmentation(AlgorithmContract):
    spec = SPEC

    @classmethod
    def make_job(cls, root: Path) -> JobDir:
        return make(root)

    def test_log_is_in_the_order_of_the_reference(self, finished: Finished) -> None:
        found = texts(finished)
        order = [
            "label maps not provided, using defaults.",
            "#label_map train :{'scale': 1}",
            "#label_map validation :{'scale': 1}",
            "LRScheduler setup: iters per epoch: 2, num_epochs 2",
            "#quality_metric. host: algo-1, epoch: 0, train loss: ",
            "#throughput_metric. host: algo-1, epoch: 0, train throughput: ",
            "#quality_metric. host: algo-1, epoch: 0, validation pixel_accuracy: ",
            "#quality_metric. host: algo-1, epoch: 0, validation mIOU: ",
            "#throughput_metric. host: algo-1, epoch: 0, validation throughput: ",
            f"Serializing model to {finished.job.model}/model_best.params",
            "#progress_metric: host=algo-1, completed 50 % of epochs",
            "#quality_metric. host: algo-1, epoch: 1, train loss: ",
            "#progress_metric: host=algo-1, completed 100 % of epochs",
            "Test data is not provided.",
        ]
        places = [next(i for i, text in enumerate(found) if text.startswith(start)) for start in order]
        assert places == sorted(places)
        assert sum(line.startswith("#metrics {") for line in finished.lines) == 4

    def test_manifest_says_how_it_was_judged_and_how_it_is_served(self, finished: Finished) -> None:
        manifest = manifest_of(finished.job)
        assert manifest["labels"] == ["0", "1", "2"]
        assert manifest["input"]["crop"] == "whole"
        assert manifest["network"]["algorithm"] == "fcn"
        best = max(record["validation"]["mIOU"] for record in finished.records if record["kind"] == "epoch")
        assert manifest["metrics"]["validation:mIOU"] == best
        assert manifest["metrics"].keys() >= {"validation:pixel_accuracy", "validation:mIOU_present", "validation:loss"}

    def test_answer_has_the_size_of_the_picture(self, finished: Finished, encoded: Callable[..., bytes]) -> None:
        with load(finished.job.model) as model:
            for size in ((57, 43), (34, 90)):
                (found,) = model.predict(encoded("PNG", *size))
                assert found.classes.shape == size[::-1]
                assert set(np.unique(found.classes)) <= {0, 1, 2}

    def test_job_goes_on_from_the_model_channel(self, finished: Finished, tmp_path: Path) -> None:
        """With a rate of zero the parameters are those of the earlier model; statistics of norms move on."""
        second = run(SPEC, with_model(make(tmp_path, learning_rate="0", epochs="1"), finished.job.model))
        found = texts(second)
        start = found.index("Start training from the model in the model channel.")
        assert start < found.index("done loading checkpoint")
        assert not any("start afresh" in text for text in found)
        before, after = (load_file(job.model / "model.safetensors") for job in (finished.job, second.job))
        assert before.keys() == after.keys()
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert {name.rpartition(".")[2] for name in moved} <= {"running_mean", "running_var", "num_batches_tracked"}

    def test_model_of_another_number_of_classes_gets_a_new_head(self, finished: Finished, tmp_path: Path) -> None:
        job = make(tmp_path, learning_rate="0", epochs="1", num_classes="5")
        second = run(SPEC, with_model(job, finished.job.model))
        told = [text for text in texts(second) if "start afresh" in text]
        # The weight and the bias of the last layer, of the head and of the auxiliary one.
        assert told == ["The model in the model channel has 3 classes, this job 5: 4 tensors of its head start afresh."]
        before, after = (load_file(job.model / "model.safetensors") for job in (finished.job, second.job))
        changed = [name for name in before if before[name].shape != after[name].shape]
        assert len(changed) == 4
        kept = [name for name in before if name not in changed and name.endswith(("weight", "bias"))]
        assert all(torch.equal(before[name], after[name]) for name in kept)

    @pytest.mark.parametrize(
        ("settings", "difference"),
        [
            ({"backbone": "test_efficientnet"}, "architecture: timm:test_resnet there, timm:test_efficientnet here"),
            ({"algorithm": "psp"}, "algorithm: fcn there, psp here"),
        ],
    )
    def test_model_of_another_network_is_refused(
        self, settings: dict[str, str], difference: str, finished: Finished, tmp_path: Path
    ) -> None:
        note = self.fails(with_model(make(tmp_path, **settings), finished.job.model))
        assert note.startswith(
            f"ClientError: The model in the model channel does not fit this job ({difference}); use the same "
        )


pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[..., JobDir]


@pytest.fixture
def job(tmp_path: Path) -> Make:
    """``job(epochs="3", ...)``: a job directory in tmp_path, with some settings changed."""
    return lambda **changes: make(tmp_path, **changes)


def failure(job: JobDir) -> str:
    with pytest.raises(CustomerError) as caught:
        run_job(SPEC, job, JobLog(echo=None))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_our_network_trains_on_whole_pictures(job: Make) -> None:
    """Validation one picture at a time, at the size that is served."""
    ours = {
        "algorithm": "unet",
        "validation_mini_batch_size": "1",
        "inference_size": "48",
        "augmentation_type": "light",
        "optimizer": "adamw",
        "lr_scheduler": "one-cycle",
        "freeze": "norms",
        "scale_range": "0.75,1.4",
    }
    finished = run(SPEC, job(**ours))
    manifest = manifest_of(finished.job)
    assert (manifest["input"]["crop"], manifest["input"]["resize"]) == ("whole", 48)
    assert manifest["network"]["algorithm"] == "unet"
    assert len([record for record in finished.records if record["kind"] == "epoch"]) == 2


# What a run is made of, seen as it starts


class Started(Exception):
    """Ends a run before its first step."""


class Look(Hook):
    """Keeps what the run is made of."""

    event: RunStart

    def on_start(self, event: RunStart) -> None:
        self.event = event
        raise Started


def started(job: JobDir) -> RunStart:
    look = Look()
    with pytest.raises(Started):
        run_job(SPEC, job, JobLog(echo=None), [look])
    return look.event


def named_groups(event: RunStart) -> dict[str, Mapping[str, Any]]:
    """The group of the update rule that each parameter is in."""
    groups = {id(p): group for group in event.optimizer.param_groups for p in group["params"]}
    return {name: groups[id(p)] for name, p in event.network.named_parameters() if id(p) in groups}


@pytest.mark.parametrize("optimizer", ["sgd", "nag", "adam", "adagrad", "rmsprop", "adamw"])
def test_heads_learn_ten_times_as_fast_with_every_rule(optimizer: str, job: Make) -> None:
    event = started(job(optimizer=optimizer, weight_decay="0.02"))
    groups = named_groups(event)
    assert groups.keys() == {name for name, _ in event.network.named_parameters()}
    for name, group in groups.items():
        assert group["factor"] == (10.0 if name.startswith(("head.", "auxiliary.")) else 1.0), name
    assert any(name.startswith("auxiliary.") for name in groups)
    decays = {group["weight_decay"] for group in event.optimizer.param_groups}
    assert decays == {"sgd": {0.02}, "nag": {0.02}, "adamw": {0.0, 0.02}}.get(optimizer, {0.0})


def test_gammas_are_those_of_rmsprop(job: Make) -> None:
    (group, *_) = started(job(optimizer="rmsprop", gamma1="0.7", gamma2="0.6")).optimizer.param_groups
    assert (group["gamma1"], group["gamma2"]) == (0.7, 0.6)


@pytest.mark.parametrize(("freeze", "trained"), [("norms", "everything"), ("backbone", "heads"), ("1", "part")])
def test_backbone_can_be_frozen(freeze: str, trained: str, job: Make) -> None:
    event = started(job(freeze=freeze))
    free = {name for name, parameter in event.network.named_parameters() if parameter.requires_grad}
    heads = {name for name, _ in event.network.named_parameters() if not name.startswith("features.")}
    assert named_groups(event).keys() == free
    assert heads <= free
    assert (free == heads) == (trained == "heads")
    assert (len(free) == sum(1 for _ in event.network.parameters())) == (trained == "everything")


def test_steps_of_the_schedule_are_counted_from_the_documented_number(job: Make) -> None:
    """floor(n / B) an epoch, even where the set has another size."""
    lines: list[str] = []
    look = Look()
    with pytest.raises(Started):
        run_job(SPEC, job(num_training_samples="1464", mini_batch_size="8"), JobLog(echo=lines.append), [look])
    assert look.event.steps_per_epoch == 1
    assert any(line.endswith("LRScheduler setup: iters per epoch: 183, num_epochs 2") for line in lines)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"backbone": "no_such_network"}, "no network is called `no_such_network`"),
        ({"backbone": "vit_tiny_patch16_224"}, "gives no maps of features"),
        ({"mini_batch_size": "10"}, "The number of input images must be bigger or equal to the mini_batch_size."),
        ({"freeze": "9"}, "`freeze` is 9, the network has 4 stages"),
    ],
)
def test_settings_that_cannot_be_used_are_one_line(settings: dict[str, str], sentence: str, job: Make) -> None:
    assert sentence in failure(job(**settings))
