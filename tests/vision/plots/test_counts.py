"""Bars of class counts."""

from __future__ import annotations

import pytest

from clary.vision.plots import counts
from clary.vision.plots.render import svg


def names(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_bars_follow_each_other():
    axes = counts.draw(["cat", "dog"], {"train": [5, 7], "test": [2, 3]}).axes[0]
    bars = [[(bar.get_x(), bar.get_width()) for bar in container] for container in axes.containers]
    assert bars == [[(0, 5), (0, 7)], [(5, 2), (7, 3)]]
    assert names(axes) == ["cat", "dog"]


def test_splits_are_named_with_their_totals_and_classes_with_theirs():
    axes = counts.draw(["cat", "dog"], {"test": [2, 3], "train": [1005, 7]}).axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts[-2:] == ["train 1,012", "test 5"]
    assert "1007" in texts
    assert "10" in texts


def test_of_many_classes_the_rarest_are_shown():
    many = 200
    sheet = counts.draw([f"c{i}" for i in range(many)], {"train": list(range(many, 0, -1))})
    assert names(sheet.axes[0])[0] == "c140"
    assert names(sheet.axes[0])[-1] == "c199"
    assert sheet.axes[0].get_title(loc="right") == "the 60 rarest of 200 classes"
    assert sheet.get_figheight() < 17


@pytest.mark.parametrize("table", [{"train": [0, 0]}, {"train": [1, 0], "validation": [0, 0]}])
def test_empty_classes_can_be_drawn(table):
    assert svg(counts.draw(["a", "b"], table), "Counts").startswith("<svg")
