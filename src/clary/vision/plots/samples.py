"""Sheets of pictures with captions, and how many there are of each class. Drawn with Pillow, so that looking at data
needs no chart library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from clary.vision.base.preprocessing import Preprocess, fit

__all__ = ["distribution", "font", "grid", "justified", "rows", "sheet", "text_length"]

GROUND, INK, MUTED, LINE = "#ffffff", "#24292f", "#656d76", "#eaeef2"
# Okabe and Ito's colours (Color Universal Design, 2008), as in the charts of a report.
SPLITS = {"train": "#0072b2", "validation": "#d55e00", "test": "#009e73"}

MARGIN = 28  # pixels around a sheet
GAP = 14  # between cells
CAPTION = 24  # height of the line under a picture
ROUND = 8  # radius of a picture's corners
ROW = 25  # height of a class in the chart
MOST_CLASSES = 60  # rows of the chart; of more, the rarest are shown
# The one with most letters first; the last two are of macOS and Windows.
FONTS = ("NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def grid(images: Sequence[tuple[np.ndarray, str]], *, columns: int = 6, cell: int = 160) -> Image.Image:
    """Pictures (uint8 RGB, any size) side by side in cells of ``cell`` x ``cell`` pixels, each with its caption.

    A picture fills its cell, what is longer than wide (or wider than long) loses its ends. Fewer pictures than
    ``columns`` make a narrower sheet; none make an empty one of a single cell.
    """
    across = max(1, min(columns, len(images)))
    square = Preprocess(cell, cell, resize=cell)
    fitted = [(fit(pixels, square), caption) for pixels, caption in images]
    lines = [fitted[i : i + across] for i in range(0, len(fitted), across)]
    return rows(lines, width=across * (cell + GAP) - GAP, least=cell)


def justified(sizes: Sequence[tuple[int, int]], *, width: int, height: int) -> list[list[tuple[int, int]]]:
    """Rows that hold pictures whole and fill ``width`` pixels: the size (width, height) of each, in order.

    ``sizes`` are those of the pictures. A row is about ``height`` pixels high; the last may stay narrower.
    """
    found: list[list[tuple[int, int]]] = []
    row: list[float] = []  # of each picture width / height, none so flat that its row would vanish
    for image_width, image_height in sizes:
        row.append(min(max(image_width / image_height, 0.25), 4.0))
        if sum(row) * height + GAP * (len(row) - 1) >= width:
            found.append(_row(row, (width - GAP * (len(row) - 1)) / sum(row)))
            row = []
    return [*found, _row(row, height)] if row else found


def rows(images: Sequence[Sequence[tuple[np.ndarray, str]]], *, width: int, least: int = 160) -> Image.Image:
    """Rows of pictures (uint8 RGB) as they are, each with its caption; none make an empty sheet ``least`` high."""
    heights = [max(pixels.shape[0] for pixels, _ in row) for row in images]
    down = sum(height + CAPTION + GAP for height in heights or [least]) - GAP
    canvas = Image.new("RGB", (width, down), GROUND)
    draw = ImageDraw.Draw(canvas)
    top = 0
    for row, height in zip(images, heights, strict=True):
        left = 0
        for pixels, caption in row:
            across, down = pixels.shape[1], pixels.shape[0]
            canvas.paste(Image.fromarray(np.ascontiguousarray(pixels)), (left, top), _rounded(across, down))
            _text(draw, (left + 1, top + height + CAPTION // 2 + 1), caption, across - 2, size=13, anchor="lm")
            left += across + GAP
        top += height + CAPTION + GAP
    return canvas


def distribution(
    class_names: Sequence[str],
    counts: Mapping[str, Sequence[float]],
    *,
    width: int = 340,
    totals_of: Mapping[str, int] | None = None,
    colours: Sequence[str] | None = None,
    spell: Callable[[float], str] = str,
) -> Image.Image:
    """Bars by class with the splits behind each other; ``counts`` has a number a class for each split.

    The legend says ``totals_of`` each split, by default the sum of its numbers; ``colours`` put a mark before each
    class; ``spell`` writes a number. More than MOST_CLASSES classes are cut to those with the smallest numbers.
    """
    splits = [split for split in SPLITS if split in counts]
    totals = [sum(counts[split][c] for split in splits) for c in range(len(class_names))]
    shown = sorted(sorted(range(len(class_names)), key=lambda c: totals[c])[:MOST_CLASSES])
    canvas = Image.new("RGB", (width, 34 + ROW * len(shown) + (ROW if len(shown) < len(class_names) else 0)), GROUND)
    draw = ImageDraw.Draw(canvas)
    _legend(draw, {split: totals_of[split] if totals_of else int(sum(counts[split])) for split in splits})
    mark = 18 if colours else 0
    names = mark + min(max([text_length(class_names[c], 13) for c in shown], default=0), width * 0.45 - mark)
    numbers = max((text_length(spell(total), 13) for total in totals), default=0)
    room = width - names - numbers - 22
    for row, c in enumerate(shown):
        middle = 34 + row * ROW + ROW // 2
        if colours:
            draw.rounded_rectangle((0, middle - 6, 12, middle + 6), 3, colours[c])
        _text(draw, (mark, middle), class_names[c], names - mark, size=13, anchor="lm")
        left = names + 12
        for split in splits:
            # Of the largest total, so that bars of different classes can be compared; an empty set divides by 1.
            right = left + room * counts[split][c] / (max(totals) or 1)
            if counts[split][c]:
                draw.rectangle((left, middle - 7, max(left, right - 1), middle + 7), SPLITS[split])
            left = right
        _text(draw, (left + 8, middle), spell(totals[c]), numbers, size=13, anchor="lm", colour=MUTED)
    if len(shown) < len(class_names):
        remark = f"the {len(shown)} rarest of {len(class_names)} classes"
        _text(draw, (0, canvas.height - ROW // 2), remark, width, size=12, anchor="lm", colour=MUTED)
    return canvas


def sheet(title: str, subtitle: str, images: Image.Image, chart: Image.Image) -> Image.Image:
    """A page: title, the grid on the left, the chart on the right margin."""
    head = 66
    width = MARGIN + images.width + 2 * MARGIN + chart.width + MARGIN
    height = MARGIN + head + max(images.height, chart.height) + MARGIN
    page = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(page)
    _text(draw, (MARGIN, MARGIN + 10), title, width - 2 * MARGIN, size=24, anchor="lm")
    _text(draw, (MARGIN, MARGIN + 38), subtitle, width - 2 * MARGIN, size=14, anchor="lm", colour=MUTED)
    rule = MARGIN + images.width + MARGIN
    draw.line((rule, MARGIN + head, rule, height - MARGIN), LINE)
    page.paste(images, (MARGIN, MARGIN + head))
    page.paste(chart, (rule + MARGIN, MARGIN + head))
    return page


def _row(ratios: Sequence[float], height: float) -> list[tuple[int, int]]:
    ends = np.rint(np.cumsum([0.0, *ratios]) * height).astype(
        int
    )  # rounded in all, so that a row is no wider than said
    return [(max(1, width), max(1, round(height))) for width in np.diff(ends).tolist()]


def _legend(draw: ImageDraw.ImageDraw, totals: Mapping[str, int]) -> None:
    left = 0.0
    for split, total in totals.items():
        draw.rectangle((left, 5, left + 10, 15), SPLITS[split])
        text = f"{split} {total}"
        _text(draw, (left + 16, 10), text, 200, size=13, anchor="lm", colour=MUTED)
        left += 16 + text_length(text, 13) + 18


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
    if text_length(text, size) > room:
        # Letter by letter: in a font of varying widths a length says nothing of a number of letters.
        while text and text_length(text + "...", size) > room:
            text = text[:-1]
        text += "..."
    draw.text(place, text, colour, font(size, text), anchor=anchor)


def text_length(text: str, size: int) -> float:
    """Pixels a text of that font size is wide."""
    return font(size, text).getlength(text)


def font(size: int, text: str) -> Font:
    """A font that has the letters of ``text``, where there is any."""
    # Two fonts a size, whatever the text: few are ever opened.
    return _font(size, text.isascii())


@lru_cache
def _font(size: int, ascii_only: bool) -> Font:
    """Pillow brings a font for ASCII; for other letters one of the system's, or matplotlib's, where there is any."""
    if not ascii_only:
        # Found, not imported.
        matplotlib = find_spec("matplotlib")
        folders = (matplotlib.submodule_search_locations or []) if matplotlib else []
        for font in (*FONTS, *(f"{folder}/mpl-data/fonts/ttf/DejaVuSans.ttf" for folder in folders)):
            with suppress(OSError):
                return ImageFont.truetype(font, size)
    return ImageFont.load_default(size)


@lru_cache
def _rounded(width: int, height: int) -> Image.Image:
    """A mask with round corners, smooth by drawing it four times as large."""
    mask = Image.new("L", (width * 4, height * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * 4 - 1, height * 4 - 1), ROUND * 4, 255)
    return mask.resize((width, height), Image.Resampling.BOX)
