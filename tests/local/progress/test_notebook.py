"""What a notebook shows of a run: with a display of our own for the events, and in a real kernel."""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import clary
from clary.errors import DataError
from clary.local.progress import showing
from clary.vision.base.events import BatchEnd, EpochEnd, Preparation, RunEnd, RunStart
from clary.vision.base.other_programs import OtherPrograms, Sharing
from clary.vision.base.types import Dataset

notebook = pytest.importorskip("clary.local.progress.notebook")

TINY: dict[str, Any] = {
    "backbone": "test_resnet",
    "use_pretrained_model": 0,
    "image_shape": "3,32,32",
    "mini_batch_size": 4,
}


class Handle:
    """In place of IPython's: keeps every page that was shown."""

    def __init__(self) -> None:
        self.pages: list[str] = []

    def update(self, view: Any) -> None:
        self.pages.append(" ".join(text(view._repr_html_()).split()))


def text(page: str) -> str:
    """A page as it is read."""
    return html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Handle:
    handle = Handle()
    monkeypatch.setattr(notebook, "display", lambda view, display_id: handle)
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: None)
    return handle


def epoch(number: int, accuracy: float, best: bool) -> EpochEnd:
    return EpochEnd(number, {"accuracy": 0.5, "loss": 1.5}, {"accuracy": accuracy, "loss": 1.0}, 2.0, 0.1, best)


def test_phases_counts_and_epochs_are_shown_as_they_come(shown: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    view = notebook.Display()
    view.on_preparation(Preparation("checking pictures", 120, 2400))
    assert "checking pictures 120/2,400" in shown.pages[-1]
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: Sharing(2, 1.8, 2))
    data = Dataset(Path("pets"), "folder", ("<cat>", "dog"), {"train": ()})
    start = RunStart(None, None, 3, 4, 0, "bf16", dataset=data, precision_reason="known", network_name="<resnet>")
    view.on_start(start)
    assert "2 classes · <resnet> · bf16" in shown.pages[-1]
    assert "known" not in shown.pages[-1]
    assert "2 other programs are busy" in shown.pages[-1]
    # Names are text, never markup.
    assert "<resnet>" not in view._repr_html_()
    view.on_batch(BatchEnd(0, 1, 2, 0.75, 0.1, 8, 1.0))
    assert "epoch 1/3" in shown.pages[-1]
    assert "2/12 8.0 pictures/s, loss 0.750" in shown.pages[-1]
    view.on_epoch(epoch(0, 0.75, True))
    assert (
        "epoch 1/3 train accuracy 0.5000 loss 1.500 validation accuracy 0.7500 loss 1.000 2.0 s best" in shown.pages[-1]
    )
    assert "<svg" not in view._repr_html_()
    view.on_epoch(epoch(1, 0.5, False))
    # The best one stays, and there is a curve as soon as there is more than a point.
    assert view._repr_html_().count("<svg") == 3
    view.on_end(RunEnd("completed", 2, 0, 4.0))
    assert "best epoch 1 of 2, 4.0 s" in shown.pages[-1]
    assert "writing the model" in shown.pages[-1]
    assert repr(view).splitlines()[-2:] == ["best epoch 1 of 2, 4.0 s", "writing the model"]


def test_of_many_epochs_the_best_and_the_last_ones_are_shown(shown: Handle) -> None:
    view = notebook.Display()
    view.on_start(RunStart(None, None, 9, 4, 0, "fp32"))
    for number in range(9):
        view.on_epoch(epoch(number, 0.75, best=number == 1))
    rows = [row[0] for row in view._rows()]
    assert rows == ["epoch 2/9", "epoch 5/9", "epoch 6/9", "epoch 7/9", "epoch 8/9", "epoch 9/9"]
    assert [row[-1] for row in view._rows()] == ["best", "", "", "", "", ""]


def test_what_was_stopped_stands_still(shown: Handle) -> None:
    view = notebook.Display()
    view.on_start(RunStart(None, None, 9, 4, 0, "fp32"))
    view.on_batch(BatchEnd(0, 1, 2, 0.75, 0.1, 8, 1.0))
    assert "<progress" in view._repr_html_()
    view.on_close()
    assert "<progress" not in view._repr_html_()


def test_the_end_shows_the_score_and_pictures_with_what_the_model_says(
    shown: Handle, one_thread: None, colours: Callable[..., Path], tmp_path: Path
) -> None:
    data = colours(tmp_path / "colours", {"train": 4, "test": 2})
    view = notebook.Display()
    about: dict[str, Any] = {**TINY, "precision": "fp32"}
    run = clary.train("classification", data, out=tmp_path / "run", epochs=1, hooks=[view], progress=False, **about)
    view.on_model(run)
    page = view._repr_html_()
    assert clary.evaluate(run, data, split="test").summary() in text(page)
    assert f"model: {run.model}" in text(page)
    assert "test:accuracy" in run.metrics
    # All six, each with a class and its score, and what it is where that is wrong.
    captions = re.findall(r"<figcaption>(\w+) (0\.\d{4}|1\.0000)(?: <span class=.wrong.>is (\w+)</span>)?</fig", page)
    assert len(captions) == page.count('<img src="data:image/') == 6
    assert all(said in data_classes(data) and said != truth for said, _, truth in captions)


def data_classes(data: Path) -> set[str]:
    return {path.name for path in (data / "train").iterdir()}


def test_pictures_that_moved_away_are_no_failure(shown: Handle, tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"none")
    (tmp_path / "config.json").write_text('{"dataset": {"path": "gone"}}')
    view = notebook.Display()
    view.on_model(clary.Run(tmp_path))
    assert "no pictures: " in shown.pages[-1]
    assert f"model: {tmp_path / 'model.tar.gz'}" in shown.pages[-1]


@pytest.mark.parametrize(("kernel", "kind"), [(object(), "Display"), (None, "Lines")], ids=["kernel", "terminal"])
def test_only_a_kernel_has_a_display(kernel: object, kind: str, shown: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with showing(True) as views:
        assert [type(view).__name__ for view in views] == [kind]


def test_what_fails_before_the_first_step_stands_still(
    shown: Handle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("clary.local.progress._in_notebook", lambda: True)
    with pytest.raises(DataError):
        clary.train("classification", tmp_path / "nothing")
    assert shown.pages[-2:] == ["reading pictures", ""]


@pytest.mark.slow
def test_in_a_kernel(colours: Callable[..., Path], tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    data = colours(tmp_path / "colours", {"train": 4})
    call = f"clary.train('classification', {str(data)!r}, out='run', epochs=2, precision='fp32', **{TINY!r})"
    cells = [nbformat.v4.new_code_cell(f"import clary\nrun = {call}\nrun.name")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    # One display, written anew each time, and no line or warning beside it.
    shown, result = book.cells[0].outputs
    assert (shown.output_type, result.data["text/plain"]) == ("display_data", "'run'")
    page = shown.data["text/html"]
    assert "epoch 2/2" in page
    assert "pictures, macro F1" in page
    assert page.count("<svg") == 3
    assert page.count('<img src="data:image/') == 3
    assert "best epoch " in shown.data["text/plain"]
