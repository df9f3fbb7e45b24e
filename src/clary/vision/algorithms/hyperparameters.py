"""Hyperparameters that several algorithms have: their kind and meaning once, what differs as an argument."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Self

from clary.vision.base.hyperparameters import (
    Choice,
    Flag,
    Float,
    Hyperparameters,
    Integer,
    Parsed,
    Text,
    TunableRange,
    optional,
    required,
    setting,
)
from clary.vision.base.image_sizes import ImageSizes, Stage

__all__ = ["WITHOUT_EFFECT", "TrainingHyperparameters"]

# Accepted, since programs written for SageMaker send them, and changing nothing here; a reference page is made of it.
WITHOUT_EFFECT: Mapping[str, str] = {
    "kv_store": "printed; a job's hosts are this machine, which trains once on all of the data",
    "syncbn": "batch statistics are those of the one device",
    "_...": "every name that begins with an underscore is taken: SageMaker's own, for its tuner and its workers",
}


@dataclass(frozen=True)
class TrainingHyperparameters(Hyperparameters):
    """What a class of hyperparameters must have for the steps of ``algorithms.recipe``, beside ``backbone``.

    Properties, not fields: a dataclass shows the fields of its base first, and the order of a reference page is that
    of SageMaker's guide. ``instead_of`` is the network that was asked for, where ``backbone`` is trained in its place
    (``algorithms.substitution``).
    """

    _: KW_ONLY
    instead_of: str = ""

    def pretrained_network(self) -> str:
        """timm's name of the network whose ImageNet weights are asked for; empty where none are."""
        return ""

    def substituted(self, backbone: str) -> Self:
        """The same with another backbone, which has weights."""
        changes: dict[str, Any] = {"backbone": backbone, "instead_of": self.pretrained_network()}
        return replace(self, **changes)

    def image_size(self) -> int:
        """The shorter side in pixels of what is trained on; 0 where nobody said."""
        return 0

    def image_sizes(self) -> ImageSizes:
        """The same by epoch."""
        return ImageSizes(self.image_size(), self.get("progressive_resizing") or ())

    def unfit_sizes(self, multiple: int = 1) -> Iterator[tuple[str, str]]:
        """What is wrong with `progressive_resizing`, as its name and the end of the validator's sentence."""
        sizes = self.image_sizes()
        if any(one >= next_one for one, next_one in zip(sizes.all(), sizes.all()[1:], strict=False)):
            yield "progressive_resizing", f"must rise from size to size and stay below the full one ({sizes.full})"
        if sum(epochs for _, epochs in sizes.stages) >= self.epochs and sizes.stages:
            yield "progressive_resizing", f"must leave one of the {self.epochs} epochs for the full size"
        if any(size % multiple for size, _ in sizes.stages):
            yield "progressive_resizing", f"must have sizes that are multiples of {multiple}"

    @property
    @abstractmethod
    def epochs(self) -> int: ...

    @property
    @abstractmethod
    def mini_batch_size(self) -> int: ...

    @property
    @abstractmethod
    def seed(self) -> int: ...

    @property
    @abstractmethod
    def precision(self) -> str: ...

    @property
    @abstractmethod
    def early_stopping(self) -> bool: ...

    @property
    @abstractmethod
    def early_stopping_min_epochs(self) -> int: ...

    @property
    @abstractmethod
    def early_stopping_patience(self) -> int: ...

    @property
    @abstractmethod
    def early_stopping_tolerance(self) -> float: ...


# Of SageMaker


def num_training_samples(used_for: str = "places the steps") -> int:
    # Required as in the original, which counts its steps by it and not by the data.
    return required(Integer(1), f"pictures in the training set; {used_for} of the learning-rate schedule")


def early_stopping(metric: str) -> bool:
    return setting(Flag(), f"stop when validation {metric} no longer improves", False)


def early_stopping_min_epochs(default: int) -> int:
    return setting(Integer(1), "epochs to run before stopping is considered", default)


def early_stopping_patience(default: int) -> int:
    return setting(Integer(1), "epochs without improvement that are tolerated", default)


def early_stopping_tolerance() -> float:
    return setting(Float(), "relative gain below which an epoch is no improvement", 0.0)


def epochs(default: int) -> int:
    return setting(Integer(1), "passes over the training set", default)


def kv_store() -> str | None:
    return optional(Choice(("dist_sync", "dist_async")), "how several machines combine gradients")


def learning_rate(default: float, low: float, high: float) -> float:
    return setting(Float(), "step size", default, tunable=TunableRange(low, high, logarithmic=True))


def lr_scheduler_factor(meaning: str = "factor applied to the rate at each of `lr_scheduler_step`") -> float:
    return setting(Float(), meaning, 0.1)


def mini_batch_size(default: int, low: int, high: int) -> int:
    return setting(Integer(1), "pictures in a step", default, tunable=TunableRange(low, high))


def momentum(rules: str, low: float = 0.0) -> float:
    return setting(Float(), f"{rules}: momentum", 0.9, tunable=TunableRange(low, 0.999))


def optimizer(known: tuple[str, ...], tunable: tuple[str, ...] = ()) -> str:
    kind = Choice((*known, "adamw"))
    return setting(kind, "update rule; adamw is ours", "sgd", tunable=TunableRange(values=tunable or known))


def precision_dtype() -> str:
    return setting(Choice(("float32", "float16")), "float16: half-precision arithmetic", "float32")


def use_pretrained_model(default: bool) -> bool:
    # 0 and 1, where segmentation's of the same name is a Flag (True, False): so the guide has them.
    return setting(Choice((False, True)), "1: start from ImageNet weights", default)


def weight_decay(rules: str, default: float, tunable: TunableRange) -> float:
    return setting(Float(), f"{rules}: L2 penalty on weights", default, tunable=tunable)


# Our own


def freeze() -> str:
    kind = Text(r"^(none|norms|(stem|backbone|[0-9]+)(,norms)?)$")
    meaning = "what is not trained: none, norms (their statistics), stem, backbone, the first n stages, or n,norms"
    return setting(kind, meaning, "none", extension=True)


def precision() -> str:
    meaning = "arithmetic: auto takes the faster, known for common networks and tried for others"
    return setting(Choice(("auto", "fp32", "bf16")), meaning, "auto", extension=True)


def progressive_resizing(what: str) -> tuple[Stage, ...] | None:
    """Sizes of the first epochs; ``what`` has them."""
    stage = "[1-9][0-9]{0,4}:[1-9][0-9]{0,8}"
    # Nothing at all as well: so `as_text` writes what is none.
    kind = Parsed(f"^(none|({stage}(,{stage})*)?)$", _stages)
    meaning = f"{what} in the first epochs: 128:4,160:2 is 4 epochs at 128 pixels, 2 at 160, the others at full size"
    return optional(kind, meaning, extension=True)


def lr_schedule() -> str:
    """The shape of the rate, where SageMaker has steps only."""
    meaning = "factor: steps of `lr_scheduler_step`; cosine: a short rise, then down to zero; one-cycle: a long rise"
    return setting(Choice(("factor", "cosine", "one-cycle")), meaning, "factor", extension=True)


def head_rate_factor(default: float) -> float:
    meaning = "learning rate of what stands on the backbone, as a multiple of the backbone's"
    return setting(Float(0.0, 1000.0), meaning, default, extension=True)


def seed() -> int:
    kind = Integer(0, 2**32 - 1)
    return setting(kind, "seed of order, augmentation and initial weights", 0, extension=True)


# Kinds


def epoch_list(*, empty: bool = False) -> Parsed[tuple[int, ...]]:
    """Epochs as 10,20; with ``empty`` also none at all."""
    pattern = r"(([1-9][0-9]*)(,[1-9][0-9]*)*)"
    return Parsed(f"^{pattern}{'?' if empty else ''}$", integers)


def _stages(text: str) -> tuple[Stage, ...]:
    pairs = [part.split(":") for part in text.split(",")] if text not in ("", "none") else []
    return tuple((int(size), int(epochs)) for size, epochs in pairs)


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text else ()
