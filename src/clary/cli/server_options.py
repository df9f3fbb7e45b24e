"""Options that the verbs which listen on a port share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AllowedHost"]

AllowedHost = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-host",
        help="A name besides localhost and its address by which the server may be called, as host.docker.internal "
        "or '*.example.org'; may be given several times.",
        envvar="CLARY_ALLOWED_HOST",
        show_default=False,
        metavar="NAME",
    ),
]
