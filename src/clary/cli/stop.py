"""``clary stop JOB``: end a training job."""

from __future__ import annotations

from typing import Annotated

import typer

from clary.cli.platform_options import Home, folder


def register(app: typer.Typer) -> None:
    app.command("stop")(stop)


def stop(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of the training job.")],
    home: Home = None,
) -> None:
    """Stop a training job; it has two minutes to save its best model, which is kept."""
    from clary.cli.jobs import known
    from clary.cli.output import note
    from clary.client.connection import connect

    with connect(folder(home)) as connection:
        known(connection, "StopTrainingJob", job)
    note(f"{job} is stopping; `clary jobs` shows when it has")
