"""The matrix: a number in every cell that has one, colour by right and wrong, strength by share of the row."""

from __future__ import annotations

import numpy as np
import pytest

from clary.vision.plots import confusion
from clary.vision.plots._style import BLUE, ORANGE
from clary.vision.plots.render import svg


def cells(sheet):
    """(row, column) to (colour, strength) of each drawn cell."""
    from matplotlib.colors import to_hex

    found = {}
    for patch in sheet.axes[0].patches:
        column, row = patch.get_xy()
        found[int(row), int(column)] = (to_hex(patch.get_facecolor()), patch.get_alpha())
    return found


def test_cells_are_counted_and_coloured():
    sheet = confusion.draw(np.array([[8, 2, 0], [0, 5, 0], [4, 0, 1]]), ["a", "b", "c"])
    drawn = cells(sheet)
    assert set(drawn) == {(0, 0), (0, 1), (1, 1), (2, 0), (2, 2)}
    assert {colour for (row, column), (colour, _) in drawn.items() if row == column} == {BLUE}
    assert {colour for (row, column), (colour, _) in drawn.items() if row != column} == {ORANGE}
    assert drawn[1, 1][1] == pytest.approx(1)
    assert drawn[0, 1][1] < drawn[2, 0][1] == drawn[0, 0][1]
    assert [text.get_text() for text in sheet.axes[0].texts] == ["8", "2", "5", "4", "1"]


def test_shares_of_the_row_instead_of_counts():
    sheet = confusion.draw(
        np.array([[9_600, 395, 5, 0], [0] * 4, [1, 0, 999_999, 0], [0] * 4]), list("abcd"), shares=True
    )
    assert [text.get_text() for text in sheet.axes[0].texts] == ["96%", "4.0%", "0.1%", "<0.1%", "100%"]


def test_rows_are_true_and_named():
    axes = confusion.draw(np.eye(2, dtype=int), ["cat", "dog"]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog"]
    assert axes.yaxis_inverted()


def test_a_class_without_pictures_is_an_empty_row():
    assert set(cells(confusion.draw(np.array([[3, 0], [0, 0]]), ["a", "b"]))) == {(0, 0)}


@pytest.mark.parametrize("classes", [2, 10, 37, 50, 61, 120])
def test_any_number_of_classes_is_legible(classes):
    """Cells are at least a quarter of an inch, numbers at least 5.5 points and inside their cell."""
    matrix = np.full((classes, classes), 0)
    np.fill_diagonal(matrix, 123)
    names = [f"a rather long name of class {i}" for i in range(classes)]
    sheet = confusion.draw(matrix, names)
    axes = sheet.axes[0]
    assert svg(sheet, "Confusion").count("123") >= (classes if classes <= confusion.MOST_NUMBERED else 0)
    side = axes.get_position().width * sheet.get_figwidth() / classes
    assert side > 0.2
    for text in axes.texts:
        size = float(text.get_fontsize())
        assert size >= 5.5
        assert len(text.get_text()) * 0.62 * size / 72 < side * 1.05
    assert bool(axes.texts) == (classes <= confusion.MOST_NUMBERED)
    assert bool(axes.get_yticklabels()) == (classes <= confusion.MOST_NAMED)
