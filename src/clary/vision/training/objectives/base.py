"""Training objectives: the loss of a batch, and the metrics counted while training and validating. One file a task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from clary.vision.tasks import Task

__all__ = ["MetricAccumulator", "Objective", "Tally", "TallyAccumulator", "TaskObjective", "add", "as_good"]

Tally = dict[str, float]


class MetricAccumulator(Protocol):
    """Counts one pass over a validation split."""

    def add(self, outputs: Any, targets: Tensor, loss: float) -> None: ...

    def metrics(self) -> dict[str, float]:
        """``loss`` and the task's own."""
        ...


class Objective(Protocol):
    """``loss`` is minimised; outputs are what the network gives: a tensor, or a tuple of them.

    ``count`` adds a training batch to a tally (plain numbers, so that a checkpoint can hold them) and ``metrics``
    reads the tally. ``accumulator`` starts a validation pass. ``keeps`` says whether an epoch's weights replace those
    kept so far, from its validation metrics and those of the epochs before it.
    """

    def loss(self, outputs: Any, targets: Tensor) -> Tensor: ...

    def count(self, tally: Tally, outputs: Any, targets: Tensor, loss: float) -> None: ...

    def metrics(self, tally: Mapping[str, float]) -> dict[str, float]: ...

    def accumulator(self) -> MetricAccumulator: ...

    def keeps(self, new: Mapping[str, float], earlier: Sequence[Mapping[str, float]]) -> bool: ...

    def gain(self, metrics: Mapping[str, float]) -> float:
        """What early stopping watches, of validation metrics; more is better."""
        ...


class TaskObjective:
    """What objectives have of their ``task``: its main metric is watched, and says which weights are kept."""

    task: ClassVar[Task]

    @property
    def watched(self) -> str:
        """The metric that early stopping watches."""
        return self.task.metric

    def gain(self, metrics: Mapping[str, float]) -> float:
        """The main metric so that more is better."""
        return self.task.gain(metrics)

    def keeps(self, new: Mapping[str, float], earlier: Sequence[Mapping[str, float]]) -> bool:
        """Strictly better than ever before."""
        # Equality does not replace the best: the original does not store the model again for it (a job's log).
        return self.gain(new) > max(map(self.gain, earlier), default=-math.inf)


class TallyAccumulator:
    """Judges by what the objective counts while training."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._tally: Tally = {}

    def add(self, outputs: Any, targets: Tensor, loss: float) -> None:
        self._objective.count(self._tally, outputs, targets, loss)

    def metrics(self) -> dict[str, float]:
        return self._objective.metrics(self._tally)


def as_good(new: float, best: float, count: int) -> bool:
    """Whether ``new`` is within one standard error of ``best``, both shares of ``count`` that were right.

    The rule of Breiman et al., *Classification and Regression Trees*, 1984, 3.4.3, for the latest of the epochs that
    are: on some dozen pictures the difference is chance, and a rate that falls to zero makes late weights the better
    ones. The error is that of Agresti and Coull, 1998 (two more right, two more wrong), since that of a best of 1 would
    be none.
    """
    share = (best * count + 2) / (count + 4)
    return new >= best - math.sqrt(share * (1 - share) / (count + 4))


def add(tally: Tally, **amounts: float) -> None:
    """Add amounts to a tally by name."""
    for name, amount in amounts.items():
        tally[name] = tally.get(name, 0.0) + float(amount)
