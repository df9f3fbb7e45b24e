"""``clary quickstart``: the whole thread once, and the next three commands."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clary.cli.task_choice import task_option
from clary.wording import duration

if TYPE_CHECKING:
    from clary.local.quickstart import StageResult, Summary


ALL = "all"


def register(app: typer.Typer) -> None:
    app.command("quickstart")(quickstart)


def quickstart(
    task: Annotated[str, task_option("What to train, or all of them one after the other.", ALL)] = "classification",
    dataset: Annotated[
        str, typer.Option(help="drawn (needs no download), oxford-pets (800 MB), or a folder of yours.")
    ] = "drawn",
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("quickstart"),
    source: Annotated[str | None, typer.Option("--from", help="Folder or URL with the Oxford archives.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the drawing and the training.")] = 0,
) -> None:
    """From nothing to trained, evaluated and reported models: classes, boxes, masks.

    Draws a small set of pets (or takes yours), checks it, fine-tunes a pretrained network, evaluates it on pictures
    it has not seen, predicts a few and writes report.html; a folder of its own for each task.
    """
    from clary.cli.output import note
    from clary.cli.training_progress import progress
    from clary.local.quickstart import quickstart as run_quickstart
    from clary.vision.formats.oxford import FORMAT
    from clary.vision.tasks import TASKS

    # All that the sets of pets hold: what else is installed needs pictures of its own.
    tasks = [name for name in TASKS.names() if name in FORMAT.tasks] if task == ALL else [task]
    # Who trains one thing knows which.
    several = tasks if len(tasks) > 1 else ()
    summaries = run_quickstart(
        out,
        tasks=tasks,
        dataset=dataset,
        source=source,
        epochs=epochs,
        seed=seed,
        showing=progress,
        tell=lambda task, stage: note(f"{task + '  ' if task in several else ''}{_stage(stage)}"),
    )
    _print(summaries)


def _print(summaries: Sequence[Summary]) -> None:
    """What was reached, a line for each of several tasks; what to do next."""
    from clary.cli.output import note, table
    from clary.vision.tasks import TASKS

    total = f"{sum(summary.seconds for summary in summaries):.0f} s in all"
    first = summaries[0]
    if len(summaries) == 1:
        name = "top-1 accuracy" if first.metric == "accuracy" else first.metric
        typer.echo(f"{name} {first.value:.3f} on {first.images} {first.split} pictures, {total}")
    else:
        columns = ["task", "metric", "value", "pictures", "time", "report"]
        table("Quickstart", columns, [_row(summary) for summary in summaries])
        typer.echo(f"\n{total}")
    image = next(iter(sorted((first.dataset / "images").glob("*.jpg"))), Path("PICTURE.jpg"))
    note("next:")
    last = summaries[-1]
    path = shlex.quote(str(last.run.path))
    drawn = " --output drawn" if TASKS.get(last.task).localises else ""
    # `make quickstart` names the program by its path: the words below must work in the shell it was called from.
    activate = Path(sys.executable).parent / "activate"
    if shutil.which("clary") is None and activate.is_file():
        typer.echo(f"  . {shlex.quote(os.path.relpath(activate))}")
    for command in (
        f"clary predict {path} {shlex.quote(str(image))}{drawn}",
        f"clary serve {path}",
        f"clary train {last.task} FOLDER_OF_PICTURES",
    ):
        typer.echo(f"  {command}")


def _stage(stage: StageResult) -> str:
    return f"{stage.name}: {stage.result}, {duration(stage.seconds)}"


def _row(summary: Summary) -> list[str]:
    judged = f"{summary.images} {summary.split}"
    return [
        summary.task,
        summary.metric,
        f"{summary.value:.3f}",
        judged,
        f"{summary.seconds:.1f} s",
        str(summary.report),
    ]
