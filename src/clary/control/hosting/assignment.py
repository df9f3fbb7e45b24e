"""What the gateway and the worker of a built-in algorithm know of each other: a command line, and a line of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

__all__ = ["Assignment", "command"]

_PROGRAM = "clary.control.hosting.worker"  # named, not imported: it needs libraries that the gateway never loads


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is to serve: a model folder, and the environment of its container definition."""

    model: str
    environment: Mapping[str, str]

    def line(self) -> bytes:
        """As a worker reads it from standard input."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Assignment:
        return cls(**json.loads(line))


def command(listener: int) -> list[str]:
    """The command line of a worker that serves on the inherited file ``listener`` and dies with this process."""
    # -P: the folder the platform was started in may hold files named like modules.
    return [sys.executable, "-P", "-u", "-m", _PROGRAM, "--listener", str(listener), "--parent", str(os.getpid())]
