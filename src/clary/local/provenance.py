"""What a run was asked to do, read back from its configuration: data, settings, command line, machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clary.errors import HyperparameterError, UsageError
from clary.local.config import RunConfig
from clary.local.run import Run
from clary.vision.algorithms import catalog
from clary.vision.base.hyperparameters import Hyperparameter
from clary.vision.base.hyperparameters import as_text as text
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Dataset, TaskName
from clary.vision.datasets.reading import ReadingOptions, read
from clary.vision.datasets.split import SHARE

__all__ = ["Setting", "command", "dataset", "machine", "settings", "text"]

# Found out from the data, or given by options of their own.
NOT_SET_BY_HAND = ("num_classes", "num_training_samples", "epochs", "seed")


@dataclass(frozen=True, slots=True)
class Setting:
    """A hyperparameter as text, beside its default and its meaning; ``sayable`` is one whose text can be given."""

    name: str
    value: str
    default: str = ""
    meaning: str = ""
    sayable: bool = True
    given: bool = True

    @property
    def changed(self) -> bool:
        """Whether somebody asked for another value than the default."""
        return self.given and self.value != self.default and self.name not in ("num_classes", "num_training_samples")


def dataset(run: Run) -> Dataset:
    """The data set a run was trained on, split as it was then.

    Raises UsageError when it is no longer there or holds other pictures, and what ``formats.read`` raises.
    """
    origin = run.config.get("dataset", {})
    if not origin.get("path"):
        raise UsageError("does not say where the data set is", where=run.path / "config.json")
    found = read(Path(origin["path"]), _options(run), task=_task(run.config))
    # A run of an older version knows counts of classes only, which segmentation has none of.
    known = "pictures" in origin
    before = origin["pictures"] if known else {name: sum(counts) for name, counts in origin.get("counts", {}).items()}
    for name, then in before.items():
        there = name in found.splits
        now = (len(found.splits[name]) if known else sum(found.counts(name))) if there else 0
        # Numbers only: a picture that moved to another class is not noticed, one that came or went is.
        if now != then:
            what = f"has changed since training: {name} has {now} pictures now, had {then}"
            raise UsageError(what, where=origin["path"])
    return found


def _task(config: RunConfig) -> TaskName:
    return catalog.find(config.get("algorithm", "image-classification")).task


def _options(run: Run) -> ReadingOptions:
    """How the data set was read and split, as the job's own configuration has it, else as the run's has it."""
    job = JobDir(run.path)
    channels = job.channels if (job.config / "inputdataconfig.json").is_file() else {}
    # The job's own word first: the share there is the one that was settled on, and not what was asked for.
    if "dataset" in channels:
        return ReadingOptions.of(channels["dataset"])
    # All there is.
    return ReadingOptions(run.config.get("dataset", {}).get("labels"), validation=0.0)


def settings(config: RunConfig) -> list[Setting]:
    """Every hyperparameter of a run. The default is what ``clary train`` would have taken."""
    known: dict[str, Hyperparameter] = {}
    local: Mapping[str, str] = {}
    if config.get("algorithm"):
        spec = catalog.find(config["algorithm"])
        # What was not given was filled from local_defaults, so those are what "changed" is told from.
        known, local = {one.name: one for one in spec.hyperparameters}, spec.local_defaults or {}
    # A run of an older version does not say it: then all that differs counts.
    given = config.get("given", config.get("hyperparameters", {}))
    return [
        Setting(
            name,
            text(value),
            text(known[name].parse(local[name]) if name in local else known[name].default) if name in known else "",
            known[name].meaning if name in known else "",
            name not in known or _is_taken(known[name], text(value)),
            name in given,
        )
        for name, value in config.get("hyperparameters", {}).items()
    ]


def _is_taken(known: Hyperparameter, value: str) -> bool:
    try:
        known.parse(value)
    except HyperparameterError:
        return False
    return True


def command(run: Run) -> str:
    """The command line that does the same again."""
    config = run.config
    origin = config.get("dataset", {})
    words = ["clary", "train", _task(config), str(origin.get("path", "DATASET"))]
    if labels := origin.get("labels"):
        words += ["--labels", labels]
    if config.get("hyperparameters", {}).get("epochs"):
        words += ["--epochs", text(config["hyperparameters"]["epochs"])]
    # Words that say what would be so anyway are left out: the line is to be read.
    if (share := _options(run).validation) not in (None, SHARE):
        words += ["--validation", str(share)]
    # Always: it chose what was held out, too.
    words += ["--seed", text(config.get("seed", 0))]
    if config.get("model"):
        words += ["--model", config["model"]]
    for one in settings(config):
        # What is unset, as `resize` where `image_shape` is given, cannot be said, and is so by what is.
        if one.changed and one.sayable and one.name not in NOT_SET_BY_HAND:
            words += ["--set", f"{one.name}={one.value}"]
    return shlex.join(words)


def machine(config: RunConfig) -> list[tuple[str, str]]:
    """Names and values of what the run was made on, nested ones as ``versions: torch``."""
    found = [("clary", config["clary"])] if config.get("clary") else []
    return [*found, *_flat(config.get("machine", {}), "")]


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, one in value.items():
        if isinstance(one, Mapping):
            yield from _flat(one, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name}".replace("_", " "), text(one)
