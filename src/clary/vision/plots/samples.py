"""Sheets of pictures with captions, and how many there are of each class. Drawn with Pillow, so that looking at data
needs no chart library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clary.vision.base.imaging import Preprocess, fit

__all__ = ["distribution", "grid", "sheet"]

GROUND, INK, MUTED, LINE = "#ffffff", "#24292f", "#656d76", "#eaeef2"
# Okabe and Ito's colours (Color Universal Design, 2008), as in the charts of a report.
SPLITS = {"train": "#0072b2", "validation": "#d55e00", "test": "#009e73"}

MARGIN = 28  # pixels around a sheet
GAP = 14  # between cells
CAPTION = 24  # height of the line under a picture
ROUND = 8  # radius of a picture's corners
ROW = 25  # height of a class in the chart
MOST_CLASSES = 60  # rows of the chart; of more, the rarest are shown
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def grid(pictures: Sequence[tuple[np.ndarray, str]], *, columns: int = 6, cell: int = 160) -> Image.Image:
    """Pictures (uint8 RGB, any size) side by side in cells of ``cell`` x ``cell`` pixels, each with its caption.

    A picture fills its cell, what is longer than wide (or wider than long) loses its ends. Fewer pictures than
    ``columns`` make a narrower sheet; none make an empty one of a single cell.
    """
    across = max(1, min(columns, len(pictures)))
    down = max(1, -(-len(pictures) // across))
    canvas = Image.new("RGB", (across * (cell + GAP) - GAP, down * (cell + CAPTION + GAP) - GAP), GROUND)
    draw = ImageDraw.Draw(canvas)
    for i, (pixels, caption) in enumerate(pictures):
        left, top = i % across * (cell + GAP), i // across * (cell + CAPTION + GAP)
        square = fit(pixels, Preprocess(cell, cell, resize=cell))
        canvas.paste(Image.fromarray(np.ascontiguousarray(square)), (left, top), _rounded(cell))
        _text(draw, (left + 1, top + cell + CAPTION // 2 + 1), caption, cell - 2, size=13, anchor="lm")
    return canvas


def distribution(class_names: Sequence[str], counts: Mapping[str, Sequence[int]], *, width: int = 340) -> Image.Image:
    """Bars by class with the splits behind each other; ``counts`` has a number a class for each split.

    More than MOST_CLASSES classes are cut to those with the fewest pictures.
    """
    splits = [split for split in SPLITS if split in counts]
    totals = [sum(counts[split][c] for split in splits) for c in range(len(class_names))]
    shown = sorted(sorted(range(len(class_names)), key=lambda c: totals[c])[:MOST_CLASSES])
    canvas = Image.new("RGB", (width, 34 + ROW * len(shown) + (ROW if len(shown) < len(class_names) else 0)), GROUND)
    draw = ImageDraw.Draw(canvas)
    _legend(draw, {split: sum(counts[split]) for split in splits})
    names = min(max([_length(class_names[c], 13) for c in shown], default=0), width * 0.45)
    numbers = _length(str(max(totals, default=0)), 13)
    room = width - names - numbers - 22
    for row, c in enumerate(shown):
        middle = 34 + row * ROW + ROW // 2
        _text(draw, (0, middle), class_names[c], names, size=13, anchor="lm")
        left = names + 12
        for split in splits:
            right = left + room * counts[split][c] / max(*totals, 1)
            if counts[split][c]:
                draw.rectangle((left, middle - 7, max(left, right - 1), middle + 7), SPLITS[split])
            left = right
        _text(draw, (left + 8, middle), str(totals[c]), numbers, size=13, anchor="lm", colour=MUTED)
    if len(shown) < len(class_names):
        remark = f"the {len(shown)} rarest of {len(class_names)} classes"
        _text(draw, (0, canvas.height - ROW // 2), remark, width, size=12, anchor="lm", colour=MUTED)
    return canvas


def sheet(title: str, subtitle: str, pictures: Image.Image, chart: Image.Image) -> Image.Image:
    """A page: title, the grid on the left, the chart on the right margin."""
    head = 66
    width = MARGIN + pictures.width + 2 * MARGIN + chart.width + MARGIN
    height = MARGIN + head + max(pictures.height, chart.height) + MARGIN
    page = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(page)
    _text(draw, (MARGIN, MARGIN + 10), title, width - 2 * MARGIN, size=24, anchor="lm")
    _text(draw, (MARGIN, MARGIN + 38), subtitle, width - 2 * MARGIN, size=14, anchor="lm", colour=MUTED)
    rule = MARGIN + pictures.width + MARGIN
    draw.line((rule, MARGIN + head, rule, height - MARGIN), LINE)
    page.paste(pictures, (MARGIN, MARGIN + head))
    page.paste(chart, (rule + MARGIN, MARGIN + head))
    return page


def _legend(draw: ImageDraw.ImageDraw, totals: Mapping[str, int]) -> None:
    left = 0.0
    for split, total in totals.items():
        draw.rectangle((left, 5, left + 10, 15), SPLITS[split])
        text = f"{split} {total}"
        _text(draw, (left + 16, 10), text, 200, size=13, anchor="lm", colour=MUTED)
        left += 16 + _length(text, 13) + 18


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    room: float,
    *,
    size: int,
    anchor: str,
    colour: str = INK,
) -> None:
    """One line of at most ``room`` pixels; a longer text ends in dots."""
    text = "".join(c if c.isprintable() else "?" for c in text[:200])
    if _length(text, size) > room:
        while text and _length(text + "...", size) > room:
            text = text[:-1]
        text += "..."
    draw.text(place, text, colour, _font(size, text.isascii()), anchor=anchor)


def _length(text: str, size: int) -> float:
    return _font(size, text.isascii()).getlength(text)


@lru_cache
def _font(size: int, ascii_only: bool) -> Font:
    """Pillow brings a font for ASCII; for other letters one of the system's, or matplotlib's, where there is any."""
    if not ascii_only:
        matplotlib = find_spec("matplotlib")  # found, not imported
        folders = (matplotlib.submodule_search_locations or []) if matplotlib else []
        for font in (*FONTS, *(f"{folder}/mpl-data/fonts/ttf/DejaVuSans.ttf" for folder in folders)):
            with suppress(OSError):
                return ImageFont.truetype(font, size)
    return ImageFont.load_default(size)


@lru_cache
def _rounded(size: int) -> Image.Image:
    """A mask with round corners, smooth by drawing it four times as large."""
    mask = Image.new("L", (size * 4, size * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size * 4 - 1, size * 4 - 1), ROUND * 4, 255)
    return mask.resize((size, size), Image.Resampling.BOX)
