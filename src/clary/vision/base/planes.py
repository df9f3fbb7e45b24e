"""Scores of pixels, one plane a class: brought to a picture's size, and reduced to the class of each pixel."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from clary.vision.base.in_flight import PICTURES

__all__ = ["resized", "strongest"]

# For each pixel of the picture: the best score and another of float32, the class, and two masks beside them.
_BYTES = 11


def resized(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planes, float32 (C, h, w), as (C, height, width), bilinear: as they are where that is their size."""
    if planes.shape[1:] == (height, width):
        return planes
    return np.stack(list(_each(planes, height, width)))


def strongest(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """The number of the highest plane at each pixel of ``resized``, uint8 (height, width); of equal ones the first.

    ``planes`` are float32 (C, h, w), at most 256. One plane is held at a time, and it takes a quarter of the time of
    numpy's argmax along the first axis (3 planes of 240 x 240: 40 us, 21 of 500 x 375: 1.8 ms).
    """
    # Plane by plane: 21 planes of a picture of 4 megapixels are 350 MB at once.
    each = _each(planes, height, width)
    with PICTURES.hold(_BYTES * height * width):
        # A copy: planes of the right size come as they lie in the caller's array, and ``best`` is written to.
        best = next(each).copy()
        ids = np.zeros(best.shape, np.uint8)
        for number, plane in enumerate(each, start=1):
            higher = cv2.compare(plane, best, cv2.CMP_GT)  # 255 where it is
            cv2.max(ids, higher & np.uint8(number), ids)
            cv2.max(best, plane, best)
        return ids


def _each(planes: np.ndarray, height: int, width: int) -> Iterator[np.ndarray]:
    for plane in planes:
        if plane.shape == (height, width):
            yield np.ascontiguousarray(plane)
        else:
            yield cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
