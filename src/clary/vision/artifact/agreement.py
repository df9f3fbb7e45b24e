"""How far an engine's outputs may be from eager torch in fp32, for each task.

In fp32 every number has to agree: the engines differ by 1e-5 at most. bf16 keeps 8 bits of a number, and what that does
depends on what the numbers are for:

- classification: the scores of EfficientNet-Lite0 trained on pets move by 0.005 to 0.012.
- segmentation: a pixel on an edge is undecided and may move by 0.2 (trained U-Net and FCN on Lite0, 24 pets: 99 % of
  the pixels move by less than 0.043 and 0.032), while the mean over all pixels and classes is 0.003 and the class of
  0.5 % of the pixels changes, 1.7 % in the worst picture; accuracy stayed the same to 0.0005. So the mean and the share
  of changed pixels are held to account.
- detection: of thousands of anchors some are undecided, too (trained FPN on Lite0, 32 pets: scores move by up to 0.039,
  corners by up to 0.011 of the picture; over the anchors a prediction shows the means are 0.005 and 0.0012). So the
  means over those are held to account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clary.vision.base.types import Task

__all__ = ["TOLERANCE", "Difference", "difference"]

Outputs = tuple[np.ndarray, ...]

# Largest absolute difference of any output.
TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.02}

# Of bf16, by task: bounds of the measures that are held to account.
BOUNDS: Mapping[Task, Mapping[str, float]] = {
    "classification": {"largest": TOLERANCE["bf16"]},
    "detection": {"score": 0.02, "corner": 0.005},
    "segmentation": {"mean": 0.01, "changed": 0.02},
}

SEEN = 0.05  # score from which an anchor's box matters


@dataclass(frozen=True, slots=True)
class Difference:
    """``largest`` absolute difference of any number, and the task's own ``measures``; infinite where one is no number.

    ``largest`` is among the measures.
    """

    measures: Mapping[str, float]

    @property
    def largest(self) -> float:
        return self.measures["largest"]

    def fault(self, task: Task, precision: str) -> str:
        """What is beyond its bound, such as ``largest 0.3 above 0.02``; empty when nothing is."""
        bounds = BOUNDS[task] if precision == "bf16" else {"largest": TOLERANCE[precision]}
        beyond = [
            f"{name} {self.measures[name]:.2g} above {bound}"
            for name, bound in bounds.items()
            if not self.measures[name] <= bound
        ]
        return ", ".join(beyond)


def difference(task: Task, expected: Sequence[Outputs], found: Sequence[Outputs]) -> Difference:
    """How far outputs are from those expected, over several calls; infinitely where their shapes differ."""
    measures = [_measured(task, *pair) for pair in zip(expected, found, strict=True)]
    return Difference({name: max(one[name] for one in measures) for name in measures[0]})


def _measured(task: Task, expected: Outputs, found: Outputs) -> dict[str, float]:
    if [one.shape for one in found] != [one.shape for one in expected]:
        return dict.fromkeys(("largest", *BOUNDS[task]), np.inf)
    gaps = [np.abs(mine - other) for mine, other in zip(found, expected, strict=True)]
    largest = float(np.max([gap.max() for gap in gaps]))  # not a number where one is none
    measures = {"largest": largest, **_MEASURES[task](expected, found, gaps)}
    return {name: value if np.isfinite(value) and np.isfinite(largest) else np.inf for name, value in measures.items()}


def _of_scores(expected: Outputs, found: Outputs, gaps: list[np.ndarray]) -> dict[str, float]:
    return {}


def _of_boxes(expected: Outputs, found: Outputs, gaps: list[np.ndarray]) -> dict[str, float]:
    """Means over the anchors that a prediction may show: of the difference of their score, and of their corners."""
    score = expected[1].max(axis=-1)
    seen = score >= min(SEEN, float(score.max()))
    return {"score": float(gaps[1].max(axis=-1)[seen].mean()), "corner": float(gaps[0].max(axis=-1)[seen].mean())}


def _of_pixels(expected: Outputs, found: Outputs, gaps: list[np.ndarray]) -> dict[str, float]:
    """The mean over pixels and classes, and the share of pixels that changed their class."""
    changed = found[0].argmax(axis=1) != expected[0].argmax(axis=1)
    return {"mean": float(gaps[0].mean()), "changed": float(changed.mean())}


_MEASURES: Mapping[Task, Callable[[Outputs, Outputs, list[np.ndarray]], dict[str, float]]] = {
    "classification": _of_scores,
    "detection": _of_boxes,
    "segmentation": _of_pixels,
}
