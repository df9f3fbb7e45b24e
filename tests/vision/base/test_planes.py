"""The strongest of planes, at any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clary.vision.base.planes import resized, strongest

SCORES = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=9), elements=SCORES))
def test_as_argmax_where_nothing_is_resized(planes):
    found = strongest(planes, *planes.shape[1:])
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, planes.argmax(axis=0))
    assert resized(planes, *planes.shape[1:]) is planes


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=SCORES),
    st.integers(1, 20),
    st.integers(1, 20),
)
def test_as_argmax_of_what_is_resized(planes, height, width):
    large = resized(planes, height, width)
    assert large.shape == (len(planes), height, width)
    np.testing.assert_array_equal(strongest(planes, height, width), large.argmax(axis=0))


def test_bilinear():
    planes = np.random.default_rng(0).random((3, 8, 10), np.float32)
    expected = [cv2.resize(plane, (25, 16), interpolation=cv2.INTER_LINEAR) for plane in planes]
    np.testing.assert_array_equal(resized(planes, 16, 25), expected)


def test_planes_stay_as_they_are():
    planes = np.random.default_rng(0).random((4, 5, 6), np.float32)
    before = planes.copy()
    strongest(planes, 5, 6)
    np.testing.assert_array_equal(planes, before)


def test_the_last_of_256_classes():
    planes = np.zeros((256, 2, 2), np.float32)
    planes[255, 1, 0] = 1
    assert strongest(planes, 2, 2).tolist() == [[0, 0], [255, 0]]


@pytest.mark.parametrize("size", [(40_000, 3), (3, 40_000)])
def test_very_long_pictures(size):
    planes = np.random.default_rng(0).random((2, 32, 64), np.float32)
    assert strongest(planes, *size).shape == size
