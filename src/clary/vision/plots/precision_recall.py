"""Precision against recall: how many of the boxes said are right when so many of the true ones are to be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clary.vision.base.average_precision import Curve
from clary.vision.base.colours import colours
from clary.vision.plots._style import FONT, LINE, MUTED, Figure, bare, figure, heading, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

NAMED = 7  # classes with a colour and a name, those of the largest area; the others are gray


def draw(curves: Sequence[Curve], class_names: Sequence[str], least: float | None = None) -> Figure:
    """A line a class, made falling as average precision counts it; a class without true boxes has none.

    A dot marks where boxes with a score of ``least`` or more bring one.
    """
    sheet = figure(4.6, 3.6)
    axes = sheet.add_subplot()
    bare(axes)
    heading(axes, "Precision and recall")
    shown = [(i, curve) for i, curve in enumerate(curves) if len(curve.recall) and not np.isnan(curve.recall).any()]
    shown.sort(key=lambda pair: -pair[1].area)
    tints = colours(len(class_names))
    # Backward: gray lines first, so that those with names lie on top.
    for place, (number, curve) in reversed(list(enumerate(shown))):
        named = place < NAMED
        text = f"{label(class_names[number], 18)} AP {curve.area:.2f}"
        axes.step(
            *_falling(curve),
            where="pre",
            color=tints[number] if named else LINE,
            linewidth=1.8 if named else 0.9,
            label=text if named else "_",
        )
        if named and least is not None:
            _mark(axes, curve, least, tints[number])
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    axes.set_xlabel("recall", fontsize=FONT, color=MUTED)
    axes.set_ylabel("precision", fontsize=FONT, color=MUTED)
    if shown:
        lines, texts = axes.get_legend_handles_labels()
        axes.legend(lines[::-1], texts[::-1], loc="lower left", frameon=False, fontsize=FONT, labelcolor=MUTED)
    return sheet


def _mark(axes: Axes, curve: Curve, least: float, tint: str) -> None:
    """The point of a curve where it has taken all boxes with a score of ``least`` or more."""
    said = int((curve.scores >= least).sum())
    if said:
        recall, falling = _falling(curve)
        axes.plot(recall[said], falling[said], "o", color=tint, markersize=5.5, label="_")


def _falling(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Recall and the best precision at that recall or above, from 0 to the last recall reached."""
    # As average precision is summed (VOC 2010 on): the line drawn has that area.
    falling = np.maximum.accumulate(curve.precision[::-1])[::-1]
    recall = np.concatenate([[0.0], curve.recall, curve.recall[-1:]])
    return recall, np.concatenate([falling[:1], falling, [0.0]])
