"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Schedule", "cosine", "factor", "falling_cosine", "one_cycle", "polynomial"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """``rate(step)`` is the learning rate of the 0-based step; ``drops`` says that it changes in jumps."""

    rate: Callable[[int], float]
    drops: bool = False


def factor(base: float, epochs: Sequence[int], by: float, steps_per_epoch: int) -> Schedule:
    """Multiply by ``by`` after each of ``epochs`` (1-based) is finished, in whole steps as MXNet counts them."""
    boundaries = sorted(epoch * steps_per_epoch for epoch in epochs)
    # In steps of floor(N / B), as MXNet counts: a wrong `num_training_samples` shifts the drop there, and must here.
    return Schedule(lambda step: base * by ** sum(step >= boundary for boundary in boundaries), drops=True)


def cosine(base: float, steps: int, rise: float = 0.1) -> Schedule:
    """A straight rise during the share ``rise``, then half a cosine to zero (Loshchilov & Hutter 2016; Goyal 2017)."""
    top = max(1, round(steps * rise))
    return Schedule(lambda step: base * (step + 1) / top if step < top else base * _fall(step - top, steps - top))


def falling_cosine(base: float, steps: int) -> Schedule:
    """Half a cosine from ``base`` to zero (Loshchilov & Hutter 2016, without restarts)."""
    return Schedule(lambda step: base * _fall(step, steps))


def polynomial(base: float, steps: int, power: float = 0.9) -> Schedule:
    """From ``base`` at the first step to zero at the last by (1 - step / (steps - 1)) ^ power (GluonCV's `poly`)."""
    # steps - 1 and the bound: a job's log shows 0.000099 at update 20 of 3470 from 0.0001, which this gives.
    return Schedule(lambda step: base * (1 - min(step / max(steps - 1, 1), 1)) ** power)


def one_cycle(base: float, steps: int, rise: float = 0.25) -> Schedule:
    """Half a cosine up from ``base`` / 25 during the share ``rise``, then down to zero (Smith 2018)."""
    top = max(1, round(steps * rise))

    def rate(step: int) -> float:
        if step < top:
            # A twenty-fifth, torch's div_factor for OneCycleLR.
            return base * (1 / 25 + (1 - 1 / 25) * (1 - _fall(step, top)))
        return base * _fall(step - top, steps - top)

    return Schedule(rate)


def _fall(step: int, steps: int) -> float:
    """Half a cosine from 1 at step 0 to 0 at ``steps``."""
    return 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1)))
