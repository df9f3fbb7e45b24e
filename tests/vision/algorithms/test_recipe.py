"""What the recipes of all algorithms do alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import clary
from clary.errors import CustomerError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.hyperparameters import TrainingHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.artifact.draft import find_draft
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.events import EpochEnd
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Blob, Dataset, Problem, Sample
from clary.vision.datasets.decoded import CACHE_BYTES

REQUIRED = {"num_classes": "3", "num_training_samples": "10"}
ALGORITHMS = ("image-classification", "object-detection", "semantic-segmentation")


def settings(algorithm: str = "semantic-segmentation", **texts: str) -> TrainingHyperparameters:
    found = find(algorithm).parse({**REQUIRED, **texts})
    assert isinstance(found, TrainingHyperparameters)
    return found


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    samples = tuple(Sample(Blob(tmp_path / f"{n}.png")) for n in range(3))
    problems = (Problem("a.json", "is not JSON", "mend it"), Problem("images", "has 1 file", severity="note"))
    splits: Any = {"train": samples[:2], "validation": samples[2:]}
    return Dataset(tmp_path / "pets", "masks", ("sky", "sea", "land"), splits, "segmentation", problems=problems)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_early_stopping_is_off_until_asked_for(algorithm: str) -> None:
    assert recipe.early_stopping(settings(algorithm, early_stopping_patience="1")) is None
    asked = {"min_epochs": "1", "patience": "2", "tolerance": "0.5"}
    texts = {f"early_stopping_{name}": text for name, text in asked.items()}
    rule = recipe.early_stopping(settings(algorithm, early_stopping="True", **texts))
    assert rule is not None
    assert (rule.min_epochs, rule.patience, rule.tolerance) == (1, 2, 0.5)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, "auto"),
        ({"precision_dtype": "float32"}, "auto"),
        ({"precision_dtype": "float16"}, "bf16"),
        ({"precision_dtype": "float16", "precision": "fp32"}, "fp32"),
        ({"precision": "bf16"}, "bf16"),
    ],
)
def test_half_precision_is_bf16_unless_ours_says_otherwise(texts: dict[str, str], expected: str) -> None:
    assert recipe.precision(settings(**texts)) == expected


def test_precision_of_an_algorithm_without_a_dtype() -> None:
    assert recipe.precision(settings("object-detection")) == "auto"


def test_fingerprint_changes_with_settings_and_data(dataset: Dataset) -> None:
    first = recipe.fingerprint(settings(), dataset)
    assert first == recipe.fingerprint(settings(), dataset)
    assert first["pictures"] == {"train": 2, "validation": 1}
    assert first != recipe.fingerprint(settings(epochs="3"), dataset)
    fewer = dataset.with_splits({"train": dataset.splits["train"][:1]})
    assert first != recipe.fingerprint(settings(), fewer)
    # As many pictures, of which two have changed places: every step would be another.
    turned = dataset.with_splits({**dataset.splits, "train": dataset.splits["train"][::-1]})
    assert first != recipe.fingerprint(settings(), turned)


def test_provenance_says_what_was_trained_on(dataset: Dataset) -> None:
    found = recipe.provenance(settings(seed="7"), dataset)
    assert (found.clary, found.torch, found.seed) == (clary.__version__, torch.__version__, 7)
    assert (found.dataset, found.counts) == ("pets", {"train": 2, "validation": 1})
    assert found.created.endswith("+00:00")


def test_weights_are_kept_as_they_are_then(
    dataset: Dataset, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the metrics of the epoch and the examples, so that they can become a model."""
    part = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)).to(memory_format=torch.channels_last)
    network = nn.ModuleDict({"part": part})
    network.part = part
    manifest = Manifest.read(model_folder / "manifest.json")
    monkeypatch.setattr(recipe, "examples", lambda dataset, how: np.full((4, 2, 2, 3), 7, np.uint8))
    weights = recipe.BestWeights(
        network, "part", lambda found, precision: replace(manifest, metrics=found), dataset, Preprocess(2, 2)
    )
    keep = weights.saver(tmp_path / "best.params")
    (tmp_path / "manifest.json").touch()  # of a model of an epoch before
    weights.on_epoch(EpochEnd(0, {}, {"accuracy": 0.75}, 1.0, 0.1, best=True))
    before = {name: value.clone() for name, value in part.state_dict().items()}
    assert keep() == tmp_path / "best.params"
    assert not (tmp_path / "manifest.json").exists()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(1)
    draft = find_draft(tmp_path)
    assert draft is not None
    assert (draft.part, draft.manifest.metrics) == ("part", {"accuracy": 0.75})
    found, examples = draft.weights(), draft.examples()
    assert found.keys() == before.keys()
    assert all(torch.equal(found[name], before[name]) for name in before)
    assert examples.tolist() == np.full((4, 2, 2, 3), 7).tolist()
    keep()
    assert torch.equal(draft.weights()["0.weight"], before["0.weight"] + 1)


def test_a_line_for_each_record_left_out_and_what_that_leaves(dataset: Dataset) -> None:
    lines: list[str] = []
    recipe.log_problems(dataset, JobLog(echo=lines.append))
    kinds = {"error": "WARNING", "note": "INFO"}
    assert [line.split()[2] for line in lines] == [*(kinds[p.severity] for p in dataset.problems), "INFO"]
    assert any(line.endswith("] left out: a.json: is not JSON; mend it") for line in lines)
    sizes = ", ".join(f"{len(samples)} of {split}" for split, samples in dataset.splits.items())
    assert lines[-1].endswith(f"] pictures used: {sizes}")


def test_where_nothing_is_left_out_nothing_is_said(dataset: Dataset) -> None:
    lines: list[str] = []
    recipe.log_problems(replace(dataset, problems=()), JobLog(echo=lines.append))
    assert lines == []


class Picky(nn.Module):
    """Takes pictures of 64 pixels only."""

    def forward(self, images: Tensor) -> Tensor:
        if images.shape != (1, 64, 64, 3):
            raise AssertionError("Input height doesn't match\nmodel.")
        assert images.dtype == torch.uint8
        assert not self.training
        return images


def test_network_is_tried_out_on_one_picture() -> None:
    network = Picky()
    recipe.try_out(network, "picky", 64, 64, "crop_size")
    with pytest.raises(CustomerError) as caught:
        recipe.try_out(network, "picky", 32, 48, "crop_size")
    assert str(caught.value) == (
        "The network picky does not take pictures of 48 x 32 pixels (Input height doesn't match model.); "
        "set another crop_size"
    )


def test_room_for_pictures_is_shared_by_the_sizes_of_the_splits(dataset: Dataset) -> None:
    train, validation = recipe.cache_budgets(dataset)
    assert train + validation == CACHE_BYTES
    assert train == CACHE_BYTES * 2 // 3
    assert recipe.cache_budgets(dataset.with_splits({"train": dataset.splits["train"]})) == (CACHE_BYTES, 0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_step_takes_no_more_pictures_than_there_are(algorithm: str, dataset: Dataset) -> None:
    recipe.check_batch(dataset, settings(algorithm, mini_batch_size="2"))
    with pytest.raises(CustomerError, match="must be bigger or equal to the mini_batch_size"):
        recipe.check_batch(dataset, settings(algorithm, mini_batch_size="3"))
