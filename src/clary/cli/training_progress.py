"""Showing a training run as it goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from clary.local.progress import Lines
from clary.local.progress._base import epoch_said, notes_said, pictures_per_second, start_said
from clary.vision.base.events import BatchEnd, EpochEnd, Hook, Preparation, RunEnd, RunStart, ValidationBatchEnd
from clary.vision.base.other_programs import OtherPrograms
from clary.wording import clock

if TYPE_CHECKING:
    from clary.local.run import Run

__all__ = ["bar", "lines", "progress"]


def progress() -> AbstractContextManager[Sequence[Hook]]:
    """What listens to a training and shows it."""
    return bar() if sys.stderr.isatty() else lines()


@contextmanager
def bar() -> Iterator[Sequence[Hook]]:
    """One bar on standard error for whatever is done at a time; what a run begins with and each finished epoch stay
    above it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[counted]}"),
        TextColumn("{task.fields[remark]}", style="dim"),
        _Time(),
    )
    # Transient: of what is done its line says more.
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield [_Bar(progress)]


@contextmanager
def lines() -> Iterator[Sequence[Hook]]:
    """A line a phase and an epoch on standard error."""
    yield [_Lines()]


class _Lines(Lines):
    def on_model(self, run: Run) -> None:
        """Nothing: the command says it, with what was reached, on standard output."""


class _Time(TimeRemainingColumn):
    """What is left, or, where nobody knows how much there is, what has passed."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total else Text(clock(task.elapsed or 0.0), style="dim")


class _Bar(Hook):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._others = OtherPrograms()
        self._phase = ""
        self._steps = self._epochs = 0
        self._begin("starting")

    def on_preparation(self, event: Preparation) -> None:
        self._begin(event.what)
        self._show(event.what, event.done, event.total)

    def on_start(self, event: RunStart) -> None:
        self._epochs, self._steps = event.epochs, event.epochs * event.steps_per_epoch
        print_line = self._progress.console.print
        print_line(Text(" · ".join(start_said(event)), style="bold"))
        for note in notes_said(event):
            print_line(Text(f"note: {note}"))
        if sharing := self._others.sharing():
            print_line(Text(str(sharing), style="yellow"))
        self._begin("training")
        self._show("training", event.first_step, self._steps)

    def on_batch(self, event: BatchEnd) -> None:
        remark = f"{pictures_per_second(event.samples, event.seconds)}  loss {event.loss:.3f}"
        self._show(f"epoch {event.epoch + 1}/{self._epochs}", event.global_step, self._steps, remark)

    def on_validation_batch(self, event: ValidationBatchEnd) -> None:
        self._progress.update(self._task, description=f"epoch {event.epoch + 1}/{self._epochs} validation")

    def on_epoch(self, event: EpochEnd) -> None:
        number, *measured, took = epoch_said(event, self._epochs)
        line = Text.assemble((number, "bold"), "   ", "   ".join(measured))
        if event.validation:
            # As wide without it: what follows stays in its column.
            line.append(f"  {'best' if event.best else '':4}", "green")
        self._progress.console.print(line.append(f"   {took}", "dim"))

    def on_end(self, event: RunEnd) -> None:
        self._begin("writing the model")

    def _begin(self, phase: str) -> None:
        """A bar of its own for each phase, so that none has the time of another."""
        if phase == self._phase:
            return
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._phase = phase
        self._task = self._progress.add_task(phase, total=None, counted="", remark="")

    def _show(self, description: str, done: int, total: int | None, remark: str = "") -> None:
        counted = f"{done:,}/{total:,}" if total else f"{done:,}" if done else ""
        self._progress.update(
            self._task, description=description, completed=done, total=total, counted=counted, remark=remark
        )
