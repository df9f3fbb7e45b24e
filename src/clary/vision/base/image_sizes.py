"""The size of training pictures by epoch: small ones first, the last at full size.

Progressive resizing (Howard 2018, fast.ai's entry to DAWNBench; Tan & Le 2021, *EfficientNetV2*, section 4): a step on
small pictures takes less time, and what is learned there is learned; the last epochs are at the size that is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ImageSizes", "Stage", "rescaled", "sizes_said"]

Stage = tuple[int, int]  # shorter side in pixels, and for how many epochs


@dataclass(frozen=True, slots=True)
class ImageSizes:
    """``stages`` come first, every later epoch is at ``full``, the shorter side in pixels; 0 where nobody said.

    Stages count epochs, not shares of them: a run that is given more epochs keeps those it has made.
    """

    full: int = 0
    stages: tuple[Stage, ...] = ()

    def at(self, epoch: int) -> int:
        """The size of the 0-based ``epoch``."""
        for size, epochs in self.stages:
            if epoch < epochs:
                return size
            epoch -= epochs
        return self.full

    @property
    def first_full(self) -> int:
        """The first epoch of the full size, 0-based."""
        return sum(epochs for _, epochs in self.stages)

    def all(self) -> tuple[int, ...]:
        """Every size once, in order; the last is the full one."""
        return (*(size for size, _ in self.stages), self.full)


def sizes_said(sizes: Sequence[int]) -> str:
    """``128 -> 160 -> 224 pixels``; nothing of a single size."""
    return f"{' -> '.join(map(str, sizes))} pixels" if len(sizes) > 1 else ""


def rescaled(stages: Sequence[Stage], planned: int, epochs: int) -> tuple[Stage, ...]:
    """``stages`` of a run of ``planned`` epochs at the same shares of ``epochs``, rounded down: what is left over goes
    to the larger sizes, and a stage without an epoch is left out."""
    found: list[Stage] = []
    before = until = 0
    for size, count in stages:
        # Of the ends, not of the lengths: roundings of several stages would add up.
        until += count
        end = until * epochs // planned
        if end > before:
            found.append((size, end - before))
        before = end
    return tuple(found)
