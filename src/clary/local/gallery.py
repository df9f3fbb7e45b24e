"""Pictures for a page: some of those trained on, and those the model got wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from clary.errors import ImageError
from clary.local.evaluate import Evaluation
from clary.vision.base import imaging
from clary.vision.base.types import Dataset, Sample
from clary.vision.plots.thumbnails import data_uri

__all__ = ["Shown", "mistakes", "samples"]

THUMBNAIL = 224  # pixels of the longer side


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a data URI, with what stands below it; ``wrong`` is what it was taken for."""

    uri: str
    caption: str
    source: str
    wrong: str = ""


def samples(dataset: Dataset, count: int) -> list[Shown]:
    """At most ``count`` pictures to train on, from class after class in turn, the same ones every time."""
    shown = (
        _shown(sample, ", ".join(dataset.class_names[c] for c in sample.classes) or "(none)")
        for sample in _in_turn(dataset.splits["train"])
    )
    return list(islice((one for one in shown if one), count))


def mistakes(evaluation: Evaluation, count: int) -> list[Shown]:
    """At most ``count`` of the most confident mistakes, most confident first."""
    found = (_shown(m.sample, m.true, f"taken for {m.predicted}, {m.score:.0%}") for m in evaluation.worst(count))
    return [one for one in found if one]


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


def _shown(sample: Sample, caption: str, wrong: str = "") -> Shown | None:
    """None for a picture that cannot be decoded: `clary data check` and the evaluation name those."""
    try:
        pixels = imaging.decode(sample.image.read(), at_least=THUMBNAIL)
    except (OSError, ImageError):
        return None
    return Shown(data_uri(pixels, THUMBNAIL), caption, source=str(sample.image), wrong=wrong)
