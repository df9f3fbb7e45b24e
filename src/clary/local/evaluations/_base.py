"""What every evaluation has, and what makes one."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from clary.vision.base.types import Dataset, Problem, Sample, TaskName
from clary.vision.inference.predictor import Model
from clary.vision.inference.tasks import Prepared
from clary.vision.tasks import TASKS

__all__ = ["Evaluation", "EvaluationContext", "Evaluator", "finite"]

T = TypeVar("T")

MISTAKES = 10  # of a JSON text


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationContext:
    """What is the same for every task.

    ``split`` is the name of one, or "all". ``samples`` are the pictures that were measured, in order; ``skipped`` says
    of each other one why it was not; ``remark`` what the pictures were to the model in its training, where that is
    known.
    """

    split: str
    count: int
    class_names: tuple[str, ...] = field(repr=False)
    # Left out of repr, like everything that is long: notebooks show the object by it.
    samples: tuple[Sample, ...] = field(repr=False)
    seconds: float
    skipped: tuple[Problem, ...] = field(repr=False)
    engine: str
    precision: str
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(EvaluationContext, ABC):
    """What was measured on one split. ``metrics`` lie in 0..1 unless said otherwise."""

    task: ClassVar[TaskName]
    columns: ClassVar[Mapping[str, str]]  # keys of ``class_rows``, and what to call them
    worst_title: ClassVar[str] = "Worst pictures"

    metrics: Mapping[str, float]

    @property
    def main(self) -> str:
        """The metric a model is judged by."""
        return TASKS.get(self.task).metric

    @abstractmethod
    def class_rows(self) -> list[dict[str, Any]]:
        """One mapping a class, in id order: name, support, and numbers (None: not measurable)."""

    @abstractmethod
    def mistake_rows(self, k: int = MISTAKES) -> list[dict[str, Any]]:
        """One mapping for each of the ``k`` worst pictures, the worst first: image, and what is wrong."""

    @abstractmethod
    def summary(self) -> str:
        """The result on one line."""

    def details(self) -> dict[str, Any]:
        """What the task adds to ``to_json``."""
        return {}

    def to_json(self) -> str:
        """Everything but what is there of single pixels and boxes; a number that could not be measured is null."""
        value = {
            "task": self.task,
            "split": self.split,
            "remark": self.remark,
            "count": self.count,
            "seconds": round(self.seconds, 3),
            "engine": self.engine,
            "precision": self.precision,
            # JSON has no NaN (allow_nan=False below): what could not be measured is null.
            "metrics": {name: finite(number) for name, number in self.metrics.items()},
            "classes": self.class_rows(),
            **self.details(),
            "mistakes": self.mistake_rows(),
            "skipped": [{"image": p.where, "what": p.what} for p in self.skipped],
        }
        return json.dumps(value, indent=2, allow_nan=False)


class Evaluator(ABC, Generic[T]):
    """Compares predictions with the truth, picture after picture.

    ``ids`` maps class ids of the data set to those of the model. ``truth`` is called in threads, the rest in one.
    """

    name: ClassVar[TaskName]

    def __init__(self, network: Model, data: Dataset, ids: Mapping[int, int], samples: Sequence[Sample]) -> None:
        self.network = network
        self.data = data
        self.ids = ids

    @abstractmethod
    def truth(self, sample: Sample, image: Prepared) -> T:
        """What is known of a picture, in class ids of the model. Raises DataError or OSError if it cannot be read."""

    @abstractmethod
    def add(self, sample: Sample, truth: T, prediction: Any) -> None:
        """Count a picture."""

    @abstractmethod
    def evaluation(self, context: Mapping[str, Any]) -> Evaluation:
        """What was counted. ``context`` are the fields of ``EvaluationContext``."""


def finite(number: float) -> float | None:
    """A number for JSON: six decimals, None for what could not be measured."""
    return round(float(number), 6) if math.isfinite(number) else None
