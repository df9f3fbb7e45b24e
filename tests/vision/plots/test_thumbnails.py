"""Small copies of pictures."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from clary.vision.base import decoding, preprocessing
from clary.vision.plots.thumbnails import data_uri, thumbnail


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(400, 200, (100, 50)), (200, 400, (50, 100)), (40, 30, (40, 30)), (1000, 1, (100, 1)), (100, 100, (100, 100))],
)
def test_the_longer_side_is_bounded_and_aspect_kept(height, width, expected):
    assert thumbnail(np.zeros((height, width, 3), dtype=np.uint8), 100).shape[:2] == expected


def test_a_data_uri_is_a_jpeg_of_the_picture(image):
    pixels = image(300, 200)
    head, _, body = data_uri(pixels, 150).partition(",")
    assert head == "data:image/jpeg;base64"
    small = decoding.decode(base64.b64decode(body))
    assert small.shape == (100, 150, 3)
    assert np.abs(small.astype(int) - preprocessing.resize(pixels, 100, 150)).mean() < 5
