"""Boxes and masks drawn over pictures. Drawn with Pillow, so that looking at data needs no chart library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from clary.vision.base.colours import colour, colours
from clary.vision.base.types import IGNORED, Box
from clary.vision.plots.samples import font, text_length

__all__ = ["colour", "colours", "draw_boxes", "draw_mask"]

_INK = "#1b1f24"
_COVER = 0.45  # how much of a picture its mask covers
_EDGE = 2  # pixels of a box's line, and of the line around a region


def draw_boxes(
    pixels: np.ndarray,
    boxes: Sequence[Box],
    class_names: Sequence[str],
    size: tuple[int, int],
    *,
    labels: bool = True,
    captions: Sequence[str] = (),
) -> np.ndarray:
    """Boxes in the colours of their classes over a picture, uint8 RGB.

    Boxes are in pixels of a picture of ``size`` (width, height), whatever size ``pixels`` has. A difficult box has a
    broken line. With ``labels`` the class stands on the box's upper edge where it fits, or what ``captions`` has for
    each box (nothing where that is empty). The pixels given stay as they are.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    across, down = image.width / size[0], image.height / size[1]
    words = captions or [class_names[box.class_id] for box in boxes]
    largest_first = sorted(zip(boxes, words, strict=True), key=lambda one: -_area(one[0]))
    for box, word in largest_first:
        corners = (box.xmin * across, box.ymin * down, box.xmax * across - 1, box.ymax * down - 1)
        _outline(draw, corners, colour(box.class_id), broken=box.difficult)
        if labels and word:
            _tag(draw, corners, word, colour(box.class_id), image.size)
    return np.asarray(image)


def draw_mask(pixels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Class ids (uint8, any size of the same aspect) as colours over a picture, with a line around each region.

    Ignored pixels are hatched. The pixels given stay as they are.
    """
    height, width = pixels.shape[:2]
    rows = np.minimum((np.arange(height) * ids.shape[0]) // height, ids.shape[0] - 1)
    columns = np.minimum((np.arange(width) * ids.shape[1]) // width, ids.shape[1] - 1)
    near = ids[rows[:, None], columns]
    table = np.array([colour(class_id) for class_id in range(256)], dtype=np.float32)
    mixed = pixels * (1 - _COVER) + table[near] * _COVER
    ignored = near == IGNORED
    hatch = (np.add.outer(np.arange(height), np.arange(width)) // 4) % 2 == 0
    mixed[ignored] = pixels[ignored] * 0.5 + np.where(hatch[ignored][:, None], 240.0, 120.0) * 0.5
    edge = np.zeros_like(ignored)
    edge[:-1] |= near[:-1] != near[1:]
    edge[:, :-1] |= near[:, :-1] != near[:, 1:]
    mixed[edge] = 255
    drawn: np.ndarray = np.clip(mixed, 0, 255).astype(np.uint8)
    return drawn


def _area(box: Box) -> float:
    return (box.xmax - box.xmin) * (box.ymax - box.ymin)


def _outline(
    draw: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    ink: tuple[int, int, int],
    *,
    broken: bool,
) -> None:
    left, top, right, bottom = (round(value) for value in corners)
    right, bottom = max(right, left + _EDGE), max(bottom, top + _EDGE)
    if not broken:
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_INK)
        draw.rectangle((left, top, right, bottom), outline=ink, width=_EDGE)
        return
    for start in range(left, right, 10):
        for y in (top, bottom):
            draw.line((start, y, min(start + 5, right), y), ink, _EDGE)
    for start in range(top, bottom, 10):
        for x in (left, right):
            draw.line((x, start, x, min(start + 5, bottom)), ink, _EDGE)


def _tag(
    draw: ImageDraw.ImageDraw,
    corners: tuple[float, float, float, float],
    name: str,
    ink: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    """The name on the box's colour: above its upper edge, or inside where there is no room above."""
    text = "".join(c if c.isprintable() else "?" for c in name[:40])
    width, height = text_length(text, 11) + 7, 14
    if width > size[0]:
        return
    left = min(max(round(corners[0]), 0), size[0] - round(width))
    top = round(corners[1]) - height if corners[1] >= height else max(round(corners[1]), 0)
    draw.rectangle((left, top, left + width, top + height), ink)
    light = 0.299 * ink[0] + 0.587 * ink[1] + 0.114 * ink[2] > 140
    draw.text((left + 4, top + height // 2 + 1), text, _INK if light else "#ffffff", font(11, text), anchor="lm")
