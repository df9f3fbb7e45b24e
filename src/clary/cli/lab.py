"""``clary lab``: notebooks whose kernels talk to the platform."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from clary.cli.platform_options import Home, folder


def register(app: typer.Typer) -> None:
    app.command("lab")(lab)


def lab(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the notebooks.")] = Path("."),
    home: Home = None,
    port: Annotated[int, typer.Option(help="Port of the notebooks.", min=0, max=65535)] = 8888,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Start JupyterLab; roles, the default bucket and sessions just work in its notebooks."""
    from clary.cli.output import note
    from clary.client import programs
    from clary.errors import MissingPackageError, UsageError

    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingPackageError("notebooks need jupyterlab", hint='pip install "clary[lab]"')
    if not directory.is_dir():
        raise UsageError("is no folder", where=directory, hint="give the folder with your notebooks")
    # This Python's, which was looked at above, not the first on PATH.
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", f"--notebook-dir={directory.resolve()}"]
    sys.exit(programs.run(command if browser else [*command, "--no-browser"], folder(home), tell=note))
