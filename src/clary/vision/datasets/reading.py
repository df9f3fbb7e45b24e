"""Reading a data set of any layout: what its classes are, and what is held out for validation.

Whoever trains reads it by the same options: ``clary train``, a job with our own channel, the report of a run. In a
job's configuration they are parameters of the channel's content type:
``application/x-clary-dataset; labels=species; validation=0.2; seed=0``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from clary.errors import CustomerError
from clary.vision import formats
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel
from clary.vision.base.types import Dataset, TaskName
from clary.vision.datasets.split import SHARE, split

__all__ = ["ReadingOptions", "read"]

NAMES = ("labels", "seed", "validation")


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How to read a data set.

    ``labels`` chooses what to tell apart where a layout offers several. ``validation`` is the share in [0, 1) of the
    training images that is held out where there is no validation split, chosen by ``seed``. None is a fifth, or
    nothing where there is a test split to judge by, since of a few hundred images each one counts.
    """

    labels: str | None = None
    validation: float | None = None
    seed: int = 0

    @classmethod
    def of(cls, channel: Channel) -> ReadingOptions:
        """Those in a channel's content type. Raises CustomerError for one that is unknown or no number."""
        given = channel.options
        unknown = sorted(given.keys() - set(NAMES))
        if unknown:
            what = f"The {channel.name} channel has the option `{unknown[0]}`, which is not known"
            raise CustomerError(what, hint=f"use {', '.join(NAMES)}")
        seed = given.get("seed", "0")
        # 18 digits fit into 64 bits, and int() takes blanks, signs and underscores as well.
        if not re.fullmatch(r"[0-9]{1,18}", seed):
            raise _wrong(channel, "seed", "a whole number from 0")
        try:
            validation = float(given["validation"]) if "validation" in given else None
        except ValueError:
            raise _wrong(channel, "validation", "a number") from None
        return cls(given.get("labels"), validation, int(seed))

    @property
    def content_type(self) -> str:
        """What ``of`` reads."""
        given = {"labels": self.labels, "validation": self.validation, "seed": self.seed}
        text = "".join(f"; {name}={value}" for name, value in given.items() if value is not None)
        return f"{DATASET_CONTENT_TYPE}{text}"

    def settled(self, dataset: Dataset) -> ReadingOptions:
        """With the share that is held out of this very data set."""
        # Of 237 pets each one counts: with a fifth held out 7 to 11 of 235 are wrong, with none 4 to 8
        # (docs/benchmarks.md).
        share = self.validation if self.validation is not None else 0.0 if "test" in dataset.splits else SHARE
        return replace(self, validation=share)


def read(root: Path, options: ReadingOptions, *, task: TaskName) -> Dataset:
    """The data set at ``root``, with a validation split unless that is to be empty.

    Raises DataError for a folder that is no data set, UsageError for a task or labels its layout does not have and for
    a share outside [0, 1). A bad record raises nothing: see ``Dataset.problems``.
    """
    found = formats.read(root, task=task, labels=options.labels)
    return split(found, validation=options.settled(found).validation or 0.0, seed=options.seed)


def _wrong(channel: Channel, name: str, wanted: str) -> CustomerError:
    found = f"is `{channel.options[name]}`, which is not {wanted}"
    return CustomerError(f"The option `{name}` of the {channel.name} channel {found}")
