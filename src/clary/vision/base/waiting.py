"""How long OpenMP's threads wait for each other with the processor in hand.

GNU's own 300,000 rounds, some milliseconds, make steps three times as long where another program wants the processor
too (measured), and win nothing elsewhere. The library reads its environment once, when torch is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["spin_less", "waiting"]

NAME, ROUNDS = "GOMP_SPINCOUNT", "10000"


def waiting() -> Mapping[str, str]:
    """The variables of a process that computes; the user's own word stands."""
    return {NAME: os.environ.get(NAME, ROUNDS)}


def spin_less() -> None:
    """Set them for this process. Without effect once torch is loaded."""
    os.environ.update(waiting())
