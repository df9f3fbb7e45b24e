"""Showing a run as it goes: plain lines, or a display of a notebook. (A terminal's bar is the command line's.)

Whoever shows runs is a ``Hook`` of the training, and hears of the finished run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from clary.local.progress._base import View
from clary.local.progress.lines import Lines

__all__ = ["Lines", "View", "showing"]


@contextmanager
def showing(wanted: bool) -> Iterator[list[View]]:
    """What shows a run that Python code starts: a display in a notebook, elsewhere lines; nothing unless ``wanted``."""
    views = [_view()] if wanted else []
    try:
        yield views
    except BaseException:
        # A run that fails before its first step closes nobody.
        for view in views:
            view.on_close()
        raise


def _view() -> View:
    if not _in_notebook():
        return Lines()
    from clary.local.progress.notebook import Display

    return Display()


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: IPython in a terminal shows no HTML."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None
