"""Random changes to a training picture and its boxes together.

``ssd`` is what the original container does (MXNet's ``DefaultImageDetAugmenter``, after Liu 2016, *SSD*): colour,
padding up to four times the size, a crop that overlaps an object, any interpolation, mirror. ``gentle`` is for small
sets: less of each, and an object always stays in sight.

Objects are float32 (n, 5): class id, xmin, ymin, xmax, ymax in fractions of the picture. A window is (xmin, ymin, xmax,
ymax) in fractions of the picture too and may reach beyond it: padding and crop only choose the window, and the
picture is drawn once.
"""

from __future__ import annotations

import cv2
import numpy as np

from clary.vision.base import preprocessing
from clary.vision.base.boxes import areas, iou
from clary.vision.datasets.augment import FILL, random_light

__all__ = ["BOX_AUGMENTATIONS", "WHOLE", "augment_boxes", "draw", "mirror", "seen"]

BOX_AUGMENTATIONS = ("ssd", "gentle")
WHOLE = np.array([0.0, 0.0, 1.0, 1.0])

MAX_PADDING = 4.0  # sides of the padded picture to those of the picture
# A narrower margin teaches nothing.
LEAST_PADDING = 1.05
# Least overlap of crop and object (Liu 2016, 2.2). The five and the window as it is make six cases.
SAMPLERS = (0.1, 0.3, 0.5, 0.7, 0.9)
# MXNet's number of attempts for each sampler.
TRIALS = 25
SCALES, ASPECTS = (0.3, 1.0), (0.5, 2.0)
# MXNet's SSD example: hue in OpenCV's half degrees.
HUE, LIGHTNESS, SATURATION, CONTRAST = 18, 32, 32, 0.5
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)

# Half of SSD's: on 233 pets mAP is 0.98 after five epochs, with SSD's augmentation 0.96 (docs/benchmarks.md,
# Detection).
GENTLE_PADDING = 2.0
GENTLE_AREA, GENTLE_ASPECT = (0.5, 1.0), 0.35  # share of the window; logarithm of the aspect
GENTLE_SIGHT, GENTLE_KEPT = 0.7, 0.5  # share of an object that some object shows, and that each kept one shows


def augment_boxes(
    pixels: np.ndarray, objects: np.ndarray, kind: str | None, height: int, width: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One training view: pixels uint8 (height, width, 3), and the objects in it. Without a ``kind`` nothing is random.

    The aspect of the picture is not kept.
    """
    if kind is None:
        return preprocessing.resize(pixels, height, width), objects
    if kind == "ssd":
        # Colour before padding: the gray of the margin stays what it is.
        pixels = random_distortion(pixels, random)
        window, objects = ssd_window(objects, pixels.shape[1] / pixels.shape[0], random)
        interpolation = int(random.choice(INTERPOLATIONS))
    else:
        window, objects = gentle_window(objects, random)
        interpolation = None
    pixels, objects = draw(pixels, objects, window, height, width, interpolation)
    if kind == "gentle":
        pixels = random_light(pixels, random)
    return mirror(pixels, objects) if random.random() < 0.5 else (pixels, objects)


def ssd_window(objects: np.ndarray, aspect: float, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A padded window half the time, then a crop of it in five cases of six; and the objects kept in it.

    ``aspect`` is the picture's width to its height. Of a crop those objects stay whose centre it holds.
    """
    # Only a window is chosen here, and the picture is drawn once: padding to four times, cropping and resizing one
    # after another would make sixteen times the pixels.
    window = random_padding(MAX_PADDING, random) if random.random() < 0.5 else WHOLE
    if random.random() >= len(SAMPLERS) / (len(SAMPLERS) + 1):
        return window, objects
    size = window[2:] - window[:2]
    for least in random.permutation(SAMPLERS):
        for _ in range(TRIALS):
            crop = _random_crop(window, size, aspect, random)
            kept = objects[_centres_in(objects, crop)]
            # One object overlapped enough will do; others may be cut, and stay where their centre is inside.
            if (len(kept) and iou(crop[None], objects[:, 1:]).max() >= least) or not len(objects):
                return crop, kept
    return window, objects


def gentle_window(objects: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A window up to twice the picture half the time, then half of it or more; at least one object stays in sight."""
    window = random_padding(GENTLE_PADDING, random) if random.random() < 0.5 else WHOLE
    size = window[2:] - window[:2]
    for _ in range(TRIALS):
        share, shape = random.uniform(*GENTLE_AREA), np.exp(random.uniform(-GENTLE_ASPECT, GENTLE_ASPECT))
        sides = np.sqrt([share * shape, share / shape])
        if sides.max() > 1:
            continue
        corner = window[:2] + random.random(2) * (1 - sides) * size
        crop = np.concatenate([corner, corner + sides * size])
        shown = seen(objects, crop)
        # What is seen, not IoU: a small object wholly inside a large crop overlaps it little.
        if not len(objects) or shown.max() > GENTLE_SIGHT:
            return crop, objects[shown > GENTLE_KEPT]
    return window, objects


def random_padding(most: float, random: np.random.Generator) -> np.ndarray:
    """A window around the whole picture, its sides up to ``most`` times as long."""
    scale = random.uniform(1, most)
    if scale < LEAST_PADDING:
        return WHOLE
    corner = -random.random(2) * (scale - 1)
    return np.concatenate([corner, corner + scale])


def seen(objects: np.ndarray, window: np.ndarray) -> np.ndarray:
    """(n,) share of each object's area that the window shows."""
    inside = np.concatenate([np.maximum(objects[:, 1:3], window[:2]), np.minimum(objects[:, 3:], window[2:])], axis=1)
    whole = areas(objects[:, 1:])
    share: np.ndarray = areas(inside) / np.where(whole > 0, whole, 1)
    return share


def draw(
    pixels: np.ndarray,
    objects: np.ndarray,
    window: np.ndarray,
    height: int,
    width: int,
    interpolation: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What the window shows at (height, width), gray beyond the picture; objects move along and are cut at its edges.

    ``interpolation`` is OpenCV's; None is as ``preprocessing.resize``. Objects of which nothing is left are dropped.
    """
    across, along_x = _axis(window[0], window[2], pixels.shape[1], width)
    down, along_y = _axis(window[1], window[3], pixels.shape[0], height)
    part = pixels[down[0] : down[1], across[0] : across[1]]
    size = (down[3] - down[2], across[3] - across[2])
    if interpolation is None:
        part = preprocessing.resize(part, *size)
    else:
        part = cv2.resize(part, size[::-1], interpolation=interpolation)
    if size == (height, width):
        drawn = part
    else:
        drawn = np.empty((height, width, 3), np.uint8)
        drawn[:] = FILL
        drawn[down[2] : down[3], across[2] : across[3]] = part
    # By the factor that was drawn with, not the one asked for: whole pixels move edges by up to half of one.
    moved = objects.copy()
    for place, (scale, shift) in ((1, along_x), (2, along_y), (3, along_x), (4, along_y)):
        moved[:, place] = np.clip(objects[:, place] * scale + shift, 0, 1)
    return drawn, moved[areas(moved[:, 1:]) > 0]


def mirror(pixels: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right exchanged."""
    turned = objects.copy()
    turned[:, 1], turned[:, 3] = 1 - objects[:, 3], 1 - objects[:, 1]
    return np.ascontiguousarray(pixels[:, ::-1]), turned


def random_distortion(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Hue, lightness and saturation by offsets, contrast by a factor, each half the time (MXNet's ranges)."""
    limits = (HUE, LIGHTNESS, SATURATION)
    offsets = [int(random.integers(-limit, limit + 1)) if random.random() < 0.5 else 0 for limit in limits]
    contrast = 1 + (random.uniform(-CONTRAST, CONTRAST) if random.random() < 0.5 else 0.0)
    if any(offsets):
        hls = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HLS)
        # OpenCV's hue of 8-bit pictures is in half degrees, 0 to 180.
        for channel, (offset, top) in enumerate(zip(offsets, (180, 255, 255), strict=True)):
            hls[..., channel] = cv2.LUT(hls[..., channel], np.clip(np.arange(256) + offset, 0, top).astype(np.uint8))
        pixels = cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)
    if contrast != 1:
        pixels = cv2.LUT(np.ascontiguousarray(pixels), np.clip(np.arange(256) * contrast, 0, 255).astype(np.uint8))
    return pixels


def _random_crop(window: np.ndarray, size: np.ndarray, aspect: float, random: np.random.Generator) -> np.ndarray:
    """A part of the window, of random scale and aspect, as MXNet draws it."""
    scale = random.uniform(*SCALES)
    # Bounded by the scale: beyond it a side would be longer than the window's.
    low, high = max(ASPECTS[0] / aspect, scale**2), min(ASPECTS[1] / aspect, 1 / scale**2)
    shape = np.sqrt(random.uniform(low, max(low, high)))
    sides = np.minimum([scale * shape, scale / shape], 1)
    corner = window[:2] + random.random(2) * (1 - sides) * size
    return np.concatenate([corner, corner + sides * size])


def _centres_in(objects: np.ndarray, window: np.ndarray) -> np.ndarray:
    centres = (objects[:, 1:3] + objects[:, 3:]) / 2
    inside: np.ndarray = ((centres > window[:2]) & (centres < window[2:])).all(axis=1)
    return inside


def _axis(low: float, high: float, pixels: int, size: int) -> tuple[tuple[int, int, int, int], tuple[float, float]]:
    """One axis of a window: where it begins and ends in the picture and in what is drawn, in whole pixels; and the
    factor and the offset that take fractions of the picture to fractions of what is drawn, exactly as it is drawn."""
    begin = min(max(round(low * pixels), 0), pixels - 1)
    end = max(min(round(high * pixels), pixels), begin + 1)
    scale = size / max((high - low) * pixels, 1e-9)
    start = min(max(round((begin - low * pixels) * scale), 0), size - 1)
    stop = max(min(round((end - low * pixels) * scale), size), start + 1)
    factor = (stop - start) / (end - begin)
    return (begin, end, start, stop), (factor * pixels / size, (start - begin * factor) / size)
