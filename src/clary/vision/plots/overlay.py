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
_LETTER = 11  # pixels of a label's letters, at least
_LETTERS = 40  # such letters would fit one above the other into a picture, at most
_BAND = 1 << 20  # pixels that are mixed at a time
_FREE = 0.05  # share of a label that others may cover

Corners = tuple[int, int, int, int]
Rgb = tuple[int, int, int]


def draw_boxes(
    pixels: np.ndarray,
    boxes: Sequence[Box],
    class_names: Sequence[str],
    size: tuple[int, int],
    *,
    labels: bool = True,
    captions: Sequence[str] = (),
    inks: Sequence[Rgb] = (),
    letter: int | None = None,
) -> np.ndarray:
    """Boxes in the colours of their classes, or in ``inks``, over a picture, uint8 RGB.

    Boxes are in pixels of a picture of ``size`` (width, height), whatever size ``pixels`` has. A difficult box has a
    broken line. With ``labels`` the class stands at the box where it covers no other label, or what ``captions`` has
    for each box (nothing where that is empty). Letters are ``letter`` pixels high, by default as the picture is large,
    and lines go with them. The pixels given stay as they are.
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    letter = letter or max(_LETTER, max(image.size) // _LETTERS)
    across, down = image.width / size[0], image.height / size[1]
    words = captions or [class_names[box.class_id] for box in boxes]
    tints = inks or [colour(box.class_id) for box in boxes]
    # Large boxes first: small ones would lie under them.
    largest_first = sorted(zip(boxes, words, tints, strict=True), key=lambda one: -_area(one[0]))
    places = [_scaled(box, across, down) for box, *_ in largest_first]
    edge = max(2, round(letter / 6))
    for (box, _, ink), corners in zip(largest_first, places, strict=True):
        _outline(draw, corners, ink, edge, broken=box.difficult)
    taken: list[Corners] = []
    # After all lines: no line runs through a name.
    for (_, word, ink), corners in zip(largest_first, places, strict=True):
        if labels and word:
            _tag(draw, corners, word, ink, letter, taken)
    return np.asarray(image)


def draw_mask(pixels: np.ndarray, ids: np.ndarray, class_names: Sequence[str] = ()) -> np.ndarray:
    """Class ids (uint8, any size of the same aspect) as colours over a picture, with a line around each region.

    Ignored pixels are hatched. With ``class_names`` those of the classes that are there stand in the lower left corner.
    The pixels given stay as they are.
    """
    height, width = pixels.shape[:2]
    # The pixel nearest: between two class ids lies none.
    rows = np.minimum((np.arange(height) * ids.shape[0]) // height, ids.shape[0] - 1)
    columns = np.minimum((np.arange(width) * ids.shape[1]) // width, ids.shape[1] - 1)
    drawn = np.empty((height, width, 3), np.uint8)
    # Band by band: in floating point the whole of a large picture would take fifty bytes a pixel.
    for top in range(0, height, step := max(1, _BAND // width)):
        # One row more, that of the neighbour below.
        near = ids[rows[top : top + step + 1, None], columns]
        drawn[top : top + step] = _covered(pixels[top : top + step], near, top)
    there = [(colour(c), name) for c, name in enumerate(class_names[:IGNORED]) if (ids == c).any()]
    return _with_legend(drawn, there) if there else drawn


def _covered(pixels: np.ndarray, near: np.ndarray, top: int) -> np.ndarray:
    """A band that begins at the row ``top``, with its class ids over it; ``near`` may have the row below as well."""
    height, width = pixels.shape[:2]
    edge = np.zeros((height, width), bool)
    below = near[1:] != near[:-1]
    edge[: len(below)] |= below
    near = near[:height]
    edge[:, :-1] |= near[:, :-1] != near[:, 1:]
    table = np.array([colour(class_id) for class_id in range(256)], dtype=np.float32)
    mixed = pixels * (1 - _COVER) + table[near] * _COVER
    ignored = near == IGNORED
    # Light and dark stripes: to be seen on any picture, and no class has them.
    hatch = (np.add.outer(np.arange(top, top + height), np.arange(width)) // 4) % 2 == 0
    mixed[ignored] = pixels[ignored] * 0.5 + np.where(hatch[ignored][:, None], 240.0, 120.0) * 0.5
    mixed[edge] = 255
    covered: np.ndarray = np.clip(mixed, 0, 255).astype(np.uint8)
    return covered


def _with_legend(pixels: np.ndarray, entries: Sequence[tuple[Rgb, str]]) -> np.ndarray:
    """The names on their colours, one above the other from the lower left corner; what finds no room is left out."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    letter = max(_LETTER, max(image.size) // _LETTERS)
    high = letter + letter // 3
    for row, (ink, name) in enumerate(reversed(entries), start=1):
        top = image.height - row * high - letter // 2
        _tag(draw, (letter // 2, top, letter // 2, top), name, ink, letter, [])
    return np.asarray(image)


def _area(box: Box) -> float:
    return (box.xmax - box.xmin) * (box.ymax - box.ymin)


def _scaled(box: Box, across: float, down: float) -> Corners:
    """The corners in pixels of the drawing, both inside the box and no closer than a line needs."""
    left, top = round(box.xmin * across), round(box.ymin * down)
    right, bottom = round(box.xmax * across - 1), round(box.ymax * down - 1)
    return left, top, max(right, left + 2), max(bottom, top + 2)


def _outline(draw: ImageDraw.ImageDraw, corners: Corners, ink: Rgb, edge: int, *, broken: bool) -> None:
    left, top, right, bottom = corners
    if not broken:
        # A dark line around the coloured one: boxes are seen on their own colour too.
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_INK)
        draw.rectangle(corners, outline=ink, width=edge)
        return
    draw.rectangle(corners, outline=_INK, width=edge)  # between the dashes, for a light ground
    step = 5 * edge
    for start in range(left, right, step):
        end = min(start + step // 2, right)
        draw.rectangle((start, top, end, top + edge - 1), ink)
        draw.rectangle((start, bottom - edge + 1, end, bottom), ink)
    for start in range(top, bottom, step):
        end = min(start + step // 2, bottom)
        draw.rectangle((left, start, left + edge - 1, end), ink)
        draw.rectangle((right - edge + 1, start, right, end), ink)


def _tag(draw: ImageDraw.ImageDraw, corners: Corners, name: str, ink: Rgb, letter: int, taken: list[Corners]) -> None:
    """The name on the box's colour, where it covers no other name; its place is added to ``taken``."""
    text = "".join(c if c.isprintable() else "?" for c in name[:40])
    width, height = round(text_length(text, letter)) + letter * 2 // 3, letter + letter // 3
    across, down = draw.im.size
    if width > across or height > down:
        return
    found = [
        (min(max(left, 0), across - width), min(max(top, 0), down - height))
        for left, top in _places(corners, width, height)
    ]
    shared = [sum(_shared((x, y, x + width, y + height), other) for other in taken) for x, y in found]
    # The first place that is free enough, in the order of _places; where none is, the one that covers least.
    best = next((n for n, area in enumerate(shared) if area <= _FREE * width * height), int(np.argmin(shared)))
    left, top = found[best]
    taken.append((left, top, left + width, top + height))
    draw.rectangle((left, top, left + width - 1, top + height - 1), ink)
    # Luma of ITU-R BT.601: dark letters on light colours.
    light = 0.299 * ink[0] + 0.587 * ink[1] + 0.114 * ink[2] > 140
    place = (left + letter // 3, top + height / 2 + 0.5)
    draw.text(place, text, _INK if light else "#ffffff", font(letter, text), anchor="lm")


def _places(corners: Corners, width: int, height: int) -> list[tuple[int, int]]:
    """Where a label may stand, the best first: above its box, inside at the top, at the other corners, below it."""
    left, top, right, bottom = corners
    above = [(left, top - height), (right - width + 1, top - height)] if top >= height else []
    inside = [(left, top), (right - width + 1, top), (left, bottom - height), (right - width + 1, bottom - height)]
    return [*above, *inside, (left, bottom + 1), (right - width + 1, bottom + 1)]


def _shared(one: Corners, other: Corners) -> int:
    """Pixels that two rectangles have in common."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(across, 0) * max(down, 0)
