"""Anchors: the boxes a detector starts from. SSD's own, or fitted to the boxes of a data set; and which anchor answers
for which object. Arrays only, in fractions of the picture; a description holds them as plain numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from clary.errors import UsageError
from clary.vision.base.boxes import corners, iou

__all__ = ["BACKGROUND", "IGNORED", "Anchors", "Level", "fit_sizes", "spread", "ssd_levels"]

BACKGROUND, IGNORED = -1, -2  # what an anchor without an object answers for

Grid = tuple[int, int]  # rows, columns
Size = tuple[float, float]  # width, height

# SSD's sizes, (first, geometric mean with the next) by level, as SageMaker's object detection has them; and how many
# ratios a level has. Networks of six levels, and VGG-16 with seven from LARGE pixels on.
SIZES = {
    6: ((0.1, 0.141421), (0.2, 0.272029), (0.37, 0.44699), (0.54, 0.619193), (0.71, 0.790443), (0.88, 0.961249)),
    7: ((0.07, 0.1025), (0.15, 0.2121), (0.3, 0.3674), (0.45, 0.5196), (0.6, 0.6708), (0.75, 0.8216), (0.9, 0.9721)),
}
RATIOS = (1.0, 2.0, 1 / 2, 3.0, 1 / 3)  # width to height
RATIO_COUNTS = {6: (3, 5, 5, 5, 3, 3), 7: (3, 5, 5, 5, 5, 3, 3)}

# Pixels between the centres of VGG-16's cells, for the two sizes that SSD was published with.
VGG_STEPS = {300: (8, 16, 32, 64, 100, 300), 512: (8, 16, 32, 64, 128, 256, 512)}


@dataclass(frozen=True, slots=True)
class Level:
    """The anchors of one map: ``sizes`` around the centre of each cell, cells row by row.

    The centre of cell (row, column) is at ((column + 0.5) * step[1], (row + 0.5) * step[0]).
    """

    grid: Grid
    step: tuple[float, float]
    sizes: tuple[Size, ...]

    @classmethod
    def even(cls, grid: Grid, sizes: Sequence[Size]) -> Level:
        """Cells that share the picture evenly."""
        return cls(grid, (1 / grid[0], 1 / grid[1]), tuple(sizes))

    def boxes(self) -> np.ndarray:
        """float64 (rows * columns * sizes, 4), centred."""
        rows, columns = ((np.arange(n) + 0.5) * step for n, step in zip(self.grid, self.step, strict=True))
        found = np.empty((*self.grid, len(self.sizes), 4))
        found[..., 0], found[..., 1] = columns[None, :, None], rows[:, None, None]
        found[..., 2:] = np.array(self.sizes)
        return found.reshape(-1, 4)

    def describe(self) -> dict[str, Any]:
        return {"grid": list(self.grid), "step": list(self.step), "sizes": [list(size) for size in self.sizes]}


class Anchors:
    """All anchors of a network, level by level, in the order of its outputs: ``centred`` float32 (A, 4)."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = tuple(levels)
        self.centred = np.concatenate([level.boxes() for level in levels]).astype(np.float32)
        self._corners = corners(self.centred)

    def __len__(self) -> int:
        return len(self.centred)

    @classmethod
    def from_description(cls, levels: Sequence[Mapping[str, Any]]) -> Anchors:
        """The anchors that ``describe`` told of."""
        return cls([_level(one) for one in levels])

    def describe(self) -> list[dict[str, Any]]:
        return [level.describe() for level in self.levels]

    def assign(self, boxes: np.ndarray, overlap: float = 0.5, background: float = 0.5) -> np.ndarray:
        """Which of ``boxes`` (n, 4) every anchor answers for: int64 (A,), or BACKGROUND, or IGNORED.

        First every box takes its best anchor, the best pair of all first; then every anchor left takes the box it
        overlaps most, by more than ``overlap``. The others are background where they overlap all boxes by less than
        ``background``. Without boxes every anchor is ignored: such a picture gives no loss.
        """
        if not len(boxes):
            # As the original: a picture without annotations gives no signal (guide).
            return np.full(len(self), IGNORED)
        shared = iou(boxes.astype(np.float32), self._corners)
        nearest, most = shared.argmax(axis=0), shared.max(axis=0)
        found = np.where(most < background, BACKGROUND, IGNORED)
        # Above, not from it on, as MXNet's MultiBoxTarget.
        found = np.where(most > overlap, nearest, found)
        # Last, over what was found above: each object must have an anchor, even one that overlaps none by half.
        for box, anchor in _best_pairs(shared):
            found[anchor] = box
        return found

    def target(self, objects: np.ndarray, slots: int, overlap: float = 0.5, background: float = 0.5) -> np.ndarray:
        """What the loss is told of a picture, float32 (5 * slots + A,): its objects, then what each anchor answers for.

        ``objects`` are (n, 5) class id and box; free slots hold -1. Raises ValueError for more than ``slots``.
        """
        if len(objects) > slots:
            raise ValueError(f"{len(objects)} objects do not fit into {slots} slots")
        # One row of fixed length: batches are stacked, and pictures have any number of objects.
        target = np.full(5 * slots + len(self), -1, np.float32)
        target[: objects.size] = objects.ravel()
        target[5 * slots :] = self.assign(objects[:, 1:], overlap, background)
        return target


def ssd_levels(grids: Sequence[Grid], height: int, width: int, *, vgg: bool = False) -> list[Level]:
    """SSD's anchors on maps of six levels or seven. Raises UsageError for another number."""
    if len(grids) not in SIZES:
        raise UsageError(f"SSD has anchors for 6 or 7 maps, not {len(grids)}", hint="fit them to the data instead")
    steps = VGG_STEPS.get(height, ()) if vgg and height == width else ()
    levels = []
    for place, grid in enumerate(grids):
        sizes = _around(SIZES[len(grids)][place], RATIOS[: RATIO_COUNTS[len(grids)][place]])
        even = Level.even(grid, sizes)
        levels.append(Level(grid, (steps[place] / height, steps[place] / width), even.sizes) if steps else even)
    return levels


def spread(sizes: np.ndarray, grids: Sequence[Grid]) -> list[Level]:
    """Sizes (k * levels, 2), smallest area first, k to each map, the finest first.

    Raises UsageError where they do not share out evenly.
    """
    share, rest = divmod(len(sizes), len(grids))
    if rest or not share:
        raise UsageError(f"{len(sizes)} anchors do not share out over {len(grids)} maps", hint="take a multiple")
    parts = [sizes[place * share : (place + 1) * share] for place in range(len(grids))]
    return [Level.even(grid, [(float(w), float(h)) for w, h in part]) for grid, part in zip(grids, parts, strict=True)]


def fit_sizes(
    sizes: np.ndarray, count: int, *, scales: tuple[float, float] = (0.6, 1.4), copies: int = 8, seed: int = 0
) -> np.ndarray:
    """``count`` widths and heights that stand for ``sizes`` (N, 2): float64 (count, 2), smallest area first.

    k-means of the logarithms (Redmon 2016, *YOLO9000*, fits by overlap instead), of ``copies`` of each box, enlarged
    at random between ``scales`` as the augmentation will do. Raises UsageError without any box.
    """
    sizes = sizes[(sizes > 0).all(axis=1)]
    if not len(sizes):
        raise UsageError("there are no boxes to fit anchors to", hint="give pictures with boxes")
    random = np.random.Generator(np.random.PCG64(seed))
    low, high = np.log(scales)
    # Both sides by one factor: sizes are to be spread, aspects are the data's own.
    points = np.concatenate([np.log(sizes) + random.uniform(low, high, (len(sizes), 1)) for _ in range(copies)])
    points = np.minimum(points, 0.0)  # no wider than the picture
    # Quantiles of the area, not random points: no size is left without a centre to start from.
    by_area = points[points.sum(axis=1).argsort(kind="stable")]
    centres = by_area[((np.arange(count) + 0.5) * len(by_area) / count).astype(int)]
    # A bound only: it ends where nothing moves.
    for _ in range(100):
        nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        members = [points[nearest == place] for place in range(count)]
        # A centre that no point is nearest to stays where it is.
        moved = np.stack([m.mean(axis=0) if len(m) else c for m, c in zip(members, centres, strict=True)])
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.exp(centres[centres.sum(axis=1).argsort(kind="stable")])


def _around(sizes: Sequence[float], ratios: Sequence[float]) -> list[Size]:
    """All sizes at the first ratio, then the first size at the other ratios."""
    first, *others = ratios
    pairs = [(size, first) for size in sizes] + [(sizes[0], ratio) for ratio in others]
    return [(size * ratio**0.5, size / ratio**0.5) for size, ratio in pairs]


def _best_pairs(shared: np.ndarray) -> list[tuple[int, int]]:
    """(box, anchor) pairs out of overlaps (n, A), the best first, each box and each anchor once."""
    pairs = []
    waiting = {box: (int(shared[box].argmax()), float(shared[box].max())) for box in range(len(shared))}
    taken: list[int] = []
    while waiting:
        # The best pair of all, again and again, as MXNet does it; only boxes are looked through, each with its best
        # anchor at hand, where all pairs would be n x 8,732 a round.
        box = max(waiting, key=lambda one: waiting[one][1])
        anchor, most = waiting.pop(box)
        if most <= 0:
            continue
        if anchor in taken:  # look again among those left
            left = shared[box].copy()
            left[taken] = 0
            waiting[box] = (int(left.argmax()), float(left.max()))
            continue
        pairs.append((box, anchor))
        taken.append(anchor)
    return pairs


def _level(told: Mapping[str, Any]) -> Level:
    (rows, columns), (down, across) = told["grid"], told["step"]
    sizes = tuple((float(width), float(height)) for width, height in told["sizes"])
    return Level((int(rows), int(columns)), (float(down), float(across)), sizes)
