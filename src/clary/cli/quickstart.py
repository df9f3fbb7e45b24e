"""``clary quickstart``: the whole thread once, and the next three commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("quickstart")(quickstart)


def quickstart(
    dataset: Annotated[
        str, typer.Option(help="drawn (needs no download), oxford-pets (800 MB), or a folder of yours.")
    ] = "drawn",
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("quickstart"),
    source: Annotated[str | None, typer.Option("--from", help="Folder or URL with the Oxford archives.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the drawing and the training.")] = 0,
) -> None:
    """From nothing to a trained, evaluated and reported classifier.

    Draws a small set of pets (or takes yours), checks it, fine-tunes a pretrained network, evaluates it on pictures
    it has not seen, predicts a few and writes report.html.
    """
    from clary.cli.output import note, table
    from clary.cli.train import progress
    from clary.local.quickstart import quickstart as run_quickstart

    with progress() as (hooks, echo):
        summary = run_quickstart(out, dataset=dataset, source=source, epochs=epochs, seed=seed, hooks=hooks, echo=echo)
    rows = [[stage.name, stage.result, f"{stage.seconds:.1f} s"] for stage in summary.stages]
    table("Quickstart", ["stage", "result", "time"], rows)
    picture = next(iter(sorted((summary.dataset / "images").glob("*.jpg"))), Path("PICTURE.jpg"))
    total = sum(stage.seconds for stage in summary.stages)
    typer.echo(
        f"\ntop-1 accuracy {summary.accuracy:.3f} on {summary.pictures} {summary.split} pictures, {total:.0f} s in all"
    )
    note("next:")
    for command in (
        f"clary predict {summary.run.path} {picture}",
        f"clary serve {summary.run.path}",
        "clary train classification FOLDER_OF_PICTURES",
    ):
        typer.echo(f"  {command}")
