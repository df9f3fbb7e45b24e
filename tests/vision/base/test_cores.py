"""How many cores a process may use."""

from __future__ import annotations

import os

import pytest

from clary.vision.base.cores import cores


def test_those_the_scheduler_gives(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert cores() == 3


@pytest.mark.parametrize(("count", "expected"), [(4, 4), (None, 1)])
def test_where_it_cannot_be_asked(monkeypatch, count, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert cores() == expected
