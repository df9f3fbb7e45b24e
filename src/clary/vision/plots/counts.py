"""How many pictures each class has in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clary.vision.plots._style import FONT, INK, MUTED, ON_COLOUR, SPLITS, Figure, bare, figure, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

MOST_CLASSES = 60  # of more, those with the fewest pictures to train on are shown


def draw(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Bars by class, split after split; ``counts`` has one number a class for each split, in class id order."""
    splits = [split for split in SPLITS if split in counts]
    table = np.array([counts[split] for split in splits], dtype=np.int64).reshape(len(splits), len(class_names))
    shown = np.arange(len(class_names))
    if len(shown) > MOST_CLASSES:
        # The rarest: those are where a class may be too small to learn. Stable, and then in the order of ids.
        shown = np.sort(np.argsort(table[0], kind="stable")[:MOST_CLASSES])
    sheet = figure(6.6, 0.75 + 0.25 * len(shown))
    axes = sheet.add_subplot()
    _ground(axes, [class_names[int(i)] for i in shown])
    _bars(axes, splits, table[:, shown])
    _legend(axes, splits, table)
    if len(shown) < len(class_names):
        remark = f"the {len(shown)} rarest of {len(class_names)} classes"
        axes.set_title(remark, loc="right", fontsize=FONT, color=MUTED)
    return sheet


def _ground(axes: Axes, names: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    bare(axes, grid="x")
    axes.set_yticks(range(len(names)), [label(name) for name in names], color=INK, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _bars(axes: Axes, splits: Sequence[str], table: np.ndarray) -> None:
    widest = max(1, int(table.sum(axis=0).max()))
    left = np.zeros(table.shape[1], dtype=np.int64)
    for split, numbers in zip(splits, table, strict=True):
        axes.barh(range(len(numbers)), numbers, left=left, height=0.66, color=SPLITS[split], linewidth=0)
        for row, number in enumerate(numbers):
            # A shorter bar has no room for its number.
            if number > widest * 0.06:
                at = left[row] + number / 2
                axes.text(at, row, str(number), ha="center", va="center_baseline", color=ON_COLOUR, fontsize=FONT - 1)
        left = left + numbers
    for row, total in enumerate(left):
        # In points from the end of the bar, so that the gap is one and the same at every scale.
        axes.annotate(
            str(total),
            (total, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=FONT - 1,
            color=MUTED,
        )
    axes.set_xlim(0, widest * 1.08)


def _legend(axes: Axes, splits: Sequence[str], table: np.ndarray) -> None:
    """The names of the splits in their colours, with their totals, in a row above the bars."""
    right = 0.0
    for split, numbers in zip(splits, table, strict=True):
        text = f"{split} {numbers.sum():,}"
        axes.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(right, 5),
            textcoords="offset points",
            color=SPLITS[split],
            fontsize=FONT,
            fontweight="bold",
        )
        right += 0.66 * FONT * len(text) + 14
