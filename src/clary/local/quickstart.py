"""The whole thread once, on real work: draw (or take) a data set, check, train, evaluate, predict, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from clary.errors import DataError
from clary.local.evaluate import Evaluation
from clary.local.run import Run
from clary.vision.base.events import Hook
from clary.vision.base.types import TaskName
from clary.vision.training.listeners import counting
from clary.vision.training.listeners import tell as listening
from clary.wording import plural

if TYPE_CHECKING:
    from clary.vision.datasets.check import CheckResult

__all__ = ["StageResult", "Summary", "quickstart"]

DRAWN = "drawn"
OXFORD = "oxford-pets"
IMAGES = 240  # drawn, 144 of them to train on
IMAGES_SHOWN = 3

# Passes over the drawn pictures where `clary train` would make many more: heads are learnt in a minute, outlines
# in two, on 2 cores. Photographs need what `clary train` does, so other data sets get that.
DRAWN_EPOCHS: Mapping[TaskName, int] = {"detection": 5, "segmentation": 14}

Showing: TypeAlias = Callable[[], AbstractContextManager[Sequence[Hook]]]


@dataclass(frozen=True, slots=True)
class StageResult:
    """One step done: what it was, what came of it, and the seconds it took."""

    name: str
    result: str
    seconds: float


@dataclass
class Summary:
    """What was done for one task, in ``run``. ``value`` is its ``metric`` (accuracy, mAP, mIOU) in 0..1, measured on
    ``images`` pictures of ``split``."""

    task: TaskName
    run: Run
    dataset: Path
    stages: list[StageResult] = field(default_factory=list)
    metric: str = ""
    value: float = 0.0
    split: str = ""
    images: int = 0
    report: Path = Path()

    @property
    def seconds(self) -> float:
        """Of all stages. The first task's have the making of the data set among them."""
        return sum(stage.seconds for stage in self.stages)


def quickstart(
    out: Path,
    *,
    tasks: Sequence[TaskName] = ("classification",),
    dataset: str = DRAWN,
    source: str | None = None,
    images: int = IMAGES,
    epochs: int | None = None,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
    showing: Showing = lambda: nullcontext(()),
    tell: Callable[[TaskName, StageResult], None] = lambda task, stage: None,
) -> list[Summary]:
    """Run every stage of each task and return what came of them; ``tell`` hears of each stage as it is done.

    ``dataset`` is "drawn" (needs nothing; ``images`` of them), "oxford-pets" (downloads 800 MB, or takes it from
    ``source``), or a folder that has what the tasks need. Runs are left in ``out``, each called like its task; beside
    one of an earlier quickstart the next is called ``<task>-2``, and the data set is used again. ``epochs`` and
    ``settings`` are those of ``clary.train``; ``showing`` gives the listeners of each training.

    All data is checked before the first training. Raises DataError (nothing to learn from, or bad records),
    InterruptedRun, and what ``clary.train`` raises.
    """
    clock = _Clock(tell)
    with showing() as hooks:
        folder = _obtain(out, dataset, source, images, seed, hooks)
        summaries = [Summary(task, Run(_next_place(out, task)), folder) for task in tasks]
        # All of them first: nobody waits for a training to hear of a bad mask.
        checked = []
        for summary in summaries:
            checked.append(_checked(folder, summary.task, seed, hooks))
            data = checked[-1].dataset
            held = f"{len(data)} pictures of {len(data.class_names)} classes in {folder}"
            clock.lap(summary, "data", held)
    for summary, found in zip(summaries, checked, strict=True):
        passes = epochs or (DRAWN_EPOCHS.get(summary.task) if dataset == DRAWN else None)
        _train(summary, found, {**(settings or {}), "epochs": passes, "seed": seed}, showing)
        numbers = summary.run.metrics
        best = f", best {numbers['best_epoch'] + 1}" if any(name.startswith("validation:") for name in numbers) else ""
        clock.lap(summary, "train", f"{plural(numbers['epochs'], 'epoch')}{best}")
        _judge(summary, clock)
    return summaries


def _next_place(out: Path, task: TaskName) -> Path:
    """A folder for a new run: what is there is somebody's work, of an earlier quickstart or not."""
    names = (out / (task if number == 1 else f"{task}-{number}") for number in count(1))
    runs = (Run(folder) for folder in names)
    # A start that failed leaves its name free.
    free = (run for run in runs if not run.path.exists() or (run.came_to_nothing and run.state != "running"))
    return next(free).path


def _obtain(out: Path, dataset: str, source: str | None, images: int, seed: int, hooks: Sequence[Hook]) -> Path:
    """The folder of the data set, made or fetched once and kept."""
    if dataset == DRAWN:
        from clary.drawn import draw_pets

        folder = out / "pets"
        # draw_pets makes the folder whole or not at all, so one that is there can be used.
        if folder.exists():
            return folder
        return draw_pets(folder, images=images, seed=seed, progress=counting(hooks, "drawing pictures", images))
    if dataset == OXFORD:
        from clary.vision.datasets.download import fetch_oxford_pets

        folder = out / OXFORD
        if folder.exists():
            return folder
        return fetch_oxford_pets(
            folder, source, progress=lambda what, *done: listening(hooks, f"fetching {what}", *done)
        )
    # A folder of the user's is read where it is, never copied.
    return Path(dataset)


def _checked(folder: Path, task: TaskName, seed: int, hooks: Sequence[Hook]) -> CheckResult:
    """As the training would read and check it."""
    from clary.vision.datasets.check import examine
    from clary.vision.datasets.reading import ReadingOptions, read

    listening(hooks, "reading pictures")
    found = read(folder, ReadingOptions(seed=seed), task=task)
    result = examine(found, progress=counting(hooks, "checking pictures", len(found)))
    if result.errors:
        what = f"{plural(len(result.errors), 'bad record')}, first {result.errors[0]}"
        raise DataError(what, where=folder, hint=f"`clary data check {folder} --task {task}`")
    return result


def _train(summary: Summary, checked: CheckResult, settings: Mapping[str, object], showing: Showing) -> None:
    from clary.local.train import train

    with showing() as hooks:
        given: dict[str, Any] = {"out": summary.run.path, "settings": settings, "checked": checked}
        train(summary.task, summary.dataset, hooks=hooks, progress=False, **given)


def _judge(summary: Summary, clock: _Clock) -> None:
    """Evaluate, predict some pictures, and write the report."""
    from clary.local import provenance, report
    from clary.local.evaluate import evaluate

    # As it was split for training: where there is no test split, those held out are not on disk as a split.
    found = evaluate(summary.run.model, provenance.dataset(summary.run))
    summary.metric, summary.value = found.main, found.metrics[found.main]
    summary.split, summary.images = found.split, found.count
    if found.split == "test":
        summary.run.record_test(found.metrics, found.count)
    clock.lap(summary, "evaluate", found.summary())
    clock.lap(summary, "predict", _predict(summary, found))
    # With what was measured just now: the report would measure it again.
    summary.report = report.write(summary.run, evaluation=found)
    clock.lap(summary, "report", str(summary.report))


def _predict(summary: Summary, found: Evaluation) -> str:
    """What the model says of some pictures; boxes and masks are drawn into ``predictions`` in the run's folder."""
    from clary.local.predictions import view_of
    from clary.vision.inference.predictor import load

    shown = [sample.image.path for sample in found.samples[:: max(1, found.count // IMAGES_SHOWN)]][:IMAGES_SHOWN]
    said = []
    with load(summary.run.model) as model:
        view = view_of(model.task, top=1, least=0.3)
        for path, prediction in zip(shown, model.predict(shown), strict=True):
            said.append(f"{path.name}: {view.caption(prediction)}".strip())
            if view.draws:
                view.write(prediction, path, summary.run.path / "predictions" / path.stem)
    return ", ".join(said)


class _Clock:
    """Times stages by the gaps between laps."""

    def __init__(self, tell: Callable[[TaskName, StageResult], None]) -> None:
        self._tell = tell
        self._since = time.perf_counter()

    def lap(self, summary: Summary, name: str, result: str) -> None:
        now = time.perf_counter()
        stage = StageResult(name, result, now - self._since)
        # From here, not from the start of the next: what is done between two stages counts to the second.
        self._since = now
        summary.stages.append(stage)
        self._tell(summary.task, stage)
