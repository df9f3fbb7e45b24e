"""Hyperparameters that SageMaker does not know and all algorithms here have."""

from __future__ import annotations

from clary.vision.base.spec import Choice, Float, Hyperparameter, Integer, Text

__all__ = ["FREEZE", "PRECISION", "SEED", "head_rate_factor", "lr_schedule"]

FREEZE = Hyperparameter(
    "freeze",
    Text(r"^(none|norms|(stem|backbone|[0-9]+)(,norms)?)$"),
    "what is not trained: none, norms (their statistics), stem, backbone, the first n stages, or n,norms",
    "none",
    extension=True,
)
PRECISION = Hyperparameter(
    "precision",
    Choice(("auto", "fp32", "bf16")),
    "arithmetic: auto tries both for a few steps and keeps the faster",
    "auto",
    extension=True,
)
SEED = Hyperparameter(
    "seed", Integer(0, 2**32 - 1), "seed of order, augmentation and initial weights", 0, extension=True
)


def head_rate_factor(default: float) -> Hyperparameter:
    """The rate of what stands on the backbone."""
    meaning = "learning rate of what stands on the backbone, as a multiple of the backbone's"
    return Hyperparameter("head_rate_factor", Float(0.0, 1000.0), meaning, default, extension=True)


def lr_schedule() -> Hyperparameter:
    """The shape of the rate, where SageMaker has steps only."""
    return Hyperparameter(
        "lr_schedule",
        Choice(("factor", "cosine", "one-cycle")),
        "factor: steps of `lr_scheduler_step`; cosine: a short rise, then down to zero; one-cycle: a long rise",
        "factor",
        extension=True,
    )
