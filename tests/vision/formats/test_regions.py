"""Regions are drawn as pycocotools draws them, and what is none is said."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.vision.base.decoding import decode_mask
from clary.vision.formats._regions import (
    DrawnMask,
    Region,
    mask_of,
    polygon_mask,
    runs_in,
    runs_of,
    shape_in,
    text_of,
)

theirs = pytest.importorskip("pycocotools.mask")
# pycocotools has not taken up a change of numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
POINTS = st.lists(st.tuples(st.floats(-10, 50), st.floats(-10, 50)), min_size=3, max_size=9)


@settings(max_examples=60, deadline=None)
@given(SIZES, POINTS)
def test_polygons(size: tuple[int, int], points: list[tuple[float, float]]) -> None:
    corners = [value for point in points for value in point]
    drawn = theirs.decode(theirs.frPyObjects([corners], *size))[:, :, 0]
    np.testing.assert_array_equal(polygon_mask(corners, *size), drawn.astype(bool))


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths(size: tuple[int, int], seed: int, share: float) -> None:
    inside = np.random.default_rng(seed).random(size) < share
    runs = runs_of(inside)
    text = text_of(runs)
    assert text == theirs.encode(np.asfortranarray(inside.astype(np.uint8)))["counts"].decode()
    assert list(runs_in(text)) == runs
    for value in ({"size": list(size), "counts": text}, {"size": list(size), "counts": runs}):
        shape, fault = shape_in(value, *size)
        assert fault == ""
        assert shape is not None
        np.testing.assert_array_equal(mask_of(shape, *size), inside)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "no `segmentation`"),
        ([], "no `segmentation`"),
        ([[1, 2, 3, 4]], "three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three points"),
        ([[1, 2, 3, 4, 5, "6"]], "three points"),
        ([[0, 0, 9, 9, 1e9, 0]], "far outside its picture of 6x4 pixels"),
        ({"size": [6, 4], "counts": [24]}, "size of [6, 4], its picture has [4, 6]"),
        ({"size": [4, 6], "counts": [20]}, "do not make up its 24 pixels"),
        ({"size": [4, 6], "counts": [-1, 25]}, "do not make up"),
        ({"size": [4, 6], "counts": "zz"}, "neither a list nor text"),
        ({"size": [4, 6], "counts": "oooo"}, "do not make up"),
        ({"size": [4, 6], "counts": 24}, "neither a list nor text"),
        ({"size": [4, 6]}, "neither a list nor text"),
    ],
    ids=str,
)
def test_what_is_no_region(value: Any, said: str) -> None:
    shape, fault = shape_in(value, 4, 6)
    assert shape is None
    assert said in fault


def test_the_smaller_lies_on_top() -> None:
    large, small = ((0.0, 0.0, 8.0, 0.0, 8.0, 6.0, 0.0, 6.0),), ((1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0),)
    for regions in ((Region(1, large), Region(2, small)), (Region(2, small), Region(1, large))):
        mask = DrawnMask(Path("a.json"), regions=regions, height=6, width=10, background=0)
        ids = decode_mask(mask.read())
        assert mask.size == len(mask.read())
        assert ids[0, 0] == 1
        assert ids[2, 2] == 2
        assert ids[0, 9] == 0


def test_memory_and_time_do_not_grow_with_the_number_of_regions(tmp_path: Path) -> None:
    """A kilobyte of JSON may say 9,000 x 9,000 pixels and a hundred regions: 8 GB, all at once."""
    side = 1500
    small = tuple(Region(1, (tuple(map(float, (x, x, x + 9, x, x + 9, x + 9))),)) for x in range(0, 1400, 10))
    large = tuple(Region(2, ((0.0, 0.0, side * 1.0, 0.0, side * 1.0, side * 1.0),)) for _ in range(5))
    tracemalloc.start()
    try:
        data = DrawnMask(tmp_path, 0, 0, (), small + large, side, side, 0).read()
        assert tracemalloc.get_traced_memory()[1] < 6 * side * side
    finally:
        tracemalloc.stop()
    ids = decode_mask(data)
    assert set(np.unique(ids)) == {0, 1, 2}
    assert ids[1, 8] == 1
    assert ids[1, 20] == 2
