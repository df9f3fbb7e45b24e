"""Options that the platform's verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clary.control.settings import default_home

__all__ = ["Config", "Home", "Json", "folder"]

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the platform.", envvar="CLARY_HOME", show_default="~/.clary", metavar="DIR"),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="What container images run here, and in which Python environments.",
        envvar="CLARY_CONFIG",
        show_default="DIR/clary.toml",
        metavar="FILE",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def folder(home: Path | None) -> Path:
    """The home that ``--home`` means, absolute."""
    # Absolute, since the gateway and what it starts run in other folders.
    return (home or default_home()).expanduser().resolve()
