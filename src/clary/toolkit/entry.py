"""What the toolkit's own programs share: a line for the log, and an end by a signal."""

from __future__ import annotations

import sys
from types import FrameType
from typing import NoReturn

__all__ = ["end_by_signal", "say"]


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    # Whoever follows the log reads line by line, and the user's program writes to the same place.
    sys.stdout.flush()


def end_by_signal(number: int, frame: FrameType | None) -> NoReturn:
    """A handler for while an environment is made: by the exception what was half made goes."""
    sys.exit(128 + number)
