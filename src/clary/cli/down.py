"""``clary down``: stop the platform."""

from __future__ import annotations

import typer

from clary.cli.platform_options import Home, folder


def register(app: typer.Typer) -> None:
    app.command("down")(down)


def down(home: Home = None) -> None:
    """Stop the platform; jobs go on, and the next `clary up` finds them again."""
    from clary.cli.output import note
    from clary.client import gateway

    # Jobs are not stopped: each has a monitor of its own, which the next gateway finds.
    process = gateway.stop(folder(home))
    note(f"stopped (process {process}); running jobs go on by themselves")
