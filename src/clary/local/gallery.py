"""Pictures for a page, small and drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from clary.errors import ImageError
from clary.vision.base import imaging
from clary.vision.base.types import Dataset, Sample
from clary.vision.plots.dataset_sheet import drawn
from clary.vision.plots.thumbnails import data_uri, thumbnail

__all__ = ["Shown", "samples", "shown"]

THUMBNAIL, DRAWN = 224, 320  # pixels of the longer side; of pictures with boxes or masks, which are small things

Draw = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI, with what stands below it; ``wrong`` is what it was taken for."""

    uri: str
    caption: str
    source: str
    wrong: str = ""


def samples(dataset: Dataset, count: int) -> list[Shown]:
    """At most ``count`` pictures to train on with what is known of them, from class after class in turn, the same ones
    every time."""
    found = (_sample(dataset, sample) for sample in _in_turn(dataset.splits["train"]))
    return list(islice((one for one in found if one), count))


def shown(sample: Sample, caption: str, wrong: str = "", draw: Draw | None = None) -> Shown | None:
    """A picture, made small and then drawn on; None where it cannot be decoded: `clary data check` and the evaluation
    name those."""
    side = DRAWN if draw else THUMBNAIL
    try:
        pixels = thumbnail(imaging.decode(sample.image.read(), at_least=side), side)
    except (OSError, ImageError):
        return None
    picture = draw(pixels) if draw else pixels
    return Shown(data_uri(picture, max(picture.shape)), caption, source=str(sample.image), wrong=wrong)


def _sample(dataset: Dataset, sample: Sample) -> Shown | None:
    if dataset.task == "classification":
        return shown(sample, ", ".join(dataset.class_names[c] for c in sample.classes) or "(none)")
    captions: list[str] = []

    def draw(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        picture, caption = drawn(dataset, sample, pixels, (width, height))
        captions.append(caption)
        return picture

    found = shown(sample, "", draw=draw)
    return replace(found, caption=captions[0]) if found else None


def _in_turn(found: Iterable[Sample]) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    by_class: dict[tuple[int, ...], list[Sample]] = {}
    for sample in found:
        by_class.setdefault(sample.classes[:1], []).append(sample)
    groups = [by_class[key] for key in sorted(by_class)]
    for group in groups:
        rng.shuffle(group)
    for turn in range(max(map(len, groups), default=0)):
        yield from (group[turn] for group in groups if turn < len(group))
