"""What a report asks of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from clary.local.evaluations import Evaluation
from clary.local.gallery import Shown, shown, title
from clary.local.headline import NONE, Tile
from clary.vision.base.types import TaskName
from clary.vision.plots import curves
from clary.vision.plots._style import Figure
from clary.vision.tasks import TASKS, Task

__all__ = ["History", "PlainSection", "Section"]

E = TypeVar("E", bound=Evaluation)
History = Sequence[Mapping[str, Any]]


class Section(Generic[E]):
    """The part of the page that shows an evaluation: of a task without one of its own the main metric, a table of
    classes and the worst pictures.

    ``template`` lies in the folder ``templates`` of the package ``package``. ``ranked_by`` is the number of a class by
    which the weakest goes first, ``usage`` what is asked of a prediction in an example.
    """

    name: TaskName
    package: ClassVar[str] = "clary.local"
    template: ClassVar[str] = "results/plain.html.j2"
    ranked_by: ClassVar[str] = ""
    usage: ClassVar[str] = ""

    @property
    def task(self) -> Task:
        """What is shown."""
        return TASKS.get(self.name)

    def tile(self, evaluation: E | None, numbers: Mapping[str, Any]) -> Tile:
        """What was reached, as measured; else as it was logged in training."""
        if evaluation is not None:
            return self.measured(evaluation)
        value = numbers.get(f"validation:{self.task.metric}")
        remark = f"logged at epoch {numbers['best_epoch'] + 1}" if value is not None else "not measured yet"
        return Tile(f"{self.task.title} on validation", NONE if value is None else self.spelled(value), remark)

    def measured(self, evaluation: E) -> Tile:
        """The first tile of a page with an evaluation."""
        value = self.spelled(evaluation.metrics[evaluation.main])
        return Tile(f"{self.task.title} on {evaluation.split}", value, f"{evaluation.count:,} pictures")

    def spelled(self, value: float) -> str:
        """The main metric as text."""
        return f"{value:.3f}"

    def results(self, evaluation: E) -> dict[str, Any]:
        """What the task's template shows beside the table of classes."""
        return {}

    def worst(self, evaluation: E, count: int) -> list[Shown]:
        """At most ``count`` of the pictures it does worst on, the worst first."""
        # Rows name their pictures by text, since they also go into JSON.
        samples = {str(sample.image): sample for sample in evaluation.samples}
        found = []
        for row in evaluation.mistake_rows(count):
            sample, wrong = samples[row["image"]], (f"{key} {row[key]}" for key in row if key != "image")
            found.append(shown(sample, title(sample), ", ".join(wrong)))
        return [one for one in found if one]

    def remark(self, evaluation: E) -> str:
        """The other metrics in a sentence without its end."""
        others = [f"{name} {value:.3f}" for name, value in evaluation.metrics.items() if name != evaluation.main]
        return ", ".join(others) or f"{evaluation.count:,} pictures"

    def charts(self, history: History) -> Iterator[tuple[str, Figure]]:
        """Names and drawings of how training went."""
        if curves.recorded(history, self.task.metric):  # not without a validation split
            yield self.task.title, curves.metric(history, self.task.metric)
        yield "Loss", curves.loss(history)
        yield "Learning rate", curves.learning_rate(history)

    def table(self, evaluation: E) -> dict[str, Any]:
        """Headings and rows of the table of classes, ranked by the last column, which is drawn as a bar as well."""
        ranked, rows = self.ranked_by, evaluation.class_rows()
        keys = [key for key in evaluation.columns if key not in ("name", "support", ranked)] + [ranked] * bool(ranked)
        if ranked:
            # What could not be measured goes last: it is no weakness.
            rows = sorted(rows, key=lambda row: (row[ranked] is None, row[ranked] or 0))
        return {
            "headings": [evaluation.columns[key] for key in ("name", "support", *keys)],
            "rows": [_row(row, keys, row[ranked] or 0.0 if ranked else None) for row in rows],
            "ranked": bool(ranked),
        }


class PlainSection(Section[Evaluation]):
    """Of a task that brings none."""

    def __init__(self, name: TaskName) -> None:
        self.name = name


def _row(row: Mapping[str, Any], keys: Sequence[str], share: float | None) -> dict[str, Any]:
    """``share`` is the length of the bar, in 0..1; None without one."""
    ratios = [NONE if row[key] is None else f"{row[key]:.3f}" for key in keys]
    width = None if share is None else round(100 * share, 1)
    return {"name": row["name"], "support": f"{row['support']:,}", "ratios": ratios, "width": width}
