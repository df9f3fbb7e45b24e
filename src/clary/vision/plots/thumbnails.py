"""Small copies of pictures, and how they get into a page that must stand alone."""

from __future__ import annotations

import base64

import numpy as np
import simplejpeg

from clary.vision.base import preprocessing

__all__ = ["data_uri", "thumbnail"]

QUALITY = 80


def thumbnail(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixels with the longer side at most ``size``, aspect kept, never enlarged."""
    height, width = pixels.shape[:2]
    factor = size / max(height, width)
    # A small picture enlarged has more bytes and shows no more.
    if factor >= 1:
        return pixels
    return preprocessing.resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)))


def data_uri(pixels: np.ndarray, size: int) -> str:
    """A thumbnail as ``data:image/jpeg;base64,...``, about 8 kB at 200 pixels."""
    small = np.ascontiguousarray(thumbnail(pixels, size))
    jpeg = simplejpeg.encode_jpeg(small, quality=QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=False)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
