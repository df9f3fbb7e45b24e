"""Statistics of metric data over periods, as CloudWatch gives them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence

from clary.control.store.metrics import Point

__all__ = ["STATISTICS", "is_statistic", "per_period", "statistic"]

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE = re.compile(r"p([0-9]{1,2}(\.[0-9]{1,10})?|100(\.0{1,10})?)")


def is_statistic(name: str) -> bool:
    """Whether ``name`` is one of STATISTICS or a percentile, ``p0`` to ``p100``."""
    return name in STATISTICS or _PERCENTILE.fullmatch(name) is not None


def per_period(points: Sequence[Point], start: float, period: int) -> dict[float, list[Point]]:
    """Points by the time their period begins: start, start + period, ...; only periods that have points, in order."""
    periods: defaultdict[int, list[Point]] = defaultdict(list)
    for point in points:
        periods[int((point.time - start) // period)].append(point)
    return {start + number * period: periods[number] for number in sorted(periods)}


def statistic(name: str, points: Sequence[Point]) -> float | None:
    """One statistic of at least one point; None for a percentile where only the sums of several samples are known.

    A percentile is a value that was seen: the smallest one with at least that share of the samples at or below it.
    """
    match name:
        case "SampleCount":
            return math.fsum(point.count for point in points)
        case "Sum":
            return math.fsum(point.value * point.count for point in points)
        case "Average":
            return _average(points)
        case "Minimum":
            return min(_ends(point)[0] for point in points)
        case "Maximum":
            return max(_ends(point)[1] for point in points)
        case _:
            return _percentile(float(name.removeprefix("p")), points)


def _average(points: Sequence[Point]) -> float:
    mean = math.fsum(point.value * point.count for point in points) / math.fsum(point.count for point in points)
    low, high = min(point.value for point in points), max(point.value for point in points)
    return min(max(mean, low), high)  # rounding must not leave the range


def _percentile(percent: float, points: Sequence[Point]) -> float | None:
    # Where only least, most and sum of several samples are known, any percentile would be made up.
    if any(low != high for low, high in map(_ends, points)):
        return None
    ranked = sorted(points, key=lambda point: point.value)
    wanted = percent * math.fsum(point.count for point in points)
    below = 0.0
    for point in ranked:
        below += point.count
        if below * 100 >= wanted:
            return point.value
    return ranked[-1].value


def _ends(point: Point) -> tuple[float, float]:
    low = point.value if point.minimum is None else point.minimum
    high = point.value if point.maximum is None else point.maximum
    return low, high
