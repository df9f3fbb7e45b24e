"""What engines are held to, of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from clary.vision.base.types import TaskName

__all__ = ["TOLERANCE", "Agreement", "Outputs"]

Outputs = tuple[np.ndarray, ...]

# Largest absolute difference of any output.
TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.02}


class Agreement:
    """``bounds`` are what the measures may be in bf16; ``largest``, of any number of any output, is always measured."""

    name: ClassVar[TaskName]
    bounds: ClassVar[Mapping[str, float]] = {"largest": TOLERANCE["bf16"]}

    def measures(self, expected: Outputs, found: Outputs, gaps: Sequence[np.ndarray]) -> dict[str, float]:
        """What is measured beside ``largest``; ``gaps`` are the absolute differences of each output."""
        return {}
