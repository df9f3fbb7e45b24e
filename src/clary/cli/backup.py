"""``clary backup`` and ``clary restore``: a copy of a home, and a home of a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clary.cli.platform_options import Home, folder

Backup = Annotated[Path, typer.Argument(help="A folder that is not there yet, or empty.", metavar="FOLDER")]
Made = Annotated[Path, typer.Argument(help="A folder that `clary backup` made.", metavar="FOLDER")]


def register(app: typer.Typer) -> None:
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(to: Backup, home: Home = None) -> None:
    """Copy the platform's home, with objects, jobs, models and logs, to a folder; the platform may run meanwhile.

    Jobs that have not ended are failed in the copy; environments are made again where they are needed.
    """
    from clary.control.backup import back_up
    from clary.control.jobs.kinds import KINDS
    from clary.control.settings import Settings

    place = to.expanduser().resolve()
    back_up(Settings(home=folder(home)), place, {kind.name: kind for kind in KINDS})
    typer.echo(place)


def restore(backup: Made, home: Home = None) -> None:
    """Make a home, which must not be there yet or be empty, of a backup."""
    from clary.control.backup import restore as restored

    place = folder(home)
    restored(backup.expanduser().resolve(), place)
    typer.echo(place)
