"""A page that shows what a data set holds: pictures of every class with what is known of them, and how much of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from clary.errors import ImageError
from clary.vision.base import decoding
from clary.vision.base.types import Dataset, Sample, SplitName
from clary.vision.plots import samples
from clary.vision.plots.sample_views import view_of
from clary.vision.tasks import TASKS

__all__ = ["chosen", "page"]

LEAST, MOST = 24, 60  # pictures of a page
COLUMNS = 6
WIDE_LEAST, WIDTH, HEIGHT = 15, 1080, 200  # of a page with boxes or masks: pictures, its width, about a row's height


def page(dataset: Dataset, split: SplitName, *, title: str = "", seed: int = 0) -> tuple[Image.Image, int]:
    """The page, and how many of the pictures chosen could not be decoded; ``split`` is the one shown.

    Pictures whose targets have no place in them are cut to squares; those with boxes or masks are shown whole.
    """
    task, view = TASKS.get(dataset.task), view_of(dataset.task)
    wide = task.localises
    picked = chosen(dataset.splits[split], len(dataset.class_names), seed, WIDE_LEAST if wide else LEAST)
    decoded = [(sample, pixels) for sample in picked if (pixels := _pixels_of(sample)) is not None]
    title = title or Path(dataset.root).resolve().name
    subtitle = f"{len(dataset)} pictures, {len(dataset.class_names)} classes; {len(decoded)} of {split} shown"
    if wide:
        sizes = samples.justified([(p.shape[1], p.shape[0]) for _, p in decoded], width=WIDTH, height=HEIGHT)
        left = iter(decoded)
        images_of_rows = [[view.drawn(dataset, *next(left), size) for size in row] for row in sizes]
        images = samples.rows(images_of_rows, width=WIDTH)
    else:
        captioned = [(p, task.caption(s, dataset.class_names) or "none") for s, p in decoded]
        images = samples.grid(captioned, columns=COLUMNS)
    return samples.sheet(title, subtitle, images, view.chart(dataset)), len(picked) - len(decoded)


def chosen(found: Sequence[Sample], classes: int, seed: int, least: int = LEAST) -> list[Sample]:
    """Up to MOST samples, the classes taking turns, at random within a class."""
    # PCG64 by name: default_rng may be another generator in a later numpy.
    random = np.random.Generator(np.random.PCG64(seed))
    order = np.argsort(random.random(len(found)), kind="stable")
    by_class: dict[tuple[int, ...], list[Sample]] = {}
    for i in order:
        by_class.setdefault(found[i].classes[:1], []).append(found[i])
    turns = [by_class[key] for key in sorted(by_class)]
    wanted = min(max(least, classes), MOST, len(found))
    # In turn, so that a page of a set with one huge class still shows the others.
    in_turn = [group[turn] for turn in range(len(found)) for group in turns if turn < len(group)]
    return in_turn[:wanted]


def _pixels_of(sample: Sample) -> np.ndarray | None:
    try:
        # A JPEG is decoded at a fraction of its size where that is enough; twice a cell, for a sharp copy.
        return decoding.decode(sample.image.read(), at_least=320)
    except (ImageError, OSError):
        return None
