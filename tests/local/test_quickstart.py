"""The quickstart of each task, on a few small drawn pets and a tiny network."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import clary
from clary.drawn import draw_pets
from clary.errors import DataError, InterruptedRun, UsageError
from clary.local.quickstart import DRAWN_EPOCHS, StageResult, Summary, quickstart
from clary.vision.base.events import BatchEnd, Hook, Preparation
from clary.vision.base.types import TaskName
from clary.vision.tasks import TASKS

pytestmark = pytest.mark.usefixtures("one_thread")

TINY: dict[str, Any] = {
    "backbone": "test_resnet",
    "use_pretrained_model": 0,
    "mini_batch_size": 6,
    "precision": "fp32",
    "learning_rate": 0.001,
}
CLASSIFIER = TINY | {"image_shape": "3,32,32"}
STAGES = ["data", "train", "evaluate", "predict", "report"]


def few_pets(folder: Path) -> Path:
    """Eighteen pets, two of each breed to train on."""
    return draw_pets(folder, images=18, size=(80, 64))


@pytest.fixture(scope="module")
def told() -> list[tuple[TaskName, StageResult]]:
    return []


@pytest.fixture(scope="module")
def done(
    one_thread: None, tmp_path_factory: pytest.TempPathFactory, told: list[tuple[TaskName, StageResult]]
) -> dict[str, Summary]:
    """All three tasks, gone through once, by name."""
    out = tmp_path_factory.mktemp("quickstart") / "out"
    few_pets(out / "pets")
    settings = {
        name: value for name, value in TINY.items() if name != "precision"
    }  # segmentation has a name of its own
    found = quickstart(out, tasks=TASKS.names(), settings=settings, tell=lambda task, stage: told.append((task, stage)))
    return {summary.task: summary for summary in found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "metric"), [("classification", "accuracy"), ("detection", "mAP"), ("segmentation", "mIOU")]
)
def test_every_task_goes_through_every_stage(task: str, metric: str, done: dict[str, Summary]) -> None:
    found = done[task]
    assert [stage.name for stage in found.stages] == STAGES
    assert all(stage.result for stage in found.stages)
    assert found.seconds == pytest.approx(sum(stage.seconds for stage in found.stages))
    assert (found.metric, found.split, found.images) == (metric, "test", 6)
    assert 0 <= found.value <= 1
    again = clary.evaluate(found.run.model, found.dataset)
    assert found.value == pytest.approx(again.metrics[metric], abs=1e-6)
    assert found.report == found.run.path / "report.html"
    assert found.report.is_file()


@pytest.mark.slow
def test_each_has_its_own_folder(done: dict[str, Summary]) -> None:
    (out,) = {summary.run.path.parent for summary in done.values()}
    assert {path.name for path in out.iterdir()} == {"pets", *TASKS.names()}
    assert {summary.dataset for summary in done.values()} == {out / "pets"}


@pytest.mark.slow
def test_all_data_is_checked_before_the_first_training(
    done: dict[str, Summary], told: list[tuple[TaskName, StageResult]]
) -> None:
    assert [task for task, stage in told if stage.name == "data"] == TASKS.names()
    assert [stage.name for _, stage in told[:3]] == ["data"] * 3
    assert [stage for task, stage in told if task == "detection"] == done["detection"].stages


@pytest.mark.slow
def test_drawn_boxes_and_masks_are_learnt_in_fewer_epochs(done: dict[str, Summary]) -> None:
    for task, epochs in DRAWN_EPOCHS.items():
        assert done[task].run.metrics["epochs"] == epochs


@pytest.mark.slow
def test_predictions_are_drawn(done: dict[str, Summary]) -> None:
    assert not (done["classification"].run.path / "predictions").exists()
    assert len(list((done["detection"].run.path / "predictions").glob("*.jpg"))) == 3
    masks = sorted((done["segmentation"].run.path / "predictions").glob("*.mask.png"))
    assert len(masks) == 3
    assert set(np.unique(np.asarray(Image.open(masks[0])))) <= {0, 1, 2}


def test_an_earlier_run_stays_and_its_data_set_is_used_again(tmp_path: Path) -> None:
    pets = few_pets(tmp_path / "pets")
    before = {path: path.stat().st_mtime_ns for path in pets.rglob("*")}
    (summary,) = quickstart(tmp_path, epochs=1, settings=CLASSIFIER)
    model = summary.run.model.read_bytes()
    (again,) = quickstart(tmp_path, epochs=1, settings=CLASSIFIER)
    assert (summary.run.path, again.run.path) == (tmp_path / "classification", tmp_path / "classification-2")
    assert again.run.finished
    assert summary.run.model.read_bytes() == model
    assert {path: path.stat().st_mtime_ns for path in pets.rglob("*")} == before


def test_pictures_are_read_and_checked_once(tmp_path: Path) -> None:
    """They were checked before the training, and by it."""
    few_pets(tmp_path / "pets")
    phases: list[str] = []

    class Listener(Hook):
        def on_preparation(self, event: Preparation) -> None:
            if not phases or phases[-1] != event.what:
                phases.append(event.what)

    @contextmanager
    def showing() -> Iterator[list[Hook]]:
        yield [Listener()]

    (summary,) = quickstart(tmp_path, epochs=1, settings=CLASSIFIER, showing=showing)
    assert [what for what in phases if what.endswith("ing pictures")][:2] == ["reading pictures", "checking pictures"]
    assert (phases.count("reading pictures"), phases.count("checking pictures")) == (1, 1)
    assert summary.run.config["dataset"]["pictures"] == {"train": 12, "test": 6}


def test_what_is_not_a_run_stays(tmp_path: Path) -> None:
    few_pets(tmp_path / "pets")
    (tmp_path / "classification").mkdir()
    (tmp_path / "classification" / "mine.txt").touch()
    (summary,) = quickstart(tmp_path, epochs=1, settings=CLASSIFIER)
    assert summary.run.path == tmp_path / "classification-2"
    assert [path.name for path in (tmp_path / "classification").iterdir()] == ["mine.txt"]


def test_a_folder_without_a_test_split_is_judged_on_what_was_held_out(
    tmp_path: Path, colours: Callable[..., Path]
) -> None:
    folder = colours(tmp_path / "colours", {"train": 5})
    (summary,) = quickstart(tmp_path / "out", dataset=str(folder), epochs=1, settings=CLASSIFIER)
    assert (summary.dataset, summary.split, summary.images) == (folder, "validation", 3)


def test_a_folder_that_lacks_boxes(tmp_path: Path, colours: Callable[..., Path]) -> None:
    folder = colours(tmp_path / "colours", {"train": 5})
    with pytest.raises(UsageError, match="detection"):
        quickstart(tmp_path / "out", tasks=TASKS.names(), dataset=str(folder), epochs=1, settings=CLASSIFIER)
    assert not (tmp_path / "out").exists()


def test_bad_records_are_told_of_before_any_training(tmp_path: Path) -> None:
    pets = few_pets(tmp_path / "pets")
    Image.new("L", (8, 8)).save(pets / "annotations" / "trimaps" / "Siamese_1.png")
    with pytest.raises(
        DataError, match=r"1 bad record, first .*Siamese_1.png.*clary data check .* --task segmentation"
    ):
        quickstart(tmp_path, tasks=TASKS.names(), epochs=1, settings=TINY)
    assert not (tmp_path / "classification").exists()


def test_the_oxford_set_from_a_folder(tmp_path: Path) -> None:
    source = few_pets(tmp_path / "source")
    found = quickstart(
        tmp_path / "out",
        tasks=("classification", "detection"),
        dataset="oxford-pets",
        source=str(source),
        epochs=1,
        settings=TINY,
    )
    assert [summary.dataset for summary in found] == [tmp_path / "out" / "oxford-pets"] * 2
    assert [summary.run.metrics["epochs"] for summary in found] == [1, 1]


def test_stopping_says_how_to_go_on(tmp_path: Path) -> None:
    class Stop(Hook):
        def on_batch(self, event: BatchEnd) -> None:
            signal.raise_signal(signal.SIGINT)

    @contextmanager
    def showing() -> Iterator[Any]:
        yield [Stop()]

    few_pets(tmp_path / "pets")
    with pytest.raises(InterruptedRun) as stopped:
        quickstart(tmp_path, epochs=2, settings=CLASSIFIER, showing=showing)
    run = tmp_path / "classification"
    assert stopped.value.hint == f"go on with `clary train --resume {run}`"
    assert clary.resume(run).metrics["epochs"] == 2
