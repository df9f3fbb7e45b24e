"""Reading back what a run was asked to do."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import Any

import pytest

from clary.errors import DataError, UsageError
from clary.local import provenance
from clary.local.config import RunConfig
from clary.local.run import Run
from clary.vision.algorithms.catalog import find
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, JobDir


def test_the_data_set_as_it_was(colour_run):
    found = provenance.dataset(Run(colour_run))
    assert {split: len(samples) for split, samples in found.splits.items()} == {"train": 12, "validation": 6, "test": 9}


def test_a_validation_split_is_carved_again(colours, colour_model, make_colour_run, tmp_path):
    from clary.vision.datasets.split import split
    from clary.vision.formats import read

    images = colours(tmp_path / "pictures", {"train": 10})
    then = split(read(images), validation=0.3, seed=5)
    counts = {name: then.counts(name) for name in then.splits}
    origin = {"path": str(images), "labels": None, "class_names": ["blue", "green", "red"], "counts": counts}
    run = make_colour_run(tmp_path / "run", images, colour_model, dataset=origin, seed=5)
    channel = Channel("dataset", images, f"{DATASET_CONTENT_TYPE}; validation=0.3; seed=5")
    JobDir.create(run, {}, {"dataset": channel})
    assert provenance.dataset(Run(run)).splits == then.splits
    words = shlex.split(provenance.command(Run(run)))
    assert words[words.index("--validation") + 1] == "0.3"


def test_a_data_set_that_has_moved(colour_run):
    (colour_run.parent / "pictures").rename(colour_run.parent / "elsewhere")
    with pytest.raises(DataError, match="pictures: does not exist"):
        provenance.dataset(Run(colour_run))


def test_a_data_set_that_has_changed(colour_run):
    shutil.rmtree(colour_run.parent / "pictures" / "test" / "red")
    with pytest.raises(UsageError, match="test has 6 pictures now, had 9"):
        provenance.dataset(Run(colour_run))


def test_a_run_that_does_not_say(colours, make_colour_run, tmp_path):
    run = make_colour_run(tmp_path / "run", colours(tmp_path / "pictures", {"train": 1}), None, dataset={})
    with pytest.raises(UsageError, match="does not say where the data set is"):
        provenance.dataset(Run(run))


def test_settings_that_differ_are_told_from_those_that_do_not():
    """A default is what the command line would take: its own, else SageMaker's."""
    spec = find("classification")
    assert spec.local_defaults
    local = next(h for h in spec.hyperparameters if h.name == "backbone")
    values = {"backbone": local.parse(spec.local_defaults["backbone"]), "gamma": 0.9, "image_shape": [3, 64, 64]}
    config: RunConfig = {
        "algorithm": spec.name,
        "hyperparameters": values | {"num_classes": 3, "top_k": None, "own": 1},
    }
    found = {one.name: one for one in provenance.settings(config)}
    assert [name for name, one in found.items() if one.changed] == ["image_shape", "own"]
    assert (found["image_shape"].value, found["image_shape"].default) == ("3,64,64", "3,224,224")
    assert found["top_k"].value == ""
    assert found["gamma"].meaning
    # What the run says was asked for: a batch that was chosen for the pictures is nobody's setting.
    found = {one.name: one for one in provenance.settings({**config, "given": ["own"]})}
    assert [name for name, one in found.items() if one.changed] == ["own"]


def test_the_command_line_can_be_pasted(colours, make_colour_run, tmp_path):
    images = colours(tmp_path / "my pictures", {"train": 1})
    values = {"num_classes": 3, "num_training_samples": 3, "epochs": 4, "learning_rate": 0.0123, "multi_label": True}
    run = make_colour_run(tmp_path / "run", images, None, hyperparameters=values, seed=7)
    assert shlex.split(provenance.command(Run(run))) == [
        *("clary", "train", "classification", str(images), "--epochs", "4", "--seed", "7"),
        *("--set", "learning_rate=0.0123", "--set", "multi_label=1"),
    ]


def test_what_is_unset_by_what_is_given_is_left_out_of_the_command_line(colours, make_colour_run, tmp_path):
    """`resize` goes with the usual shape, and has no word for none."""
    values = {"image_shape": [3, 64, 64], "resize": None, "progressive_resizing": [[32, 1], [48, 2]], "epochs": 4}
    run = make_colour_run(
        tmp_path / "run", colours(tmp_path / "pictures", {"train": 1}), None, hyperparameters=values, seed=0
    )
    words = shlex.split(provenance.command(Run(run)))
    assert words[-4:] == ["--set", "image_shape=3,64,64", "--set", "progressive_resizing=32:1,48:2"]


def test_the_command_line_names_the_model_gone_on_from(colours, make_colour_run, tmp_path):
    run = make_colour_run(tmp_path / "run", colours(tmp_path / "pictures", {"train": 1}), None)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "model": "/models/earlier model.tar.gz"}))
    words = shlex.split(provenance.command(Run(run)))
    assert words[words.index("--model") + 1] == "/models/earlier model.tar.gz"


def test_the_machine_is_listed_flat():
    machine: Any = {"cores": 2, "memory_gb": 16.5, "versions": {"torch": "2.9"}}
    config: RunConfig = {"clary": "0.1.0", "machine": machine}
    assert provenance.machine(config) == [
        ("clary", "0.1.0"),
        ("cores", "2"),
        ("memory gb", "16.5"),
        ("versions: torch", "2.9"),
    ]
