"""What a report says of a task that brings no section."""

from __future__ import annotations

from pathlib import Path

import pytest

from clary.local import report
from clary.local.run import Run
from clary.local.sections import SECTIONS, section_of


def test_the_main_metric_a_table_and_the_worst(colour_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECTIONS, "_members", {})
    assert section_of("classification").template == "results/plain.html.j2"
    page = report.write(Run.open(colour_run)).read_text()
    assert "<dt>Accuracy on test</dt>" in page
    assert "9 pictures" in page
    assert "Macro_f1 0." in page
    assert "<h3>By class</h3>" in page  # not ranked: nobody says by what
    assert 'class="bar"' not in page
    assert "Most confident mistakes" in page
    assert page.count('class="wrong"') == 2
    assert "true red, predicted blue" in page


def test_what_was_logged_before_it_is_measured(colour_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SECTIONS, "_members", {})
    tile = section_of("classification").tile(None, Run.open(colour_run).metrics)
    assert (tile.name, tile.value, tile.remark) == ("Accuracy on validation", "0.900", "logged at epoch 2")
