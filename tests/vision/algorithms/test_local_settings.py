"""What a run on a folder is set to: our own defaults, what the data says, what is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.image_classification.spec import SPEC
from clary.vision.base.hyperparameters import Hyperparameters
from clary.vision.base.spec import AnySpec, Spec
from clary.vision.base.types import Blob, Dataset, Sample

DATA = Dataset(
    Path("colours"), "folder", ("blue", "green", "red"), {"train": tuple(Sample(Blob(Path("0.jpg"))) for _ in range(8))}
)


def defaults(spec: AnySpec, given: dict[str, str]) -> dict[str, str]:
    """Those of our own defaults that are left, beside what is given."""
    ours = spec.local_defaults or {}
    return {name: text for name, text in spec.settings_for(given, DATA).items() if name in {**ours, **given}}


def test_defaults_are_our_own_where_nothing_is_given() -> None:
    found = SPEC.settings_for({}, DATA)
    assert {name: found[name] for name in SPEC.local_defaults or {}} == SPEC.local_defaults
    assert (found["num_classes"], found["num_training_samples"]) == ("3", "8")
    assert SPEC.parse(found).backbone == "tf_efficientnet_lite0"
    assert "multi_label" not in found


def test_several_labels_a_picture_are_told_from_the_data() -> None:
    assert SPEC.settings_for({}, replace(DATA, multi_label=True))["multi_label"] == "1"


def test_what_is_given_goes_before_defaults_and_counts() -> None:
    given = {"learning_rate": "0.5", "mini_batch_size": "2", "num_training_samples": "7", "backbone": "resnet34"}
    assert SPEC.settings_for(given, DATA).items() >= given.items()


@pytest.mark.parametrize(
    ("count", "batch"),
    [(1, 1), (3, 3), (15, 15), (31, 31), (32, 32), (40, 40), (47, 47), (48, 24), (64, 32), (237, 33)],
)
def test_batch_size_divides_a_small_set(count: int, batch: int) -> None:
    found = SPEC.settings_for({}, DATA.with_splits({"train": DATA.splits["train"][:1] * count}))
    assert found["mini_batch_size"] == str(batch)
    assert count - count // batch * batch < batch / 4  # few are left out of an epoch


def test_depth_asks_for_sagemakers_own_network() -> None:
    found = defaults(SPEC, {"num_layers": "50"})
    assert not found.keys() & {"backbone", "use_pretrained_model", "freeze", "head_rate_factor"}
    assert found["learning_rate"] == (SPEC.local_defaults or {})["learning_rate"]


def test_pretrained_depth_is_frozen_as_our_own() -> None:
    found = defaults(SPEC, {"num_layers": "50", "use_pretrained_model": "1"})
    assert "backbone" not in found
    assert found["freeze"] == (SPEC.local_defaults or {})["freeze"]
    assert defaults(SPEC, {"num_layers": "50", "backbone": "resnet18"})["use_pretrained_model"] == "1"


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_weights_are_pretrained_where_sagemaker_has_it_so(task: str) -> None:
    spec = find(task)
    assert defaults(spec, {}) == spec.local_defaults
    assert not defaults(spec, {"use_pretrained_model": "0"}).keys() & {"freeze", "head_rate_factor"}


def test_a_base_asks_for_sagemakers_own_network() -> None:
    spec = find("detection")
    found = defaults(spec, {"base_network": "vgg-16"})
    assert not found.keys() & {"backbone", "neck"}
    assert found["anchors"] == (spec.local_defaults or {})["anchors"]
    assert "neck" in defaults(spec, {"base_network": "resnet-50"})
    assert "neck" in defaults(spec, {"base_network": "vgg-16", "backbone": "resnet18"})


def test_random_weights_are_not_frozen() -> None:
    found = defaults(SPEC, {"use_pretrained_model": "0"})
    assert not found.keys() & {"freeze", "head_rate_factor"}
    assert "backbone" in found


def test_resize_goes_with_the_shape() -> None:
    assert "resize" in defaults(SPEC, {})
    assert "resize" not in defaults(SPEC, {"image_shape": "3,64,64"})


def test_an_algorithm_that_wants_nothing_of_the_data() -> None:
    spec = Spec("other", "classification", "other:train", Hyperparameters, (), (), local_defaults={"epochs": "3"})
    assert spec.settings_for({"rate": "1"}, DATA) == {"epochs": "3", "rate": "1"}


@pytest.mark.parametrize(
    ("task", "given", "name"),
    [
        ("classification", {}, "resnet152"),
        ("classification", {"num_layers": "20"}, "resnet20"),
        ("classification", {"backbone": "resnet18"}, "resnet18"),
        ("detection", {}, "vgg-16"),
        ("detection", {"backbone": "resnet18"}, "resnet18"),
        ("segmentation", {}, "resnet-50"),
    ],
)
def test_the_network_by_name(task: str, given: dict[str, str], name: str) -> None:
    found = find(task).parse({"num_classes": "3", "num_training_samples": "8", **given})
    assert found.network_name() == name
