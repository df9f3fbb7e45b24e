"""The whole thread once, on real work: draw (or take) a data set, check, train, evaluate, predict, report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clary.errors import DataError
from clary.local.run import Run
from clary.vision.base.events import Hook
from clary.vision.base.types import Dataset

__all__ = ["Stage", "Summary", "quickstart"]

DRAWN = "drawn"
OXFORD = "oxford-pets"
PICTURES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """One step done: what it was, what came of it, and the seconds it took."""

    name: str
    result: str
    seconds: float


@dataclass
class Summary:
    """What the quickstart did. ``accuracy`` is top-1 on ``split``, in 0..1."""

    run: Run
    dataset: Path
    stages: list[Stage] = field(default_factory=list)
    accuracy: float = 0.0
    split: str = ""
    pictures: int = 0
    report: Path = Path()


def quickstart(
    out: Path,
    *,
    dataset: str = DRAWN,
    source: str | None = None,
    epochs: int | None = None,
    seed: int = 0,
    hooks: Sequence[Hook] = (),
    echo: Callable[[str], None] | None = None,
    tell: Callable[[Stage], None] = lambda stage: None,
) -> Summary:
    """Run every stage into ``out`` and return what came of them; ``tell`` hears of each as it is done.

    ``dataset`` is "drawn" (needs nothing), "oxford-pets" (downloads 800 MB, or takes it from ``source``), or a
    folder. A folder left by an earlier quickstart is replaced, but for the data set in it.
    """
    from clary.local import report
    from clary.local.evaluate import evaluate
    from clary.local.train import train
    from clary.vision.inference.predictor import load

    clock = _Clock(tell)
    folder = _obtain(out, dataset, source, seed)
    data = _checked(folder)
    clock.lap("data", f"{len(data)} pictures of {len(data.class_names)} classes in {folder}")

    shutil.rmtree(out / "run", ignore_errors=True)
    run = train("classification", folder, out=out / "run", epochs=epochs, seed=seed, hooks=hooks, echo=echo)
    numbers = run.metrics
    count = numbers["epochs"]
    clock.lap("train", f"{count} epoch{'s' if count > 1 else ''}, best {numbers['best_epoch'] + 1}")

    found = evaluate(run.model, folder)
    summary = Summary(run, folder, clock.stages, found.metrics["accuracy"], found.split, found.count)
    clock.lap("evaluate", f"{found.count} pictures of the {found.split} split")

    shown = [found.samples[i].image.path for i in range(0, found.count, max(1, found.count // PICTURES_SHOWN))]
    with load(run.model) as model:
        predictions = model.predict(shown[:PICTURES_SHOWN])
    named = [f"{path.name}: {p.label} {p.score:.2f}" for path, p in zip(shown, predictions, strict=False)]
    clock.lap("predict", ", ".join(named))

    summary.report = report.write(run, evaluation=found)
    clock.lap("report", str(summary.report))
    return summary


def _obtain(out: Path, dataset: str, source: str | None, seed: int) -> Path:
    """The folder of the data set, made or fetched once and kept."""
    if dataset == DRAWN:
        from clary.vision.datasets.drawn import draw_pets

        folder = out / "pets"
        return folder if folder.exists() else draw_pets(folder, seed=seed)
    if dataset == OXFORD:
        from clary.vision.datasets.download import fetch_oxford_pets

        folder = out / OXFORD
        return folder if folder.exists() else fetch_oxford_pets(folder, source)
    return Path(dataset)


def _checked(folder: Path) -> Dataset:
    from clary.vision.datasets.check import check

    result = check(folder)
    errors = [problem for problem in result.problems if problem.severity == "error"]
    if errors:
        raise DataError(
            f"{len(errors)} bad records, first {errors[0]}", where=folder, mend=f"`clary data check {folder}`"
        )
    return result.dataset


class _Clock:
    """Times stages by the gaps between laps."""

    def __init__(self, tell: Callable[[Stage], None]) -> None:
        self.stages: list[Stage] = []
        self._tell = tell
        self._since = time.perf_counter()

    def lap(self, name: str, result: str) -> None:
        now = time.perf_counter()
        stage = Stage(name, result, now - self._since)
        self._since = now
        self.stages.append(stage)
        self._tell(stage)
