"""What a report asks of a task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from clary.local.evaluations import Evaluation
from clary.local.gallery import Shown
from clary.local.headline import NONE, Tile
from clary.vision.base.types import Task
from clary.vision.plots import curves
from clary.vision.plots._style import Figure

__all__ = ["History", "Section"]

E = TypeVar("E", bound=Evaluation)
History = Sequence[Mapping[str, Any]]


class Section(ABC, Generic[E]):
    """The part of the page that shows an evaluation; its template is ``results/NAME.html.j2``.

    ``main`` is the metric a model is judged by, ``title`` how it is called in a headline, ``ranked_by`` the number of
    a class by which the weakest goes first.
    """

    name: ClassVar[Task]
    main: ClassVar[str]
    title: ClassVar[str]
    ranked_by: ClassVar[str]
    worst_title: ClassVar[str] = "Worst pictures"

    def tile(self, evaluation: E | None, numbers: Mapping[str, Any]) -> Tile:
        """What was reached, as measured; else as it was logged in training."""
        if evaluation is not None:
            return self.measured(evaluation)
        value = numbers.get(f"validation:{self.main}")
        remark = f"logged at epoch {numbers['best_epoch'] + 1}" if value is not None else "not measured yet"
        return Tile(f"{self.title} on validation", NONE if value is None else self.spelled(value), remark)

    @abstractmethod
    def measured(self, evaluation: E) -> Tile:
        """The first tile of a page with an evaluation."""

    def spelled(self, value: float) -> str:
        """The main metric as text."""
        return f"{value:.3f}"

    @abstractmethod
    def results(self, evaluation: E) -> dict[str, Any]:
        """What the task's template shows beside the table of classes."""

    @abstractmethod
    def worst(self, evaluation: E, count: int) -> list[Shown]:
        """At most ``count`` of the pictures it does worst on, the worst first."""

    @abstractmethod
    def remark(self, evaluation: E) -> str:
        """The other metrics in a sentence without its end."""

    def charts(self, history: History) -> Iterator[tuple[str, Figure]]:
        """Names and drawings of how training went."""
        if curves.recorded(history, self.main):  # not without a validation split
            yield self.title, curves.metric(history, self.main)
        yield "Loss", curves.loss(history)
        yield "Learning rate", curves.learning_rate(history)

    def table(self, evaluation: E) -> dict[str, Any]:
        """Headings and rows of the table of classes; the last column is drawn as a bar as well."""
        keys = [key for key in evaluation.columns if key not in ("name", "support", self.ranked_by)] + [self.ranked_by]
        rows = sorted(evaluation.class_rows(), key=lambda row: (row[self.ranked_by] is None, row[self.ranked_by] or 0))
        return {
            "headings": [evaluation.columns[key] for key in ("name", "support", *keys)],
            "rows": [_row(row, keys) for row in rows],
        }


def _row(row: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    ratios = [NONE if row[key] is None else f"{row[key]:.3f}" for key in keys]
    last = row[keys[-1]] or 0.0
    return {"name": row["name"], "support": f"{row['support']:,}", "ratios": ratios, "width": round(100 * last, 1)}
