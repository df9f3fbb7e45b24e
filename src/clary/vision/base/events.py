"""What training tells its listeners, and the listener itself.

The loop calls the hooks by name, in the order given, on the thread that trains. A hook that raises ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["BatchEnd", "EpochEnd", "Hook", "RunEnd", "RunStart", "ValidationBatchEnd"]


@dataclass(frozen=True, slots=True)
class RunStart:
    """Sent once before the first step; on a resumed run ``first_step`` and ``first_epoch`` say how many are done."""

    network: Any
    optimizer: Any
    epochs: int
    steps_per_epoch: int
    first_step: int
    precision: str
    first_epoch: int = 0


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """Sent after every optimizer step. ``step`` is 0-based within the epoch; ``metrics`` run from the epoch's start."""

    epoch: int
    step: int
    global_step: int
    loss: float
    learning_rate: float
    samples: int
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidationBatchEnd:
    """Sent after every batch of a validation. ``step`` is 0-based; ``samples`` and ``seconds`` are since its start."""

    epoch: int
    step: int
    samples: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EpochEnd:
    """Sent after validation. ``best`` says that this epoch's weights are the ones kept so far.

    ``seconds`` and ``samples`` are of training alone, of what this process did of the epoch.
    """

    epoch: int
    train: Mapping[str, float]
    validation: Mapping[str, float]
    seconds: float
    learning_rate: float
    best: bool
    samples: int = 0
    validation_seconds: float = 0.0
    validation_samples: int = 0


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Sent once. ``best_epoch`` is 0-based."""

    reason: Literal["completed", "early_stopping"]
    epochs: int
    best_epoch: int
    seconds: float


class Hook:
    """A listener that does nothing; override what is of interest."""

    def on_start(self, event: RunStart) -> None: ...

    def on_batch(self, event: BatchEnd) -> None: ...

    def on_validation_batch(self, event: ValidationBatchEnd) -> None: ...

    def on_epoch(self, event: EpochEnd) -> None: ...

    def on_end(self, event: RunEnd) -> None: ...
