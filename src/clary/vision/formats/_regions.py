"""Regions of pictures as COCO has them, polygons and run lengths, and the masks they make.

A polygon is a list x, y, x, y ... in pixels; run lengths say by turns how many pixels are outside and inside, column by
column, as a list or as text. Drawn exactly as pycocotools does it. Source: cocoapi, common/maskApi.c (rleFrPoly,
rleFrString, rleToString).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from clary.vision.base.in_flight import PICTURES
from clary.vision.base.types import IGNORED, Blob
from clary.vision.formats._boxes import is_number
from clary.vision.formats._masks import mask_png

__all__ = ["DrawnMask", "Region", "Shape", "mask_of", "polygon_mask", "runs_in", "runs_of", "shape_in", "text_of"]

Shape: TypeAlias = "tuple[tuple[float, ...], ...] | str | tuple[int, ...]"  # polygons, text of run lengths, run lengths
# Points a pixel along the edge of a polygon: rleFrPoly's own scale, so its masks and ours are equal to the pixel.
_FINE = 5
_BYTES = 6  # a pixel: the mask twice, a shape or two, and the picture made of it


@dataclass(frozen=True, slots=True)
class Region:
    """What belongs to a class; ``shape`` has passed ``shape_in``."""

    class_id: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class DrawnMask(Blob):
    """A mask that is drawn when it is read: a PNG of class ids; ``path`` is the file that has the regions.

    Pixels of no region are ``background``. Of regions that overlap the smaller lies on top.
    """

    regions: tuple[Region, ...] = ()
    height: int = 0
    width: int = 0
    background: int = IGNORED

    def read(self) -> bytes:
        """The PNG. Waits while pictures of other threads take what there is for all (``in_flight``)."""
        height, width = self.height, self.width
        with PICTURES.hold(_BYTES * height * width):
            # By columns, as run lengths and the edges of polygons count.
            ids = np.full((width, height), self.background, np.uint8)
            # Each is drawn twice: all at once, a hundred regions would be a hundred pictures in memory.
            areas = [int(_columns_of(region.shape, height, width)[1].sum()) for region in self.regions]
            # COCO's annotations have no depth; what lies before another thing is smaller as a rule.
            for number in sorted(range(len(areas)), key=lambda number: -areas[number]):
                region = self.regions[number]
                first, inside = _columns_of(region.shape, height, width)
                ids[first : first + len(inside)][inside] = region.class_id
            return mask_png(np.ascontiguousarray(ids.T))

    @property
    def size(self) -> int:
        """How many bytes ``read`` gives."""
        return len(self.read())


def shape_in(value: object, height: int, width: int) -> tuple[Shape | None, str]:
    """The ``segmentation`` of an annotation, None where it has none, and what is wrong with it."""
    if isinstance(value, dict):
        return _runs(value, height, width)
    if not isinstance(value, list) or not value:
        return None, "has no `segmentation` of polygons or run lengths"
    if all(map(is_number, value)):
        return None, f"has a flat `segmentation` of {len(value)} numbers, it is a list of polygons: [[x, y, x, y, ...]]"
    for corners in value:
        if not isinstance(corners, list) or len(corners) < 6 or len(corners) % 2 or not all(map(is_number, corners)):
            return None, "has a polygon that is no list of x, y, x, y ... of three points at least"
        # Every fifth of a pixel of the edge is a point in memory: corners at 1e9 would take all of it.
        if min(corners) < -max(height, width) or max(corners) > 2 * max(height, width):
            return None, f"has a polygon far outside its picture of {width}x{height} pixels"
    return tuple(tuple(map(float, corners)) for corners in value), ""


def mask_of(shape: Shape, height: int, width: int) -> np.ndarray:
    """The pixels of a shape that has passed ``shape_in``, booleans of (height, width)."""
    first, inside = _columns_of(shape, height, width)
    whole = np.zeros((width, height), bool)
    whole[first : first + len(inside)] = inside
    return whole.T


def polygon_mask(corners: Sequence[float], height: int, width: int) -> np.ndarray:
    """The pixels inside one polygon, booleans of (height, width)."""
    return mask_of((tuple(corners),), height, width)


def _columns_of(shape: Shape, height: int, width: int) -> tuple[int, np.ndarray]:
    """The first column that has pixels of a shape, and those of it and the columns after it, booleans (n, height).

    Few columns where the shape is small: a picture may have ten thousand shapes.
    """
    if isinstance(shape, str):
        return 0, _inside(list(runs_in(shape)), height, width)
    if any(isinstance(part, int) for part in shape):
        return 0, _inside(shape, height, width)  # type: ignore[arg-type]  # all of them are
    parts = [_polygon(corners, height, width) for corners in shape]  # type: ignore[arg-type]  # none is
    first = min(start for start, _ in parts)
    found = np.zeros((max(start + len(inside) for start, inside in parts) - first, height), bool)
    for start, inside in parts:
        found[start - first : start - first + len(inside)] |= inside
    return first, found


def _polygon(corners: Sequence[float], height: int, width: int) -> tuple[int, np.ndarray]:
    """As ``_columns_of``, of one polygon.

    Its edge is followed in steps of a fifth of a pixel; where it passes from one column to the next, the column changes
    from outside to inside or back.
    """
    # As C casts: towards zero, where floor() puts corners left of the picture elsewhere than pycocotools.
    points = np.trunc(_FINE * np.asarray(corners, np.float64).reshape(-1, 2) + 0.5).astype(np.int64)
    lines = [_line(start, end) for start, end in zip(points, np.roll(points, -1, axis=0), strict=True)]
    u, v = np.concatenate(lines).T
    moved = np.flatnonzero(np.diff(u)) + 1
    x = (np.minimum(u[moved], u[moved - 1]) + 0.5) / _FINE - 0.5
    y = np.ceil(np.clip((np.minimum(v[moved], v[moved - 1]) + 0.5) / _FINE - 0.5, 0, height))
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    # Column by column, as run lengths count; an edge below the last pixel of a column is one at the next's first.
    places, times = np.unique((x[kept] * height + y[kept]).astype(np.int64), return_counts=True)
    places = places[times % 2 == 1]
    if not len(places):
        return 0, np.zeros((0, height), bool)
    first = int(places[0]) // height
    # An edge that does not come back, at the end of the picture, holds to the end.
    last = width if len(places) % 2 else -(-int(places[-1]) // height)
    turns = np.zeros((last - first) * height + 1, np.uint8)
    turns[places - first * height] = 1
    np.bitwise_xor.accumulate(turns, out=turns)
    return first, turns[:-1].view(bool).reshape(-1, height)


def runs_in(text: str) -> Iterator[int]:
    """The run lengths in a text: six bits a letter, five of them digits, from the third on as differences."""
    before: list[int] = []
    value = place = 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << 5 * place
        place += 1
        if bits & 0x20:
            continue
        if bits & 0x10:
            # A difference may be negative: the fifth bit of its last letter is the sign.
            value |= -1 << 5 * place
        # From the fourth run on (two before it of its own kind): rleFrString adds cnts[m-2] where m > 2.
        before.append(value + (before[-2] if len(before) > 2 else 0))
        yield before[-1]
        value = place = 0


def text_of(runs: Sequence[int]) -> str:
    """Run lengths as text."""
    letters = []
    for number, run in enumerate(runs):
        value = run - (runs[number - 2] if number > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            letters.append(chr(48 + (bits | 0x20 if more else bits)))
    return "".join(letters)


def runs_of(inside: np.ndarray) -> list[int]:
    """The run lengths of booleans (height, width), the first those outside."""
    flat = np.concatenate([[False], inside.T.ravel()])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), inside.size)
    return [int(run) for run in np.diff(ends, prepend=0)]


def _runs(value: dict[str, object], height: int, width: int) -> tuple[Shape | None, str]:
    counts = value.get("counts")
    # Run lengths of another size would make up a mask that is sheared, and look like one.
    if value.get("size") != [height, width]:
        return None, f"has run lengths for a size of {str(value.get('size'))[:40]}, its picture has [{height}, {width}]"
    # Six bits from character 48 on: 0 to o.
    if isinstance(counts, str) and all("0" <= letter <= "o" for letter in counts):
        runs: Sequence[int] = list(runs_in(counts))
    elif isinstance(counts, list) and all(isinstance(run, int) and not isinstance(run, bool) for run in counts):
        runs = counts
    else:
        return None, "has no run lengths in `counts`, neither a list nor text"
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        return None, f"has run lengths that do not make up its {height * width} pixels"
    return (counts if isinstance(counts, str) else tuple(runs)), ""


def _inside(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """The pixels of run lengths, booleans (width, height)."""
    turns = np.arange(len(runs)) % 2 == 1
    return np.repeat(turns, np.asarray(runs, np.int64)).reshape(width, height)


def _line(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The points from one end to the other, both with it, int64 (n, 2); a step is one along the longer side."""
    across, down = np.abs(end - start).tolist()
    longer = 0 if across >= down else 1
    # Always from the lower end, as rleFrPoly: rounding then falls alike in both directions.
    low, high = (end, start) if start[longer] > end[longer] else (start, end)
    steps = np.arange(max(across, down) + 1)
    points = np.empty((len(steps), 2), np.int64)
    points[:, longer] = low[longer] + steps
    slope = (high[1 - longer] - low[1 - longer]) / max(across, down, 1)
    points[:, 1 - longer] = np.trunc(low[1 - longer] + slope * steps + 0.5)
    return points if low is start else points[::-1]
