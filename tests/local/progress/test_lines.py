"""Plain lines of a run: which there are, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clary
from clary.local.progress import Lines, showing
from clary.vision.base.events import EpochEnd, Preparation, RunEnd, RunStart
from clary.vision.base.other_programs import OtherPrograms, Sharing
from clary.vision.base.types import Blob, Dataset, Problem, Sample

pytestmark = pytest.mark.usefixtures("one_thread")


def dataset(**sizes: int) -> Dataset:
    sample = Sample(Blob(Path("a.jpg")), (0,))
    splits = {name: (sample,) * count for name, count in sizes.items()}
    return Dataset(Path("pets"), "folder", ("cat", "dog"), splits)  # type: ignore[arg-type]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> tuple[Lines, list[str]]:
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: None)
    lines: list[str] = []
    return Lines(lines.append), lines


def test_a_phase_is_one_line_and_more_only_while_it_lasts(
    said: tuple[Lines, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    view, lines = said
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    view.on_preparation(Preparation("reading pictures"))
    for done in range(0, 2001, 500):
        view.on_preparation(Preparation("checking pictures", done, 2000))
        now[0] += 3.0
    for done in range(4):
        view.on_preparation(Preparation("trying bf16 and fp32", done))
        now[0] += 3.0
    assert lines == [
        "reading pictures",
        "checking pictures (2,000)",
        "checking pictures: 1,000 of 2,000",
        "trying bf16 and fp32",
        "trying bf16 and fp32: 2",
    ]


def test_the_start_is_one_line_with_all_of_it(said: tuple[Lines, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    view, lines = said
    start = RunStart(None, None, 5, 36, 0, "bf16", precision_reason="1.7 times as fast as fp32")
    about = {"dataset": dataset(train=1440, validation=48, test=1), "network_name": "tf_efficientnet_lite0"}
    view.on_start(replaced(start, device="CPU, 2 threads", image_sizes=(224,), **about))
    first = "start: pictures: 1,440 train, 48 validation, 1 test; 2 classes; tf_efficientnet_lite0; "
    # Why it is bf16 stands in the log: the line is for who waits.
    assert lines == [f"{first}CPU, 2 threads; bf16"]
    monkeypatch.setattr(OtherPrograms, "sharing", lambda self: Sharing(2, 1.8, 2))
    view.on_start(replaced(start, first_step=17))
    busy = "2 other programs are busy on this machine (1.8 of 2 cores): training takes up to twice as long"
    assert lines[1:] == ["start: resumed at step 18; bf16", f"busy: {busy}"]


def test_a_network_that_learnt_nothing_before_says_so(said: tuple[Lines, list[str]]) -> None:
    view, lines = said
    view.on_start(RunStart(None, None, 5, 36, 0, "fp32", network_name="resnet50", random_weights=True))
    note = "starts from random weights; use_pretrained_model=1 takes pretrained ones (`clary weights` lists those here)"
    assert lines == ["start: resnet50; random weights; fp32", f"note: {note}"]


def test_of_pictures_that_are_waited_for_the_whole_is_said(said: tuple[Lines, list[str]]) -> None:
    view, lines = said
    view.on_preparation(Preparation("decoding pictures", 0, 36, 144))
    view.on_preparation(Preparation("decoding others", 0, 36, 36))
    assert lines == ["decoding pictures (36 of 144)", "decoding others (36)"]


def test_what_was_noted_of_the_pictures_is_said(said: tuple[Lines, list[str]]) -> None:
    view, lines = said
    problems = (
        Problem("masks", "has masks of 0 and 255 only", "255 is class 1", "note"),
        Problem("images", "has 2 files hidden or no picture", "", "note", 2, "hidden or no picture"),
    )
    noted = Dataset(Path("pets"), "masks", ("a", "b"), {"train": ()}, "segmentation", problems=problems)
    view.on_start(RunStart(None, None, 2, 3, 0, "fp32", dataset=noted))
    assert lines[1:] == [
        "note: masks: has masks of 0 and 255 only; 255 is class 1",
        "note: left out: 2 files or records (2 hidden or no picture)",
    ]


def test_sizes_that_change_are_said(said: tuple[Lines, list[str]]) -> None:
    view, lines = said
    view.on_start(RunStart(None, None, 8, 7, 0, "bf16", device="CPU", image_sizes=(128, 160, 224)))
    assert lines == ["start: 128 -> 160 -> 224 pixels; CPU; bf16"]


def replaced(start: RunStart, **changes: object) -> RunStart:
    from dataclasses import replace

    return replace(start, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("train", "validation", "line"),
    [
        (
            {"accuracy": 0.8125, "loss": 0.5123},
            {"accuracy": 0.90625, "loss": 0.4},
            "train accuracy 0.8125 loss 0.512; validation accuracy 0.9062 loss 0.400 best",
        ),
        ({"loss": 1.5, "cross_entropy": 1.0}, {"mAP": 0.5}, "train loss 1.500; validation mAP 0.5000 best"),
        ({"loss": 1.5}, {}, "train loss 1.500"),
        ({"degrees": 3.25}, {}, "train degrees 3.2500"),
    ],
    ids=["classification", "detection", "no validation", "a task of others"],
)
def test_an_epoch_names_its_metrics(
    train: dict[str, float], validation: dict[str, float], line: str, said: tuple[Lines, list[str]]
) -> None:
    view, lines = said
    view.on_start(RunStart(None, None, 12, 36, 0, "fp32"))
    view.on_epoch(EpochEnd(0, train, validation, 3.0, 0.1, True, samples=144, validation_seconds=0.5))
    assert lines[1:] == [f"epoch  1/12: {line}; 3.5 s; 48 pictures/s"]


def test_the_end(said: tuple[Lines, list[str]], tmp_path: Path) -> None:
    view, lines = said
    view.on_end(RunEnd("early_stopping", 7, 3, 130.0))
    (tmp_path / "model.tar.gz").touch()
    view.on_model(clary.Run(tmp_path))
    end = "end: best epoch 4 of 7 (stopped early: no gain any more), 2 min 10 s"
    assert lines == [end, "writing the model", f"model: {tmp_path / 'model.tar.gz'}"]
    view.on_end(RunEnd("completed", 8, 7, 37.6, validated=False))
    assert lines[3] == "end: last epoch 8 of 8, 37.6 s"


def test_python_programs_have_lines_and_may_silence_them(
    colours: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = colours(tmp_path / "colours", {"train": 4})
    settings: dict[str, Any] = {
        "backbone": "test_resnet",
        "use_pretrained_model": 0,
        "image_shape": "3,32,32",
        "mini_batch_size": 4,
    }
    about: dict[str, Any] = {**settings, "precision": "fp32"}
    run = clary.train("classification", data, out=tmp_path / "run", epochs=2, **about)
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if not line.startswith("busy: ")]
    assert out == ""
    start = next(place for place, line in enumerate(lines) if line.startswith("start: "))
    assert lines[0] == "reading pictures"
    assert {"loading PyTorch", "loading the network", "decoding pictures (4 of 9)"} <= set(lines)
    expected = "start: pictures: 9 train, 3 validation; 3 classes; test_resnet; random weights; CPU, 1 thread; fp32"
    assert lines[start] == expected
    after = [
        line for line in lines[start + 1 :] if line != "decoding pictures (4 of 9)" and not line.startswith("note: ")
    ]
    assert [line.split(":")[0] for line in after] == ["epoch 1/2", "epoch 2/2", "end", "writing the model", "model"]
    assert after[-1] == f"model: {run.model}"
    # Nothing of SageMaker's, which is in the run's log.
    assert not any(line.startswith("[") for line in lines)
    assert "Epoch[1] Validation-accuracy=" in run.log
    clary.train("classification", data, out=tmp_path / "quiet", epochs=1, progress=False, **about)
    assert capsys.readouterr() == ("", "")


def test_without_a_kernel_there_are_lines() -> None:
    with showing(True) as views:
        assert [type(view) for view in views] == [Lines]
    with showing(False) as views:
        assert views == []
