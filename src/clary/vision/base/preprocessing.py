"""The geometry of pictures: how decoded pixels become network input, the only copy, for training, serving and edge.

Pixels are ``numpy.uint8`` of shape (height, width, 3), RGB. Numbers leave this module as 0..255; the network itself
subtracts mean and divides by deviation (``models.InputNormalization``), so there is one normaliser and it travels
inside the exported graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from clary.errors import ImageError
from clary.vision.base.decoding import LIMIT, MAX_PIXELS, ImageLike, decode, load, of_file, upright_size
from clary.vision.base.in_flight import PICTURES

__all__ = [
    "WHOLE_SIDES",
    "Preprocess",
    "crop",
    "crop_center",
    "fit",
    "prepare",
    "prepare_sized",
    "resize",
    "resize_shorter",
    "whole_size",
]

# Of a picture that is prepared as a whole: the most pixels a network is given, and its shortest and longest side.
WHOLE_PIXELS = 1 << 22
WHOLE_SIDES = (32, 8192)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How a picture becomes network input of ``height`` x ``width``.

    ``crop="center"``: the shorter side becomes ``resize`` (or stays, when None), then the middle is cut out.
    ``crop="squash"``: the whole picture is resized, its aspect not kept (what SageMaker's endpoints do).
    ``crop="whole"``: the whole picture with its aspect, its longer side ``resize`` pixels (or as it is, when None),
    both sides rounded to ``multiple`` pixels, as ``whole_size`` says; ``height`` and ``width`` are 0, the network
    takes any.
    """

    height: int
    width: int
    resize: int | None = None
    crop: Literal["center", "squash", "whole"] = "center"
    multiple: int = 1

    @classmethod
    def whole(cls, resize: int | None = None, multiple: int = 1) -> Preprocess:
        """The way that keeps a picture's aspect, for networks that take any size.

        ``multiple`` is the network's coarsest stride where its maps must line up with the picture.
        """
        return cls(0, 0, resize, "whole", multiple)

    @property
    def any_size(self) -> bool:
        """Whether network inputs differ in size from picture to picture."""
        return self.crop == "whole"


def prepare(image: ImageLike, how: Preprocess) -> np.ndarray:
    """A picture as network input: uint8 RGB of shape (how.height, how.width, 3), or of ``whole_size``."""
    if how.any_size:
        return prepare_sized(image, how)[0]
    target = how.resize or 0
    with PICTURES.hold():
        # Decoded at no less than what is cut out, or a large JPEG would be shrunk by the decoder and enlarged here.
        pixels = load(image, at_least=max(target, how.height, how.width))
        return fit(pixels, how)


def prepare_sized(image: ImageLike, how: Preprocess) -> tuple[np.ndarray, tuple[int, int]]:
    """As ``prepare``, and the picture's own width and height in pixels, upright."""
    if isinstance(image, (str, Path)):
        return of_file(image, lambda data: prepare_sized(data, how))
    if not isinstance(image, (bytes, bytearray, memoryview)):
        pixels = load(image)
        return fit(pixels, how), (pixels.shape[1], pixels.shape[0])
    data = bytes(image)
    size = upright_size(data)
    if not how.any_size:
        return prepare(data, how), size
    target = whole_size(*size, how)
    with PICTURES.hold():
        return resize(decode(data, at_least=min(target)), *target), size


def whole_size(width: int, height: int, how: Preprocess) -> tuple[int, int]:
    """Height and width of the network input of a picture of ``width`` x ``height`` pixels, prepared as a whole.

    About WHOLE_PIXELS at most, however large the picture, so that no request takes all memory; a side is never shorter
    than 32 pixels, where networks have nothing left to look at, nor longer than 8192. Both are multiples of
    ``how.multiple``, which divides 32.
    """
    scale = how.resize / max(width, height) if how.resize else 1.0
    scale = min(scale, math.sqrt(WHOLE_PIXELS / (width * height)))
    shortest, longest = WHOLE_SIDES
    sides = (round(side * scale / how.multiple) * how.multiple for side in (height, width))
    return tuple(min(max(side, shortest), longest) for side in sides)  # type: ignore[return-value]


def fit(pixels: np.ndarray, how: Preprocess) -> np.ndarray:
    """Resize and crop decoded pixels as ``how`` says; a side still too short is enlarged first."""
    if how.any_size:
        return resize(pixels, *whole_size(pixels.shape[1], pixels.shape[0], how))
    if how.crop == "squash":
        return resize(pixels, how.height, how.width)
    if how.resize:
        pixels = resize_shorter(pixels, how.resize)
    short = max(how.height / pixels.shape[0], how.width / pixels.shape[1])
    if short > 1:
        pixels = resize(pixels, round(pixels.shape[0] * short), round(pixels.shape[1] * short))
    return crop_center(pixels, how.height, how.width)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to exactly (height, width): area average when shrinking, bilinear when enlarging.

    Raises ImageError where that is more than MAX_PIXELS.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if height * width > MAX_PIXELS:
        what = f"of {pixels.shape[1]} x {pixels.shape[0]} pixels would be {width} x {height}, above {LIMIT}, resized"
        raise ImageError(what, hint="cut it into pieces, or choose a smaller size")
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    # Shrinking, INTER_LINEAR looks at four pixels and leaves out the rest; enlarging, INTER_AREA is nearest neighbour.
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    with PICTURES.hold(height * width * 3):
        resized: np.ndarray = cv2.resize(pixels, (width, height), interpolation=how)
        return resized


def resize_shorter(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize so that the shorter side is ``size`` pixels, aspect kept."""
    height, width = pixels.shape[:2]
    if height <= width:
        return resize(pixels, size, max(size, round(width * size / height)))
    return resize(pixels, max(size, round(height * size / width)), size)


def crop(pixels: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A view of the rectangle. Raises ImageError when it does not lie inside."""
    if top < 0 or left < 0 or top + height > pixels.shape[0] or left + width > pixels.shape[1]:
        found = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise ImageError(f"is {found} pixels, smaller than the {width}x{height} asked for", hint="set `resize`")
    return pixels[top : top + height, left : left + width]


def crop_center(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """A view of the middle. Raises ImageError when the picture is smaller."""
    return crop(pixels, (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2, height, width)
