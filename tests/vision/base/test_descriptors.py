"""Open files of a fork."""

from __future__ import annotations

import os
import resource

import pytest

from clary.vision.base import descriptors
from clary.vision.base.descriptors import close_others


def test_all_but_those_to_keep_are_closed() -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        high = os.dup2(read_end, 200, inheritable=False)
        close_others({write_end, high})
        there = [number for number in range(3, 300) if _is_open(number)]
        os._exit(0 if there == sorted((write_end, high)) and all(map(_is_open, (0, 1, 2))) else 1)
    for number in (read_end, write_end):
        os.close(number)
    assert os.waitpid(child, 0)[1] == 0


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("lists", [descriptors._LISTS, ()])
def test_no_number_is_tried_that_nothing_can_have(lists: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without close_range(2) each costs a call, and there may be a thousand million."""
    tried: list[int] = []
    monkeypatch.setattr(os, "closerange", lambda first, end: tried.append(end))
    monkeypatch.setattr(descriptors, "_LISTS", lists)
    read_end, write_end = os.pipe()
    try:
        close_others()
        highest = max(int(name) for name in os.listdir("/proc/self/fd")) if lists else 0
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert max(read_end, write_end) < max(tried) <= (highest + 2 if lists else limit)
    finally:
        os.close(read_end)
        os.close(write_end)
