"""``clary stop JOB``: end a job."""

from __future__ import annotations

from typing import Annotated

import typer

from clary.cli.platform_options import Home, folder


def register(app: typer.Typer) -> None:
    app.command("stop")(stop)


def stop(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    home: Home = None,
) -> None:
    """Stop a training or processing job; it has two minutes to save what it has, which is kept."""
    from clary.cli.jobs import known
    from clary.cli.output import note
    from clary.client.connection import connect

    with connect(folder(home)) as connection:
        kind, _ = known(connection, job)
        kind.call(connection, "Stop", job)
    note(f"{job} is stopping; `clary jobs` shows when it has")
