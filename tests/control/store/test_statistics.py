"""Statistics against numpy on the same samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.store.records import Point
from clary.control.store.statistics import STATISTICS, is_statistic, per_period, statistic

VALUES = st.floats(-1e9, 1e9, allow_nan=False) | st.integers(-5, 5).map(float)


def _points(samples: list[tuple[float, int]], at: float = 0.0) -> list[Point]:
    return [Point("n", "m", {}, at, value, "None", float(count)) for value, count in samples]


@given(samples=st.lists(st.tuples(VALUES, st.integers(1, 5)), min_size=1, max_size=30), percent=st.floats(0, 100))
def test_against_numpy(samples: list[tuple[float, int]], percent: float) -> None:
    points = _points(samples)
    every = np.array([value for value, count in samples for _ in range(count)])
    assert statistic("SampleCount", points) == len(every)
    assert statistic("Sum", points) == pytest.approx(float(every.sum()), rel=1e-9, abs=1e-3)
    assert statistic("Average", points) == pytest.approx(float(every.mean()), rel=1e-9, abs=1e-3)
    assert statistic("Minimum", points) == every.min()
    assert statistic("Maximum", points) == every.max()
    percent = round(percent, 1)
    found = statistic(f"p{percent}", points)
    assert found in every
    assert (every <= found).mean() * 100 >= percent - 1e-9
    below = every[every < found]
    assert len(below) / len(every) * 100 < percent + 1e-9 or len(below) == 0


@given(samples=st.lists(VALUES, min_size=1, max_size=30), percent=st.sampled_from([0, 10, 25, 50, 75, 90, 99, 100]))
def test_percentiles_are_numpys_inverted_distribution(samples: list[float], percent: int) -> None:
    found = statistic(f"p{percent}", _points([(value, 1) for value in samples]))
    assert found == min(v for v in samples if sum(s <= v for s in samples) * 100 >= percent * len(samples))
    if percent * len(samples) % 100:  # else numpy's rounding decides
        assert found == np.percentile(samples, percent, method="inverted_cdf")


def test_sets_of_samples() -> None:
    points = [Point("n", "m", {}, 0, 2.0, "None", 10, 1.0, 4.0), Point("n", "m", {}, 0, 8.0)]
    found = {name: statistic(name, points) for name in STATISTICS}
    assert found == {"SampleCount": 11, "Average": 28 / 11, "Sum": 28, "Minimum": 1, "Maximum": 8}
    assert statistic("p50", points) is None
    assert statistic("p50", [Point("n", "m", {}, 0, 2.0, "None", 10, 2.0, 2.0)]) == 2


def test_an_average_stays_within_its_values() -> None:
    assert statistic("Average", _points([(0.1, 1)] * 3)) == 0.1


@given(
    times=st.lists(st.floats(0, 10_000), max_size=50),
    start=st.integers(-500, 500),
    period=st.sampled_from([1, 60, 300]),
)
def test_periods_divide_the_points(times: list[float], start: int, period: int) -> None:
    points = [Point("n", "m", {}, time, 1.0) for time in times]
    found = per_period(points, start, period)
    assert list(found) == sorted(found)
    assert sorted(point.time for some in found.values() for point in some) == sorted(times)
    for begin, some in found.items():
        assert (begin - start) % period == 0
        assert some
        assert all(begin <= point.time < begin + period for point in some)


@pytest.mark.parametrize("name", ["Average", "p0", "p0.0", "p50", "p99.9", "p100", "p100.0"])
def test_names(name: str) -> None:
    assert is_statistic(name)


@pytest.mark.parametrize("name", ["", "average", "p", "p101", "p-1", "p100.1", "tm90", "p5x", "IQM", "p٣"])
def test_other_names(name: str) -> None:
    assert not is_statistic(name)
