"""What models predict, as plain data."""

from __future__ import annotations

import numpy as np
import pytest

from clary.vision.base.types import Box, Detections, Segmentation


@pytest.fixture
def found() -> Detections:
    boxes = np.array([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]], np.float32)
    return Detections(boxes, np.array([0.9, 0.2], np.float32), np.array([1, 0]), ("cat", "dog"), 200, 100)


def test_boxes_in_pixels(found):
    np.testing.assert_allclose(found.pixels, [[20, 20, 100, 60], [0, 0, 200, 100]], rtol=1e-6)
    assert found.as_boxes()[1] == Box(0, 0, 0, 200, 100)


def test_rows_are_those_of_the_answer(found):
    np.testing.assert_allclose(found.rows, [[1, 0.9, 0.1, 0.2, 0.5, 0.6], [0, 0.2, 0, 0, 1, 1]], rtol=1e-6)


def test_a_threshold(found):
    sure = found.above(0.5)
    assert (len(sure), sure.labels, len(found)) == (1, ["dog"], 2)
    assert found.above(0.95).rows.shape == (0, 6)
    assert found.above(0.95).pixels.shape == (0, 4)


def test_shares_of_a_segmentation():
    classes = np.array([[2, 2, 2, 0]], np.uint8)
    assert Segmentation(classes, ("a", "b", "c")).shares() == [("c", 0.75), ("a", 0.25)]
