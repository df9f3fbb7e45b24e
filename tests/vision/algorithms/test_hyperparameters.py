"""Hyperparameters that several algorithms have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import HyperparameterError
from clary.vision.algorithms.catalog import find
from clary.vision.algorithms.hyperparameters import TrainingHyperparameters
from clary.vision.base.hyperparameters import as_text
from clary.vision.base.image_sizes import ImageSizes
from clary.vision.base.types import Blob, Dataset, Sample

TASKS = ("classification", "detection", "segmentation")
FULL = {"classification": ("image_shape", "3,320,480"), "detection": ("image_shape", "320")} | {
    "segmentation": ("crop_size", "320")
}
REQUIRED = {"num_classes": "3", "num_training_samples": "9"}
DATA = Dataset(Path("x"), "folder", ("a", "b", "c"), {"train": tuple(Sample(Blob(Path("0.jpg"))) for _ in range(9))})


def parsed(task: str, **texts: str) -> TrainingHyperparameters:
    # As large for all, and a network for boxes that takes any size.
    ours = {"base_network": "resnet-50"} if task == "detection" else {}
    name, full = FULL[task]
    found = find(task).parse({**REQUIRED, **ours, name: full, "epochs": "10", **texts})
    assert isinstance(found, TrainingHyperparameters)
    return found


# Progressive resizing


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(range(64, 320, 8)), st.integers(1, 2), min_size=1, max_size=4))
def test_sizes_that_rise_are_taken_and_written_as_they_were_given(chosen: dict[int, int]) -> None:
    stages = tuple(sorted(chosen.items()))
    text = ",".join(f"{size}:{epochs}" for size, epochs in stages)
    for task in TASKS:
        hp = parsed(task, progressive_resizing=text)
        assert as_text(hp["progressive_resizing"]) == text
        assert hp.image_sizes() == ImageSizes(320, stages)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("128", "expects one of the following: a string which matches the pattern"),
        ("128:0", "expects one of the following"),
        ("0:2", "expects one of the following"),
        ("128:0.5", "expects one of the following"),
        ("128:2, 160:2", "expects one of the following"),
        ("160:2,128:2", "must rise from size to size and stay below the full one (320)"),
        ("128:2,128:2", "must rise from size to size"),
        ("320:2", "must rise from size to size"),
        ("128:4,160:6", "must leave one of the 10 epochs for the full size"),
        ("128:999999999", "must leave one of the 10 epochs"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(text: str, why: str, task: str) -> None:
    with pytest.raises(HyperparameterError) as caught:
        parsed(task, progressive_resizing=text)
    start = f"The value '{text}' is not valid for the 'progressive_resizing' hyperparameter which "
    assert str(caught.value).startswith(start + why)
    assert "\n" not in str(caught.value)


def test_sizes_that_a_network_has_no_maps_for_are_refused() -> None:
    with pytest.raises(HyperparameterError, match="must have sizes that are multiples of 8"):
        parsed("segmentation", progressive_resizing="129:2")
    with pytest.raises(HyperparameterError, match="must be 'none' for the base network 'vgg-16'"):
        parsed("detection", base_network="vgg-16", progressive_resizing="224:2")


@pytest.mark.parametrize("task", TASKS)
def test_jobs_train_at_full_size_unless_told_otherwise(task: str) -> None:
    """The defaults of a class are those of CreateTrainingJob."""
    assert find(task).parse(REQUIRED)["progressive_resizing"] is None
    for text in ("none", ""):
        assert parsed(task, progressive_resizing=text).image_sizes() == ImageSizes(320)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_runs_on_a_folder_begin_small_unless_the_size_or_the_network_is_given(task: str) -> None:
    spec = find(task)
    local = spec.local_defaults or {}
    found = spec.parse(spec.settings_for({}, DATA))
    assert as_text(found["progressive_resizing"]) == local["progressive_resizing"] != ""
    size = {"image_shape": FULL[task][1]}
    for name, text in {**size, "backbone": "resnet18"}.items():
        assert "progressive_resizing" not in spec.settings_for({name: text}, DATA)
    first = local["progressive_resizing"].partition(":")[0]
    kept = spec.parse(spec.settings_for({**size, "progressive_resizing": f"{first}:1"}, DATA))
    assert kept["progressive_resizing"] == ((int(first), 1),)


@pytest.mark.parametrize("task", TASKS)
@settings(deadline=None)
@given(epochs=st.integers(1, 1000))
def test_any_number_of_epochs_ends_at_full_size(task: str, epochs: int) -> None:
    spec = find(task)
    found = spec.parse(spec.settings_for({"epochs": str(epochs)}, DATA))
    assert isinstance(found, TrainingHyperparameters)
    sizes = found.image_sizes()
    assert sizes.at(epochs - 1) == sizes.at(epochs) == found.image_size()
