"""Which precision was found faster, kept in the file CLARY_PRECISION_CACHE names, so that a network is tried only once.

A platform sets the variable for its jobs; without it every run tries anew. A clear outcome counts at once; where both
precisions are about as fast a second run tries again, and the least seconds of both trials decide: noise only adds.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clary.errors import UsageError
from clary.vision.base.files import write_json

__all__ = ["PrecisionCache"]

PRECISIONS = ("bf16", "fp32")
CLEARLY = 1.3  # times as fast: an outcome that another trial would hardly turn round
ENOUGH = 2  # trials, where none was clear
MOST = 1000  # networks kept; the oldest go first


@dataclass(frozen=True, slots=True)
class PrecisionCache:
    """The outcome for one network on pictures of one size, on this machine."""

    path: Path | None
    key: str

    @classmethod
    def of(cls, network: nn.Module, shape: Sequence[int]) -> PrecisionCache:
        """``shape`` is a picture's. Number of threads and version of torch count as parts of the machine."""
        named = os.environ.get("CLARY_PRECISION_CACHE")
        # What is frozen counts: it has no backward pass, which is what bf16 is slow at in depthwise convolutions.
        weights = [(name, list(weight.shape), weight.requires_grad) for name, weight in network.named_parameters()]
        # A home may be shared by several machines, of which one has bf16.
        machine = [platform.node(), platform.processor(), torch.get_num_threads(), torch.__version__]
        text = json.dumps([str(type(network)), weights, list(shape), machine])
        return cls(Path(named) if named else None, hashlib.sha256(text.encode()).hexdigest()[:32])

    def recall(self) -> str:
        """The precision to take; empty when it is to be tried."""
        seconds = self._seconds()
        if not seconds:
            return ""
        faster, slower = sorted(seconds, key=lambda precision: seconds[precision])
        clear = seconds[slower] >= CLEARLY * seconds[faster]
        return faster if clear or self._read()[self.key].get("trials", 0) >= ENOUGH else ""

    def add(self, seconds: Mapping[str, float]) -> str:
        """Keep what a trial measured of each precision; the faster one, counting the trials before.

        A file that cannot be written is left alone: the next run tries again.
        """
        least = {name: min(value, self._seconds().get(name, value)) for name, value in seconds.items()}
        if self.path is not None:
            # Read anew: another job may have written since. Of two at once the last one stays, and the other tries
            # again.
            known = self._read()
            count = known.pop(self.key, {}).get("trials", 0)
            # Popped and set: the key moves to the end, so that what is in use is not dropped first.
            known[self.key] = {**least, "trials": count + 1}
            with suppress(UsageError):
                write_json(self.path, dict(list(known.items())[-MOST:]))
        return min(least, key=lambda precision: least[precision])

    def _seconds(self) -> dict[str, float]:
        found = self._read().get(self.key, {})
        kept = {name: found.get(name) for name in PRECISIONS}
        return {name: value for name, value in kept.items() if isinstance(value, float)} if all(kept.values()) else {}

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text()) if self.path else {}
        except (OSError, ValueError):  # not there yet, or no file of ours
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, dict)}
