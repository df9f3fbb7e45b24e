"""A page that shows what a data set holds: pictures of every class with what is known of them, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clary.errors import ImageError
from clary.vision.base import imaging
from clary.vision.base.types import IGNORED, Dataset, Sample, SplitName
from clary.vision.plots import samples
from clary.vision.plots.overlay import colours, draw_boxes, draw_mask

__all__ = ["chosen", "drawn", "page"]

LEAST, MOST = 24, 60  # pictures of a page
COLUMNS = 6
WIDE_LEAST, WIDTH, HEIGHT = 15, 1080, 200  # of a page with boxes or masks: pictures, its width, about a row's height
MASKS = 200  # masks of a split that are opened to tell how much there is of each class

Captioned = tuple[np.ndarray, str]


def page(dataset: Dataset, split: SplitName, *, title: str = "", seed: int = 0) -> tuple[Image.Image, int]:
    """The page, and how many of the pictures chosen could not be decoded; ``split`` is the one shown.

    Pictures of classes are cut to squares; those with boxes or masks are shown whole.
    """
    wide = dataset.task != "classification"
    picked = chosen(dataset.splits[split], len(dataset.class_names), seed, WIDE_LEAST if wide else LEAST)
    decoded = [(sample, pixels) for sample in picked if (pixels := _pixels_of(sample)) is not None]
    title = title or Path(dataset.root).resolve().name
    subtitle = f"{len(dataset)} pictures, {len(dataset.class_names)} classes; {len(decoded)} of {split} shown"
    if wide:
        sizes = samples.justified([(p.shape[1], p.shape[0]) for _, p in decoded], width=WIDTH, height=HEIGHT)
        left = iter(decoded)
        images_of_rows = [[drawn(dataset, *next(left), size) for size in row] for row in sizes]
        images = samples.rows(images_of_rows, width=WIDTH)
    else:
        captioned = [(p, ", ".join(dataset.class_names[c] for c in s.classes) or "none") for s, p in decoded]
        images = samples.grid(captioned, columns=COLUMNS)
    return samples.sheet(title, subtitle, images, _chart(dataset)), len(picked) - len(decoded)


def chosen(found: Sequence[Sample], classes: int, seed: int, least: int = LEAST) -> list[Sample]:
    """Up to MOST samples, the classes taking turns, at random within a class."""
    random = np.random.Generator(np.random.PCG64(seed))
    order = np.argsort(random.random(len(found)), kind="stable")
    by_class: dict[tuple[int, ...], list[Sample]] = {}
    for i in order:
        by_class.setdefault(found[i].classes[:1], []).append(found[i])
    turns = [by_class[key] for key in sorted(by_class)]
    wanted = min(max(least, classes), MOST, len(found))
    in_turn = [group[turn] for turn in range(len(found)) for group in turns if turn < len(group)]
    return in_turn[:wanted]


def _pixels_of(sample: Sample) -> np.ndarray | None:
    try:
        return imaging.decode(sample.image.read(), at_least=320)
    except (ImageError, OSError):
        return None


def drawn(dataset: Dataset, sample: Sample, pixels: np.ndarray, size: tuple[int, int]) -> Captioned:
    """A picture of ``size`` with its boxes or mask, and what they are."""
    names = dataset.class_names
    small = imaging.resize(pixels, size[1], size[0])
    if dataset.task == "detection":
        whole = imaging.upright_size(sample.image.read())
        return draw_boxes(small, sample.boxes, names, whole), _counted([names[box.class_id] for box in sample.boxes])
    ids = _ids_of(sample)
    return (small, "no mask that can be read") if ids is None else (draw_mask(small, ids), _shares(ids, names))


def _ids_of(sample: Sample) -> np.ndarray | None:
    try:
        return imaging.decode_mask(sample.mask.read(), sample.mask_values) if sample.mask else None
    except (ImageError, OSError):
        return None


def _counted(found: Sequence[str]) -> str:
    """``cat, 2 dog``."""
    counts = {name: found.count(name) for name in dict.fromkeys(found)}
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "no box"


def _shares(ids: np.ndarray, names: Sequence[str]) -> str:
    """``pet 38%, border 11%``: the largest classes of a mask."""
    counts = np.bincount(ids.ravel(), minlength=256)
    known = [(counts[c] / ids.size, name) for c, name in enumerate(names[:IGNORED]) if counts[c]]
    largest = sorted(known, key=lambda pair: -pair[0])[:3]
    return ", ".join(f"{name} {share:.0%}" for share, name in largest) or "nothing but ignored pixels"


def _chart(dataset: Dataset) -> Image.Image:
    names = dataset.class_names
    totals: dict[str, int] = {split: len(found) for split, found in dataset.splits.items()}
    counts: dict[str, list[float]] = {}
    if dataset.task == "classification":
        return samples.distribution(names, {split: dataset.counts(split) for split in dataset.splits})
    if dataset.task == "detection":
        counts = {split: _boxes(found, len(names)) for split, found in dataset.splits.items()}
        return samples.distribution(names, counts, totals_of=totals, colours=colours(len(names)), spell="{:.0f}".format)
    pixels = {split: _pixels(found, len(names)) for split, found in dataset.splits.items()}
    whole = max(sum(map(sum, pixels.values())), 1)
    counts = {split: [100 * count / whole for count in found] for split, found in pixels.items()}
    return samples.distribution(names, counts, totals_of=totals, colours=colours(len(names)), spell="{:.1f}%".format)


def _boxes(found: Sequence[Sample], classes: int) -> list[float]:
    ids = np.array([box.class_id for sample in found for box in sample.boxes], dtype=np.int64)
    return [float(count) for count in np.bincount(ids, minlength=classes)]


def _pixels(found: Sequence[Sample], classes: int) -> list[float]:
    """Pixels of each class in all masks, judged by about MASKS of them spread over the split."""
    step = max(1, len(found) // MASKS)
    total = np.zeros(classes)
    for sample in found[::step]:
        if (ids := _ids_of(sample)) is not None:
            total += np.bincount(ids.ravel(), minlength=256)[:classes]
    return [float(count) * step for count in total]
