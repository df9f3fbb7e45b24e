"""What the environment of a process that trains must say before torch is loaded, which reads it once.

``GOMP_SPINCOUNT``: how long OpenMP's threads wait for each other with the processor in hand. GNU's own 300,000 rounds,
some milliseconds, make steps three times as long where another program wants the processor too, and win nothing
elsewhere. (``THP_MEM_ALLOC_ENABLE`` was tried: steps of a ResNet-50 are 4 % shorter at most, for 30 % more memory; on
another machine those of Lite0 took 0.97 and of ResNet-18 1.01 of the processor time, for 13 % more.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["set_torch_environment", "torch_environment"]

OURS = {"GOMP_SPINCOUNT": "10000"}


def torch_environment() -> Mapping[str, str]:
    """The variables of a process that trains; the user's own word stands."""
    return {name: os.environ.get(name, value) for name, value in OURS.items()}


def set_torch_environment() -> None:
    """Set them for this process. Without effect once torch is loaded."""
    os.environ.update(torch_environment())
