"""Calls counted into CloudWatch's series of an endpoint, a point a series every few seconds.

Namespace AWS/SageMaker, dimensions EndpointName and VariantName: Invocations, Invocation4XXErrors,
Invocation5XXErrors; ModelLatency (in the worker) and OverheadLatency (the rest), both in microseconds.
Source: SageMaker developer guide, "Monitor Amazon SageMaker with Amazon CloudWatch", Endpoint Invocation Metrics.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field

from clary.control.store.records import Point, Store, StoreError

__all__ = ["NAMESPACE", "CallMeter"]

NAMESPACE = "AWS/SageMaker"
INTERVAL = 10.0  # seconds between two points

_MICROSECONDS = 1e6

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Samples:
    """Samples of one metric since the last point."""

    unit: str
    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = float("-inf")
    began: float = field(default_factory=time.time)

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)


class CallMeter:
    """Adding is a few microseconds; ``flush`` writes. Used in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._series: dict[tuple[str, str, str], _Samples] = {}

    def add(self, endpoint: str, variant: str, *, status: int, model: float, overhead: float) -> None:
        """Count one call: its HTTP status, seconds in the worker, seconds around it."""
        self._add(endpoint, variant, "Invocations", "None", 1.0)
        self._add(endpoint, variant, "Invocation4XXErrors", "None", float(400 <= status < 500))
        self._add(endpoint, variant, "Invocation5XXErrors", "None", float(status >= 500))
        self._add(endpoint, variant, "ModelLatency", "Microseconds", model * _MICROSECONDS)
        self._add(endpoint, variant, "OverheadLatency", "Microseconds", overhead * _MICROSECONDS)

    async def run(self) -> None:
        """Flush now and then, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted. What the store refuses is dropped, and said."""
        # Swapped before the first await: calls that come meanwhile are counted into the next point.
        counted, self._series = self._series, {}
        if not counted:
            return
        points = [_point(*key, samples) for key, samples in counted.items()]
        try:
            await asyncio.to_thread(self._store.add_points, points)
        except StoreError as error:
            log.warning("metrics of %d series are lost: %s", len(points), error)

    def _add(self, endpoint: str, variant: str, name: str, unit: str, value: float) -> None:
        key = endpoint, variant, name
        samples = self._series.get(key)
        if samples is None:
            samples = self._series[key] = _Samples(unit)
        samples.add(value)


def _point(endpoint: str, variant: str, name: str, samples: _Samples) -> Point:
    return Point(
        NAMESPACE,
        name,
        {"EndpointName": endpoint, "VariantName": variant},
        samples.began,
        samples.total / samples.count,
        samples.unit,
        samples.count,
        samples.least,
        samples.most,
    )
