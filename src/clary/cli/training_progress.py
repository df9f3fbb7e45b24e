"""Showing a training run as it goes: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clary.vision.base.events import BatchEnd, EpochEnd, Hook, RunStart

__all__ = ["bar", "lines", "progress"]

Showing = tuple[Sequence[Hook], Callable[[str], None] | None]


def progress() -> AbstractContextManager[Showing]:
    """A progress bar on a terminal, the job's own log lines elsewhere."""
    return bar() if sys.stderr.isatty() else lines()


@contextmanager
def bar() -> Iterator[Showing]:
    """One bar for the whole run on standard error, a line for each finished epoch above it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield [_Bar(progress)], None


@contextmanager
def lines() -> Iterator[Showing]:
    """Each log line on standard error as it comes."""
    yield [], lambda line: print(line, file=sys.stderr, flush=True)


class _Bar(Hook):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("reading pictures", total=None, speed="")

    def on_start(self, event: RunStart) -> None:
        self._epochs = event.epochs
        total = event.epochs * event.steps_per_epoch
        self._progress.update(self._task, total=total, completed=event.first_step, description="training")

    def on_batch(self, event: BatchEnd) -> None:
        # A clock that does not move between two events divides by zero.
        speed = event.samples / max(event.seconds, 1e-9)
        self._progress.update(
            self._task,
            completed=event.global_step,
            description=f"epoch {event.epoch + 1}/{self._epochs}",
            speed=f"{speed:.0f} pictures/s  loss {event.loss:.3f}",
        )

    def on_epoch(self, event: EpochEnd) -> None:
        shown = [f"train {_said(event.train)}"]
        if event.validation:
            shown.append(f"validation {_said(event.validation)}{'  best' if event.best else ''}")
        self._progress.console.print(f"epoch {event.epoch + 1:3d}  {'  '.join(shown)}  {event.seconds:.1f} s")


def _said(metrics: Mapping[str, float]) -> str:
    """The number the task is judged by; where it is not measured (boxes while training), the loss."""
    # Brings numpy, and every verb's module is loaded for every command.
    from clary.vision.tasks import main_metric

    name = main_metric(metrics) or "loss"
    number = f"{metrics[name]:.4f}"
    return number if name == "accuracy" else f"{name} {number}"
