"""`clary quickstart` as a user types it, on a few small drawn pets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clary.drawn import draw_pets

pytestmark = pytest.mark.usefixtures("one_thread")

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a data set drawn by an earlier quickstart."""
    draw_pets(tmp_path / "out" / "pets", images=18, size=(80, 64))
    return tmp_path / "out"


@pytest.mark.slow
def test_one_task_shows_its_stages(cli: Cli, out: Path) -> None:
    code, shown, err = cli("quickstart", "--out", out, "--epochs", 1)
    assert code == 0, err
    # Each stage is told once, when it is done, and each phase of what takes long.
    stages = ("data", "train", "evaluate", "predict", "report")
    assert [line.split(":")[0] for line in err.splitlines() if line.startswith(stages)] == list(stages)
    assert {"checking pictures (18)", "loading the network"} <= set(err.splitlines())
    assert shown.startswith("top-1 accuracy 0.")
    assert " on 6 test pictures, " in shown
    assert f"  clary predict {out / 'classification'} {out / 'pets' / 'images' / 'Ginger_Tabby_1.jpg'}\n" in shown
    assert "\nevaluate: accuracy 0." in err


@pytest.mark.parametrize("found", [None, "/usr/bin/clary"], ids=["by its path", "by its name"])
def test_where_clary_is_not_on_the_path_it_is_put_there_first(
    found: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from clary.cli import quickstart
    from clary.local.quickstart import Summary
    from clary.local.run import Run

    (tmp_path / "activate").touch()
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("shutil.which", lambda name: found)
    monkeypatch.chdir(tmp_path)
    summary = Summary("classification", Run(tmp_path / "run"), tmp_path / "my pets")
    quickstart._print([summary])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[:-3] == ([] if found else ["  . activate"])
    assert lines[-3].startswith("  clary predict ")


@pytest.mark.slow
def test_all_tasks_have_a_line_each(cli: Cli, out: Path) -> None:
    code, shown, err = cli("quickstart", "--task", "all", "--out", out, "--epochs", 1)
    assert code == 0, err
    assert "\ndetection  evaluate: mAP 0." in err
    lines = [line.split() for line in shown.splitlines()]
    assert lines[1] == ["task", "metric", "value", "pictures", "time", "report"]
    for line, task, metric in zip(
        lines[2:], ("classification", "detection", "segmentation"), ("accuracy", "mAP", "mIOU"), strict=False
    ):
        assert line[:2] == [task, metric]
        assert 0 <= float(line[2]) <= 1
        assert line[3:5] == ["6", "test"]
        assert line[-1] == str(out / task / "report.html")
        assert (out / task / "report.html").is_file()
    assert " s in all" in shown
    assert f"clary predict {out / 'segmentation'} " in shown
    assert "--output drawn" in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task", "boxes"], "boxes"),
        (["--epochs", "0"], "epochs"),
        (["--dataset", "{colours}", "--task", "detection"], "detection"),
        (["--dataset", "{colours}/nothing"], "does not exist"),
    ],
    ids=["task", "epochs", "no boxes", "no folder"],
)
def test_mistakes(words: list[str], sentence: str, cli: Cli, colours: Callable[..., Path], tmp_path: Path) -> None:
    folder = colours(tmp_path / "colours", {"train": 2})
    code, shown, err = cli("quickstart", "--out", tmp_path / "out", *(word.format(colours=folder) for word in words))
    assert (code, shown) == (2, "")
    assert sentence in err
    assert not (tmp_path / "out").exists()
