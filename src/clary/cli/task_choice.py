"""The option that names a task: one of those that are installed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clary.registry import declared, own_members

__all__ = ["Task", "task_option"]

FAMILY, PACKAGE = "tasks", "clary.vision.tasks"


def task_option(meaning: str, *more: str) -> Any:
    """An option that takes the names of tasks, and ``more`` words."""

    def parse(text: str) -> str:
        names = [*declared(FAMILY, PACKAGE), *more]
        if text not in names:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, names))}.")
        return text

    # Help shows Clary's own tasks only: to look for those of other distributions took a third of `clary --help`'s time
    # (0.15 s against 0.11), and no task is loaded for it, since that would bring numpy.
    return typer.Option(parser=parse, metavar=f"<{'|'.join([*own_members(PACKAGE), *more])}>", help=meaning)


Task = Annotated[str | None, task_option("What to read it for; by default what it holds.")]
