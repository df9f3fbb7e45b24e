"""``clary report``: one page about a run that stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Write report.html into a run: samples, class counts, curves, confusion matrix, worst mistakes, settings.

    The page needs nothing beside it and can be sent to anyone. Prints its path.
    """
    from clary.local.report import write

    typer.echo(write(run))
