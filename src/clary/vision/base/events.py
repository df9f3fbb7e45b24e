"""What training tells its listeners, and the listener itself.

The loop calls the hooks by name, in the order given, on the thread that trains. What no hook overrides is not even
made, so that listening costs those only who do. A hook that raises ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "BatchEnd",
    "EpochEnd",
    "Hook",
    "Mode",
    "Phase",
    "PhaseName",
    "Preparation",
    "RunEnd",
    "RunStart",
    "Step",
    "ValidationBatchEnd",
    "Way",
]

Mode = Literal["train", "validation"]
Way = Literal["plain", "folded norms"]
PhaseName = Literal["data", "forward", "backward", "optimizer", "validation", "checkpoint"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is done before the first step, in the words of a progress line ("reading pictures"), and how far it is.

    ``total`` is None where nobody can know it beforehand. ``whole`` is how many there are where ``total`` of them are
    all that is waited for.
    """

    what: str
    done: int = 0
    total: int | None = None
    whole: int | None = None


@dataclass(frozen=True, slots=True)
class RunStart:
    """Sent once before the first step; on a resumed run ``first_step`` and ``first_epoch`` say how many are done.

    What was told of later steps before the interruption is told again: those steps were lost and are done anew. An
    epoch whose steps are done but which is not among the ``first_epoch`` ones is still to be validated, as a whole.

    ``network`` (a torch Module on its device), ``optimizer`` and ``objective`` (its ``loss(outputs, targets)`` is
    minimised) are those of the run: listeners may register hooks of the tensor library on them, and take them off in
    ``on_close``. Numbers are of whole epochs; ``validation_samples`` is 0 without a validation split.

    ``image_sizes`` are the shorter sides in pixels that are trained on, in the order of their epochs, each once.

    ``way`` says how steps are computed: "folded norms" where convolutions, frozen norms and activations are one call.

    ``random_weights``: the network starts from nothing that was learnt before.

    ``dataset`` (a Dataset) is what is trained on, ``network_name`` what its network is called in a run's configuration,
    ``device`` what computes, for people ("CPU, 2 threads"); None and empty where nobody said.
    """

    network: Any
    optimizer: Any
    epochs: int
    steps_per_epoch: int
    first_step: int
    precision: str
    first_epoch: int = 0
    objective: Any = None
    batch_size: int = 0
    train_samples: int = 0
    validation_steps: int = 0
    validation_samples: int = 0
    precision_reason: str = ""
    way: Way = "plain"
    dataset: Any = field(default=None, repr=False)
    network_name: str = ""
    device: str = ""
    image_sizes: tuple[int, ...] = ()
    random_weights: bool = False

    @property
    def arithmetic(self) -> str:
        """Precision and, where it is not the plain one, the way: ``bf16, folded norms``."""
        return self.precision if self.way == "plain" else f"{self.precision}, {self.way}"


@dataclass(frozen=True, slots=True)
class Step:
    """A pass of one batch through the network. ``images`` is uint8 (N, H, W, 3) RGB, ``targets`` has N rows; both are
    on the network's device.

    ``step`` is 0-based within the epoch, or within the validation; ``global_step`` is the number of optimizer steps
    that were done before, over all epochs.
    """

    mode: Mode
    epoch: int
    step: int
    global_step: int
    images: Any = field(repr=False)
    targets: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Phase:
    """What the training thread does at a time.

    data         waits for the next batch and brings it to the device
    forward      network and loss
    backward     gradients, and the loss as a number: on a GPU, what was queued until then is awaited here
    optimizer    the update
    validation   a whole validation; data and forward of its batches lie within, their mode is "validation"
    checkpoint   the state is written

    ``started`` is of ``time.perf_counter``. What hooks do lies in no phase but "validation". ``epoch``, ``step`` and
    ``global_step`` are those of ``Step``; "data" is told under the step it is for.
    """

    name: PhaseName
    mode: Mode
    epoch: int
    step: int
    global_step: int
    started: float


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """Sent after every optimizer step. ``step`` is 0-based within the epoch, ``global_step`` counts the steps done,
    this one too; ``metrics`` run from the epoch's start."""

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

    ``seconds`` and ``samples`` are of training alone, of what this process did of the epoch. ``image_size`` is the
    shorter side in pixels that it was trained on, 0 where nobody said.
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
    image_size: int = 0


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Sent once. ``best_epoch`` is 0-based; where nothing was ``validated`` it is the last."""

    reason: Literal["completed", "early_stopping"]
    epochs: int
    best_epoch: int
    seconds: float
    validated: bool = True


class Hook:
    """A listener that does nothing; override what is of interest.

    A run tells, in this order::

        on_preparation                                                              before the first step, many times
        on_start
            on_step_start  on_forward  on_loss  on_backward  on_batch               every step of training
            on_step_start  on_forward  on_loss  on_validation_batch                 every step of a validation
            on_epoch
        on_end                                                                      unless it was stopped or failed
        on_close

    and around each part of a step ``on_phase_start`` and ``on_phase_end``. Tensors are those of the run: what is to be
    kept is copied, what is changed changes the training.
    """

    def on_preparation(self, event: Preparation) -> None: ...

    def on_start(self, event: RunStart) -> None: ...

    def on_step_start(self, step: Step) -> None:
        """The network is in the mode of the step; its weights are those before the update."""

    def on_forward(self, step: Step, outputs: Any) -> None:
        """``outputs`` are what the network gave: a tensor, or a tuple of them."""

    def on_loss(self, step: Step, loss: Any) -> None:
        """``loss`` is a tensor of no dimension, which need not be finite; the run ends after ``on_backward`` if not."""

    def on_backward(self, step: Step) -> None:
        """Parameters have their gradients; the optimizer has not used them."""

    def on_batch(self, event: BatchEnd) -> None: ...

    def on_validation_batch(self, event: ValidationBatchEnd) -> None: ...

    def on_epoch(self, event: EpochEnd) -> None: ...

    def on_end(self, event: RunEnd) -> None: ...

    def on_phase_start(self, phase: Phase) -> None: ...

    def on_phase_end(self, phase: Phase, seconds: float) -> None:
        """``seconds`` is what the phase took; not told of one that an error ended."""

    def on_close(self) -> None:
        """The last call, whatever ended the run: files are closed, and the network is as it was."""
