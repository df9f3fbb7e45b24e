"""Pictures for a page, small and drawn on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np

from clary.errors import ImageError
from clary.local import predictions
from clary.vision.base import decoding
from clary.vision.base.types import Dataset, Sample
from clary.vision.inference.predictor import Model
from clary.vision.plots.sample_views import view_of
from clary.vision.plots.thumbnails import data_uri, thumbnail
from clary.vision.tasks import TASKS

__all__ = ["Shown", "predicted", "samples", "shown", "title"]

THUMBNAIL = 224  # pixels of the longer side
DRAWN = 280  # pixels of the height of pictures with boxes or masks, which stand in rows
WIDEST = 2.0  # of these, how much wider than high

Draw = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI, with what stands below it; ``wrong`` is what it was taken for, ``ratio`` its width by
    its height."""

    uri: str
    caption: str
    source: str
    wrong: str = ""
    ratio: float = 1.0


def samples(dataset: Dataset, count: int) -> list[Shown]:
    """At most ``count`` pictures to train on with what is known of them, from class after class in turn, the same ones
    every time."""
    found = (_sample(dataset, sample) for sample in _in_turn(dataset.splits["train"]))
    return list(islice((one for one in found if one), count))


def predicted(network: Model, dataset: Dataset, found: Sequence[Sample]) -> list[Shown]:
    """Pictures with what the model says of them; a label that is not the picture's is named ``wrong``."""
    view, task = predictions.view_of(network.task, top=1, least=0.3), TASKS.get(dataset.task)
    pictures = []
    for sample, prediction in zip(found, network.predict_each(s.image.read() for s in found), strict=True):
        # Named by the evaluation already.
        if isinstance(prediction, ImageError):
            continue
        truth = "" if task.localises else task.caption(sample, dataset.class_names)
        wrong = f"is {truth}" if truth and truth != getattr(prediction, "label", truth) else ""
        draw = partial(view.drawn, prediction) if view.draws else None
        # What is drawn has its names in the picture.
        pictures.append(shown(sample, "" if draw else view.caption(prediction), wrong, draw))
    return [one for one in pictures if one]


def shown(sample: Sample, caption: str, wrong: str = "", draw: Draw | None = None) -> Shown | None:
    """A picture, made small and then drawn on; None where it cannot be decoded: `clary data check` and the evaluation
    name those."""
    try:
        # A JPEG is decoded at a fraction of its size where that is enough, which takes a fraction of the time.
        pixels = decoding.decode(sample.image.read(), at_least=DRAWN)
    except (OSError, ImageError):
        return None
    image = draw(_low(pixels)) if draw else thumbnail(pixels, THUMBNAIL)
    ratio = round(image.shape[1] / image.shape[0], 3)
    return Shown(data_uri(image, max(image.shape)), caption, str(sample.image), wrong, ratio)


def _low(pixels: np.ndarray) -> np.ndarray:
    """At most DRAWN pixels high and WIDEST times as wide, so that labels are of one size in all pictures of a row."""
    height, width = pixels.shape[:2]
    scale = min(DRAWN / height, WIDEST * DRAWN / width, 1.0)
    return thumbnail(pixels, round(max(height, width) * scale))


def title(sample: Sample) -> str:
    """What to call a picture: its file's name, and its place where the file holds more."""
    return sample.image.path.name + str(sample.image).removeprefix(str(sample.image.path))


def _sample(dataset: Dataset, sample: Sample) -> Shown | None:
    task = TASKS.get(dataset.task)
    if not task.localises:
        return shown(sample, task.caption(sample, dataset.class_names) or "(none)")
    captions: list[str] = []

    def draw(pixels: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        image, caption = view_of(task.name).drawn(dataset, sample, pixels, (width, height))
        captions.append(caption)
        return image

    found = shown(sample, "", draw=draw)
    return replace(found, caption=captions[0]) if found else None


def _in_turn(found: Iterable[Sample]) -> Iterator[Sample]:
    # A fixed seed: the page of a run shows the same pictures whenever it is written.
    rng = np.random.default_rng(0)
    by_class: dict[tuple[int, ...], list[Sample]] = {}
    for sample in found:
        by_class.setdefault(sample.classes[:1], []).append(sample)
    groups = [by_class[key] for key in sorted(by_class)]
    for group in groups:
        rng.shuffle(group)
    # In turn, so that a set with one huge class still shows the others.
    for turn in range(max(map(len, groups), default=0)):
        yield from (group[turn] for group in groups if turn < len(group))
