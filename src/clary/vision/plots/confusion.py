"""The confusion matrix: who is taken for whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clary.vision.plots._style import BLUE, FONT, INK, LINE, MUTED, ON_COLOUR, ORANGE, Figure, bare, figure, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

MOST_NUMBERED = 50  # with more classes the cells are too small for numbers
MOST_NAMED = 60
LETTER = 0.07  # inches a letter of a class name takes


def draw(matrix: np.ndarray, class_names: Sequence[str], *, shares: bool = False) -> Figure:
    """Counts of shape (classes, classes), row true and column predicted, coloured by share of their row.

    Blue is right, orange is wrong; strength is the share of the true class. Empty cells stay empty. With ``shares``
    cells say the share in per cent instead of the count: for pixels, whose counts mean little.
    """
    matrix = np.asarray(matrix)
    classes = len(class_names)
    # Inches: few classes do not make huge cells, many do not make them smaller than a letter.
    cell = float(np.clip(6.5 / classes, 0.25, 1.15))
    names = [label(name, 24) for name in class_names] if classes <= MOST_NAMED else []
    widest = LETTER * max(map(len, names), default=0)
    upright = widest < cell
    sheet = figure(classes * cell + 0.5 + widest, classes * cell + 0.5 + (0.1 if upright else widest))
    axes = sheet.add_subplot()
    _ground(axes, classes, names, cell)
    if not upright:
        axes.tick_params(axis="x", labelrotation=90)
    _cells(axes, matrix, cell, shares)
    return sheet


def _ground(axes: Axes, classes: int, names: Sequence[str], cell: float) -> None:
    bare(axes, grid="none")
    axes.set_xlim(0, classes)
    # Downward: the first class on top, as in a table.
    axes.set_ylim(classes, 0)
    axes.set_aspect("equal")
    axes.hlines(range(classes + 1), 0, classes, color=LINE, linewidth=0.5)
    axes.vlines(range(classes + 1), 0, classes, color=LINE, linewidth=0.5)
    axes.set_xlabel("predicted", fontsize=FONT + 1, color=MUTED)
    axes.set_ylabel("true", fontsize=FONT + 1, color=MUTED)
    middles = np.arange(len(names)) + 0.5
    size = min(FONT, cell * 72 * 0.5)
    axes.set_yticks(middles, names, fontsize=size, color=INK, parse_math=False)
    axes.set_xticks(middles, names, fontsize=size, color=INK, parse_math=False)


def _cells(axes: Axes, matrix: np.ndarray, cell: float, in_shares: bool) -> None:
    from matplotlib.patches import Rectangle

    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    digits = 5 if in_shares else len(str(matrix.max()))
    size = min(FONT + 1, cell * 72 * 0.42, cell * 72 * 0.92 / (0.62 * digits))
    for row, column in np.argwhere(matrix > 0):
        share = shares[row, column]
        colour = BLUE if row == column else ORANGE
        # Not from zero: a single mistake among thousands is to be seen.
        strength = 0.14 + 0.86 * share
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=strength, linewidth=0))
        if len(matrix) <= MOST_NUMBERED:
            axes.text(
                column + 0.5,
                row + 0.5,
                _per_cent(share) if in_shares else str(matrix[row, column]),
                ha="center",
                va="center_baseline",
                fontsize=size,
                # White on what is strong, dark on what is pale.
                color=ON_COLOUR if strength > 0.8 else INK,
            )


def _per_cent(share: float) -> str:
    """``97%``, ``3.1%``, ``<0.1%``."""
    if share < 0.0005:
        return "<0.1%"
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"
