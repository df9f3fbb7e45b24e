"""Training curves: loss, accuracy and learning rate against epochs, the best epoch marked.

``history`` is ``Run.history``: one record an epoch with ``epoch`` (0-based; drawn from 1, as people count), ``train``,
``validation``, ``learning_rate`` and ``best``. Numbers that are missing or not finite are left out of the lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from clary.vision.plots._style import FONT, INK, MUTED, SPLITS, Figure, bare, figure, heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["accuracy", "draw", "learning_rate", "loss", "metric", "recorded"]

History = Sequence[Mapping[str, Any]]
Points = list[tuple[int, float]]


def loss(history: History) -> Figure:
    """Loss of train and validation."""
    return _alone(_loss, history)


def accuracy(history: History) -> Figure:
    """Accuracy of train and validation, in per cent."""
    return _alone(_accuracy, history)


def metric(history: History, name: str) -> Figure:
    """A metric of train and validation that lies in 0..1, as mAP or mIOU; what a split lacks has no line."""
    return _alone(partial(_metric, name=name), history)


def recorded(history: History, name: str) -> bool:
    """Whether any epoch has a number called that, of train or validation."""
    return any(_points(history, split, name) for split in ("train", "validation"))


def learning_rate(history: History) -> Figure:
    """Learning rate at the end of each epoch; logarithmic when it spans more than a factor of 50."""
    return _alone(_learning_rate, history)


def draw(history: History) -> Figure:
    """The three beside each other."""
    sheet = figure(12.0, 2.9)
    for draw_one, axes in zip((_loss, _accuracy, _learning_rate), sheet.subplots(1, 3), strict=True):
        draw_one(axes, history)
    return sheet


def _alone(draw_one: Callable[[Axes, History], None], history: History) -> Figure:
    sheet = figure(3.7, 2.6)
    draw_one(sheet.add_subplot(), history)
    return sheet


def _loss(axes: Axes, history: History) -> None:
    _lines(axes, history, "loss", "Loss", "{:.3f}")


def _accuracy(axes: Axes, history: History) -> None:
    from matplotlib.ticker import PercentFormatter

    _lines(axes, history, "accuracy", "Accuracy", "{:.1%}")
    low, high = axes.get_ylim()
    # Zoomed to what happened, a little above 1, where a line along the edge would be cut in half.
    axes.set_ylim(max(low, 0), min(high, 1 + (1 - max(low, 0)) * 0.04))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))


def _metric(axes: Axes, history: History, *, name: str) -> None:
    _lines(axes, history, name, name, "{:.3f}")
    values = [value for split in ("train", "validation") for _, value in _points(history, split, name)]
    if all(0 <= value <= 1 for value in values):  # a task of another distribution may count in degrees
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0), min(high, 1.02))


def _learning_rate(axes: Axes, history: History) -> None:
    points = _finite((_number(record), record.get("learning_rate")) for record in history)
    _frame(axes, "Learning rate", history)
    _line(axes, points, INK)
    rates = [rate for _, rate in points]
    if rates and min(rates) > 0 and max(rates) / min(rates) > 50:
        axes.set_yscale("log")
    # From zero: half the rate is then half as high.
    elif rates:
        axes.set_ylim(0, max(rates) * 1.1 or 1)


def _lines(axes: Axes, history: History, metric: str, title: str, form: str) -> None:
    """One line a split, named at its end; the best epoch ringed and named in the corner."""
    _frame(axes, title, history)
    found = {split: _points(history, split, metric) for split in ("train", "validation")}
    by_split = {split: points for split, points in found.items() if points}
    for split, points in by_split.items():
        _line(axes, points, SPLITS[split])
    axes.margins(y=0.08)
    _name_ends(axes, by_split)
    if by_split:
        split = list(by_split)[-1]
        _mark_best(axes, history, split, dict(by_split[split]), form)


def _frame(axes: Axes, title: str, history: History) -> None:
    from matplotlib.ticker import MaxNLocator

    bare(axes)
    heading(axes, title)
    axes.set_xlabel("epoch", fontsize=FONT, color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(history) == 1:
        axes.set_xlim(_number(history[0]) - 0.5, _number(history[0]) + 0.5)


def _line(axes: Axes, points: Points, colour: str) -> None:
    epochs, values = zip(*points, strict=True) if points else ((), ())
    # Single points are of use while they can be counted.
    axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if len(points) < 16 else "", markersize=3.2)


def _name_ends(axes: Axes, by_split: Mapping[str, Points]) -> None:
    """Each split's name to the right of its line, moved apart where the lines end close together."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.09
    ends = {split: points[-1][1] for split, points in by_split.items()}
    at = dict(ends)
    if len(ends) == 2:
        lower, upper = sorted(ends, key=lambda split: ends[split])
        # Both are moved by half: neither name lies further from its line than it must.
        missing = max(0.0, gap - (ends[upper] - ends[lower])) / 2
        at = {lower: ends[lower] - missing, upper: ends[upper] + missing}
    for split, points in by_split.items():
        axes.annotate(
            split,
            (points[-1][0], at[split]),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            color=SPLITS[split],
            fontsize=FONT,
            annotation_clip=False,
        )


def _mark_best(axes: Axes, history: History, split: str, values: Mapping[int, float], form: str) -> None:
    marked = [_number(record) for record in history if record.get("best")]
    if not marked or marked[-1] not in values:
        return
    best = marked[-1]
    axes.plot(
        [best],
        [values[best]],
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgecolor=SPLITS[split],
        markeredgewidth=1.4,
        clip_on=False,
    )
    # In words as well: colour and ring alone are no help to a screen reader.
    text = f"best epoch {best}: {form.format(values[best])}"
    axes.set_title(text, loc="right", fontsize=FONT, color=SPLITS[split])


def _points(history: History, split: str, metric: str) -> Points:
    return _finite((_number(record), (record.get(split) or {}).get(metric)) for record in history)


def _number(record: Mapping[str, Any]) -> int:
    return int(record["epoch"]) + 1


def _finite(pairs: Iterable[tuple[int, float | None]]) -> Points:
    return [(epoch, value) for epoch, value in pairs if value is not None and math.isfinite(value)]
