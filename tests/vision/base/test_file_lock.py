"""One holder at a time."""

from __future__ import annotations

import os

from clary.vision.base.file_lock import take


def test_it_is_had_by_one_open_file_and_free_once_that_is_closed(tmp_path):
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert take(first)
    assert not take(second)
    assert not take(second, 0.05)
    os.close(first)
    assert take(second)
    os.close(second)
