"""What stands in config.json of a run: what was trained, on what, with which settings and machine.

``clary train`` writes it once, before the first step. Runs of older versions lack fields and those of newer ones have
more, so that readers ask with ``.get`` and leave alone what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from clary.vision.base.types import SplitName

__all__ = ["DatasetConfig", "MachineConfig", "RunConfig"]


class DatasetConfig(TypedDict, total=False):
    """The pictures. ``counts`` are those of each class, by split, as they were trained on, ``pictures`` those of the
    whole split; ``validation`` is the share held out; ``left_out`` are files and records that were not used, by
    reason; ``notes`` are worth knowing of the pictures, a line each."""

    path: str
    labels: str | None
    validation: float | None
    format: str
    class_names: Sequence[str]
    counts: Mapping[SplitName, Sequence[int]]
    pictures: Mapping[SplitName, int]
    left_out: Mapping[str, int]
    notes: Sequence[str]


class MachineConfig(TypedDict, total=False):
    """What the run was made on; ``versions`` are those of libraries."""

    system: str
    python: str
    processor: str
    cores: int
    versions: Mapping[str, str]


class RunConfig(TypedDict, total=False):
    """The whole file. ``started`` is in ISO 8601 with its offset, ``model`` the archive that was gone on from,
    ``given`` the names of the hyperparameters that were asked for: others were chosen for the pictures."""

    clary: str
    started: str
    algorithm: str
    dataset: DatasetConfig
    hyperparameters: Mapping[str, Any]
    given: Sequence[str]
    seed: int
    network: str
    precision: str
    machine: MachineConfig
    model: str
