"""``clary env``: the environment that sends AWS programs to the platform, as lines for a shell."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from clary.cli.platform_options import Home, Json, folder


def register(app: typer.Typer) -> None:
    app.command("env")(env)


def env(
    home: Home = None,
    shell: Annotated[str, typer.Option(help="sh, fish or powershell.")] = "sh",
    json: Json = False,
) -> None:
    """Print what to evaluate in a shell: eval "$(clary env)"; from then on AWS programs run here."""
    from clary.cli.output import emit
    from clary.client import environment, gateway
    from clary.errors import UsageError

    if shell not in environment.SHELLS:
        known = ", ".join(environment.SHELLS)
        raise UsageError(f"`{shell}` is no shell known here", where="--shell", hint=f"use one of {known}")
    changes = environment.changes(gateway.running(folder(home)), os.environ)
    if json:
        emit({"set": dict(changes.values), "unset": list(changes.unset)})
    else:
        print(changes.script(shell))
