"""Precision against recall, drawn."""

from __future__ import annotations

import numpy as np
import pytest

from clary.vision.base.average_precision import Curve
from clary.vision.plots.precision_recall import NAMED, draw
from clary.vision.plots.render import svg


def curve(hits: list[int], truths: int) -> Curve:
    right = np.cumsum(hits)
    return Curve(right / np.arange(1, len(hits) + 1), right / truths, np.linspace(1, 0.1, len(hits)))


def test_a_line_a_class_with_its_area():
    found = svg(draw([curve([1, 0, 1], 2), curve([0, 1], 4)], ["cat", "dog"]), "curves")
    assert "cat AP 0.83" in found
    assert "dog AP 0.12" in found


def test_the_line_falls_as_average_precision_counts_it():
    (line,) = draw([curve([0, 1, 1, 0], 3)], ["cat"]).axes[0].lines
    recall, precision = (np.asarray(part, dtype=float) for part in line.get_data())
    assert (np.diff(precision) <= 0).all()
    assert (np.diff(recall) >= 0).all()
    area = (np.diff(recall) * precision[1:]).sum()
    assert area == pytest.approx(curve([0, 1, 1, 0], 3).area)


def test_a_dot_where_boxes_of_a_score_bring_one():
    lines = draw([curve([0, 1, 1, 0], 3)], ["cat"], 0.6).axes[0].lines  # the scores are 1, 0.7, 0.4, 0.1
    recall, precision = (np.asarray(part, dtype=float) for part in lines[1].get_data())
    assert recall.tolist() == pytest.approx([1 / 3])
    assert precision.tolist() == pytest.approx([2 / 3])
    assert len(draw([curve([1], 3)], ["cat"], 1.1).axes[0].lines) == 1, "none has such a score"


def test_classes_that_cannot_be_drawn():
    nothing = Curve(np.empty(0), np.empty(0), np.empty(0))
    no_truth = Curve(np.zeros(2), np.full(2, np.nan), np.ones(2))
    assert draw([nothing, no_truth], ["a", "b"]).axes[0].lines[:] == []
    assert draw([], []).axes[0].lines[:] == []


def test_of_many_classes_the_best_are_named():
    curves = [curve([1] * (n + 1), 20) for n in range(20)]
    sheet = draw(curves, [f"class {n}" for n in range(20)])
    legend = sheet.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        f"class {n} AP {(n + 1) / 20:.2f}" for n in range(19, 12, -1)
    ]
    assert len(legend.get_texts()) == NAMED
