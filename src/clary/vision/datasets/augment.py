"""Random changes to a training picture, as the original containers make them.

Order: affine, crop to the network's input, colour, mirror (MXNet's ``DefaultImageAugmenter``; the picture has been
resized before). Every function takes pixels uint8 (height, width, 3) RGB and a generator, and returns new pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from clary.vision.base import preprocessing

__all__ = ["AUGMENTATIONS", "augment"]

AUGMENTATIONS = ("crop", "crop_color", "crop_color_transform", "resized_crop")

# SageMaker's ranges for ``crop_color_transform`` (guide, image classification).
MAX_ROTATION = 10  # degrees
MAX_SHEAR = 0.1
MAX_ASPECT = 0.25
# Of hue on 0..180, lightness and saturation on 0..255, OpenCV's HLS: SageMaker's ranges for ``crop_color``.
MAX_COLOUR = (36, 50, 50)
MAX_LIGHT = 0.2  # share of brightness and of contrast
# What MXNet pads with in detection; of borders after a rotation SageMaker's guide says nothing.
FILL = (127, 127, 127)


def augment(pixels: np.ndarray, kind: str | None, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """One training view of ``pixels``: uint8 (height, width, 3). Without a ``kind`` it is the centre crop."""
    if kind is None:
        return preprocessing.fit(pixels, preprocessing.Preprocess(height, width))
    if kind == "resized_crop":
        # After the crop: the light is of what the network sees, and a crop has fewer pixels than the picture.
        pixels = random_light(random_resized_crop(pixels, height, width, random), random)
    else:
        if kind == "crop_color_transform":
            pixels = random_affine(pixels, random)
        pixels = random_crop(pixels, height, width, random)
        if kind in ("crop_color", "crop_color_transform"):
            pixels = random_colour(pixels, random)
    return pixels[:, ::-1] if random.random() < 0.5 else pixels


def random_crop(pixels: np.ndarray, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """A crop at a uniform position; a picture that is too small is enlarged first."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    if scale > 1:
        pixels = preprocessing.resize(pixels, round(pixels.shape[0] * scale), round(pixels.shape[1] * scale))
    top = int(random.integers(0, pixels.shape[0] - height + 1))
    left = int(random.integers(0, pixels.shape[1] - width + 1))
    return preprocessing.crop(pixels, top, left, height, width)


def random_resized_crop(
    pixels: np.ndarray,
    height: int,
    width: int,
    random: np.random.Generator,
    area: tuple[float, float] = (0.4, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """A crop of random area (share of the picture) and aspect, resized to the input (Szegedy 2014)."""
    rows, columns = pixels.shape[:2]
    # Ten tries, as torchvision's RandomResizedCrop: of a very wide picture few crops of that aspect and area fit.
    for _ in range(10):
        size = rows * columns * random.uniform(*area)
        ratio = np.exp(random.uniform(np.log(aspect[0]), np.log(aspect[1])))
        w, h = round((size * ratio) ** 0.5), round((size / ratio) ** 0.5)
        if 0 < w <= columns and 0 < h <= rows:
            top, left = int(random.integers(0, rows - h + 1)), int(random.integers(0, columns - w + 1))
            return preprocessing.resize(preprocessing.crop(pixels, top, left, h, w), height, width)
    return preprocessing.fit(pixels, preprocessing.Preprocess(height, width, resize=min(height, width)))


def random_light(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Brightness and contrast (about the picture's mean), each by a factor in 0.8..1.2."""
    brightness, contrast = random.uniform(1 - MAX_LIGHT, 1 + MAX_LIGHT, size=2)
    # One table for both: (v - mean) * contrast + mean, times brightness, is a line in v.
    offset = float(pixels.mean()) * brightness * (1 - contrast)
    table = np.clip(np.arange(256) * (brightness * contrast) + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(pixels), table)


def random_affine(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rotation by a whole number of degrees, shear and change of aspect about the centre; borders filled gray."""
    angle = np.deg2rad(random.integers(-MAX_ROTATION, MAX_ROTATION + 1))
    shear = random.uniform(-MAX_SHEAR, MAX_SHEAR)
    aspect = random.uniform(1 - MAX_ASPECT, 1 + MAX_ASPECT)
    cos, sin = np.cos(angle), np.sin(angle)
    stretch_x = np.sqrt(aspect)
    matrix = np.array([[cos, -sin + shear * cos], [sin, cos + shear * sin]]) * np.array([[stretch_x], [1 / stretch_x]])
    rows, columns = pixels.shape[:2]
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2])
    # About the centre, which stays in place; the corner is OpenCV's origin.
    shift = centre - matrix @ centre
    return cv2.warpAffine(
        pixels, np.column_stack([matrix, shift]), (columns, rows), flags=cv2.INTER_LINEAR, borderValue=FILL
    )


def random_colour(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Offsets of hue, lightness and saturation; each drawn near its centre more often than at its ends."""
    hls = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HLS)
    offsets = [_biased(limit, random) for limit in MAX_COLOUR]
    for channel, (offset, top) in enumerate(zip(offsets, (180, 255, 255), strict=True)):
        # A table of 256 with bounds in it: adding to uint8 would wrap round, and OpenCV's hue ends at 180.
        hls[..., channel] = cv2.LUT(hls[..., channel], np.clip(np.arange(256) + offset, 0, top).astype(np.uint8))
    return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)


def _biased(limit: int, random: np.random.Generator) -> int:
    """MXNet's draw: the mean of one uniform and four times another, divided by five."""
    value = (random.random() + 4 * random.random()) / 5
    return int(value * limit * 2) - limit
