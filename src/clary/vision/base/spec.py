"""An algorithm described by data: hyperparameters, channels, metrics. Read by the CLI, the API, the tuner, the docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from clary.vision.base.channels import ChannelSpec, check
from clary.vision.base.hyperparameters import Hyperparameter, Hyperparameters, described, parse
from clary.vision.base.jobdir import Channel

if TYPE_CHECKING:
    from clary.vision.base.types import Dataset, TaskName  # which bring numpy, and listing algorithms needs none

__all__ = ["AnySpec", "Metric", "Spec"]

H = TypeVar("H", bound=Hyperparameters, covariant=True)

# From the strings a user gives and the data set of a folder to the strings of a run.
LocalSettings = Callable[[Mapping[str, str], "Dataset"], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number found in the log by ``pattern``; its first group is the value.

    A tuner can take each as its objective; ``objective`` marks the one that the algorithm itself is judged by.
    """

    name: str
    pattern: str
    objective: bool = False


@dataclass(frozen=True)
class Spec(Generic[H]):
    """An algorithm: its names, what it takes, what it prints, and what runs.

    ``train`` names the function that trains, as ``package.module:function``; it is imported when a job begins, so
    that asking for help needs no tensor library. ``schema`` is the class of its hyperparameters. ``aliases`` are
    names of container images it answers to. ``local_defaults`` are strings laid under the user's values when the CLI
    or library starts a run: what works on a small folder of pictures, where a hyperparameter's own default is what
    SageMaker does. ``local_settings`` lays them there and adds what the data says, as far as this algorithm wants it;
    None takes nothing from the data.
    """

    name: str
    task: TaskName
    train: str
    schema: type[H]
    channels: tuple[ChannelSpec, ...]
    metrics: tuple[Metric, ...]
    aliases: tuple[str, ...] = ()
    local_defaults: Mapping[str, str] | None = None
    local_settings: LocalSettings | None = None

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """What can be set, in the order in which it is shown."""
        return described(self.schema)

    def __getitem__(self, name: str) -> Hyperparameter:
        """The hyperparameter called ``name``. Raises KeyError."""
        return {h.name: h for h in self.hyperparameters}[name]

    def parse(self, given: Mapping[str, str]) -> H:
        """The typed values of strings, defaults filled in. Raises one HyperparameterError for all mistakes."""
        return parse(self.schema, given)

    def settings_for(self, given: Mapping[str, str], dataset: Dataset) -> dict[str, str]:
        """The strings of a run on a folder: the user's values over what the data says over our own defaults."""
        if self.local_settings is None:
            return {**(self.local_defaults or {}), **given}
        return dict(self.local_settings(given, dataset))

    def check_channels(self, given: Mapping[str, Channel]) -> None:
        """Refuse channels with which a job could only fail. Raises CustomerError in the job's own words."""
        check(self.channels, given)


AnySpec: TypeAlias = Spec[Hyperparameters]  # where it does not matter which
