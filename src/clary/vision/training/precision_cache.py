"""Which precision was found faster, kept in the file CLARY_PRECISION_CACHE names, so that a network is tried only once.

A platform sets the variable for its jobs; without it every run tries anew. Only what is certain is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from clary.errors import UsageError
from clary.vision.base.events import Way
from clary.vision.base.files import write_json

__all__ = ["Choice", "PrecisionCache"]

MOST = 1000  # networks kept; the oldest go first


class Choice(NamedTuple):
    """The arithmetic of a run, "fp32" or "bf16", and in words why."""

    precision: str
    reason: str


@dataclass(frozen=True, slots=True)
class PrecisionCache:
    """The outcome for one network on pictures of one size, on this machine."""

    path: Path | None
    key: str

    @classmethod
    def of(cls, network: nn.Module, shape: Sequence[int], way: Way = "plain") -> PrecisionCache:
        """``shape`` is a picture's, ``way`` that of steps in bf16. Number of threads and version of torch are parts of
        the machine."""
        named = os.environ.get("CLARY_PRECISION_CACHE")
        # What is frozen counts: it has no backward pass, which is what bf16 is slow at in depthwise convolutions.
        weights = [(name, list(weight.shape), weight.requires_grad) for name, weight in network.named_parameters()]
        # A home may be shared by several machines, of which one has bf16.
        machine = [platform.node(), platform.processor(), torch.get_num_threads(), torch.__version__]
        # The plain way's key is that of before there was another: what was found then is still so.
        others = [] if way == "plain" else [way]
        text = json.dumps([str(type(network)), weights, list(shape), machine, *others])
        return cls(Path(named) if named else None, hashlib.sha256(text.encode()).hexdigest()[:32])

    def recall(self) -> Choice | None:
        """What an earlier trial found; None when it is to be tried."""
        found = self._read().get(self.key, {})
        # Files of before 0.2 have seconds there: they were not certain.
        if found.get("precision") in ("bf16", "fp32") and isinstance(found.get("reason"), str):
            return Choice(found["precision"], found["reason"])
        return None

    def keep(self, choice: Choice) -> None:
        """Keep what is certain. A file that cannot be written is left alone: the next run tries again."""
        if self.path is None:
            return
        # Read anew: another job may have written since. Of two at once the last one stays, and the other tries again.
        known = self._read()
        # Popped and set: the key moves to the end, so that what is in use is not dropped first.
        known.pop(self.key, None)
        known[self.key] = choice._asdict()
        with suppress(UsageError):
            write_json(self.path, dict(list(known.items())[-MOST:]))

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text()) if self.path else {}
        except (OSError, ValueError):  # not there yet, or no file of ours
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, dict)}
