"""``clary run COMMAND``: a program written for AWS, here."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Annotated

import typer

from clary.cli.platform_options import Home, folder


def register(app: typer.Typer) -> None:
    # What follows the command is the command's own, options too.
    settings = {"allow_interspersed_args": False, "ignore_unknown_options": True}
    app.command("run", context_settings=settings)(run)


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The program and its arguments.")],
    home: Home = None,
) -> None:
    """Run a program with AWS being this machine.

    Starts the platform for that time if none runs. Says of each job that a Python program creates how to follow it. The
    exit code is the program's.
    """
    from clary.cli.output import note
    from clary.client import programs

    usual = home is None or str(home) == os.environ.get("CLARY_HOME")
    place = "" if usual else f" --home {shlex.quote(str(folder(home)))}"
    sys.exit(programs.run(command, folder(home), follow=f"clary logs {{}} -f{place}", tell=note))
