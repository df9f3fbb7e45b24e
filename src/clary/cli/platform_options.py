"""Options that the platform's verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clary.control.settings import default_home

__all__ = ["Home", "Json", "folder"]

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of the platform.", envvar="CLARY_HOME", show_default="~/.clary", metavar="DIR"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def folder(home: Path | None) -> Path:
    """The home that ``--home`` means, absolute."""
    # Absolute, since the gateway and what it starts run in other folders.
    return (home or default_home()).expanduser().resolve()
