"""What the machine bears."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clary.control.jobs import capacity
from clary.vision.base import memory


@pytest.mark.parametrize(("cores", "asked", "expected"), [(1, 0, 1), (2, 0, 1), (8, 0, 4), (2, 3, 3), (64, 1, 1)])
def test_a_job_for_two_cores_unless_told_otherwise(monkeypatch, settings, cores, asked, expected):
    monkeypatch.setattr(capacity, "cores", lambda: cores)
    assert capacity.slots(replace(settings, max_jobs=asked)) == expected


def test_the_first_job_always_has_room(monkeypatch, settings):
    monkeypatch.setattr(capacity, "cores", lambda: 8)
    monkeypatch.setattr(capacity, "free_memory", lambda: 0)
    assert capacity.has_room(0, settings)
    assert not capacity.has_room(1, settings)
    assert capacity.has_room(1, replace(settings, max_jobs=2))
    monkeypatch.setattr(capacity, "free_memory", lambda: capacity.JOB_MEMORY)
    assert capacity.has_room(1, settings)
    assert not capacity.has_room(4, settings)


def test_threads_are_shared(monkeypatch):
    monkeypatch.setattr(capacity, "cores", lambda: 8)
    assert [capacity.threads(jobs) for jobs in (0, 1, 2, 3, 100)] == [8, 8, 4, 2, 1]


def test_this_machine_can_be_asked():
    assert capacity.cores() >= 1
    assert (capacity.free_memory() or 0) > 0
    assert capacity.oom_kills() >= 0


def test_a_control_groups_limit_counts(monkeypatch):
    files = {"memory.max": "1000000\n", "memory.current": "600000\n", "memory.stat": "anon 1\ninactive_file 100000\n"}
    monkeypatch.setattr(memory, "_group_file", files.get)
    assert capacity.free_memory() == 500_000
    files["memory.max"] = "max\n"
    assert (capacity.free_memory() or 0) > 1_000_000
