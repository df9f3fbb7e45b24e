"""What the environment of a process that trains must say before torch is loaded, which reads it once.

``GOMP_SPINCOUNT``: how long OpenMP's threads wait for each other with the processor in hand. GNU's own 300,000 rounds,
some milliseconds, make steps three times as long where another program wants the processor too, and win nothing
elsewhere. Steps a second of Lite0 on two cores of an EPYC, alone and beside a busy loop: 3.01 and 1.06 with 10,000
rounds, 2.94 and 1.42 with 3,000, 2.87 and 1.60 with 1,000. (``THP_MEM_ALLOC_ENABLE`` was tried: steps of a ResNet-50
are 4 % shorter at most, for 30 % more memory; on another machine those of Lite0 took 0.97 and of ResNet-18 1.01 of the
processor time, for 13 % more.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["set_torch_environment", "torch_environment"]

OURS = {"GOMP_SPINCOUNT": "3000"}


def torch_environment() -> Mapping[str, str]:
    """The variables of a process that trains; the user's own word stands."""
    return {name: os.environ.get(name, value) for name, value in OURS.items()}


def set_torch_environment() -> None:
    """Set them for this process. Without effect once torch is loaded."""
    os.environ.update(torch_environment())
