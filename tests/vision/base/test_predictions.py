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


def test_a_notebook_shows_the_best_and_no_arrays(found):
    assert repr(found) == (
        "<Detections in 200 x 100 pixels: dog 0.900 at 20, 20, 100, 60; cat 0.200 at 0, 0, 200, 100>"
    )
    many = Detections(np.zeros((200, 4), np.float32), np.zeros(200), np.zeros(200, int), ("cat",), 9, 9)
    assert repr(many).endswith("; cat 0.000 at 0, 0, 0, 0; 197 more>")
    assert repr(many.above(0.5)) == "<Detections in 9 x 9 pixels: none>"


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
