"""How far an engine's outputs may be from eager torch in fp32.

In fp32 every number has to agree: the engines differ by 1e-5 at most. bf16 keeps 8 bits of a number, and what that does
depends on what the numbers are for, so each task says what is held to account (``artifact.agreements``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clary.vision.artifact.agreements import TOLERANCE, Outputs, agreement_of
from clary.vision.base.types import TaskName

__all__ = ["TOLERANCE", "Difference", "difference"]


@dataclass(frozen=True, slots=True)
class Difference:
    """``largest`` absolute difference of any number, and the task's own ``measures``; infinite where one is no number.

    ``largest`` is among the measures.
    """

    measures: Mapping[str, float]

    @property
    def largest(self) -> float:
        return self.measures["largest"]

    def fault(self, task: TaskName, precision: str) -> str:
        """What is beyond its bound, such as ``largest 0.3 above 0.02``; empty when nothing is."""
        bounds = agreement_of(task).bounds if precision == "bf16" else {"largest": TOLERANCE[precision]}
        beyond = [
            f"{name} {self.measures[name]:.2g} above {bound}"
            for name, bound in bounds.items()
            # Not >: NaN compares as false, and would pass.
            if not self.measures[name] <= bound
        ]
        return ", ".join(beyond)


def difference(task: TaskName, expected: Sequence[Outputs], found: Sequence[Outputs]) -> Difference:
    """How far outputs are from those expected, over several calls; infinitely where their shapes differ."""
    measures = [_measured(task, *pair) for pair in zip(expected, found, strict=True)]
    return Difference({name: max(one[name] for one in measures) for name in measures[0]})


def _measured(task: TaskName, expected: Outputs, found: Outputs) -> dict[str, float]:
    agreement = agreement_of(task)
    if [one.shape for one in found] != [one.shape for one in expected]:
        return dict.fromkeys(("largest", *agreement.bounds), np.inf)
    gaps = [np.abs(mine - other) for mine, other in zip(found, expected, strict=True)]
    largest = float(np.max([gap.max() for gap in gaps]))  # not a number where one is none
    measures = {"largest": largest, **agreement.measures(expected, found, gaps)}
    return {name: value if np.isfinite(value) and np.isfinite(largest) else np.inf for name, value in measures.items()}
