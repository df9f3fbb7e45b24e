"""What every task says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName, TaskName

if TYPE_CHECKING:
    from clary.vision.base.decoding import ImageInfo  # which brings OpenCV, and a list of runs needs none

__all__ = ["Inspection", "Output", "Task", "place_of", "where_of"]


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the network. ``activation`` is what was applied to it last: softmax, sigmoid or none."""

    name: str = "scores"
    dtype: str = "float32"
    activation: str = "softmax"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one record turned out to be; ``pixels`` are those of each class in its mask, int64 (classes,), and
    ``ignored`` those of none."""

    problems: list[Problem] = field(default_factory=list)
    pixels: np.ndarray | None = None
    ignored: int = 0


class Task:
    """What a model is trained for: what is known of a picture, what the network gives, what it is judged by.

    Data and small pure functions; what shows, serves or measures a task stands in registries above (``plots``,
    ``inference.tasks``, ``local``), each of which has a plain way for tasks it does not know. A task whose targets are
    neither classes, boxes nor masks keeps them in a subclass of ``Sample`` that its format makes.
    """

    name: ClassVar[TaskName]
    targets: ClassVar[str]
    """What is known of pictures, in the plural: boxes."""
    metric: ClassVar[str]
    """What a model is judged by: the metric's name in logs, metrics.jsonl and evaluations."""
    title: ClassVar[str]
    """What the metric is called in a headline."""
    higher_is_better: ClassVar[bool] = True
    outputs: ClassVar[tuple[Output, ...]] = (Output(),)
    """What the network gives, in this order."""
    manifest_version: ClassVar[int] = 2
    """The oldest format of manifest.json that knows the task."""
    localises: ClassVar[bool] = False
    """Whether targets have a place in the picture, which is then shown whole and drawn on."""
    uses_every_class: ClassVar[bool] = False
    """Whether each class must have a picture to train on; else a class may lie idle."""
    single_or_multi_label: ClassVar[bool] = False
    """Whether a data set has one label a picture or any number, which then must agree with ``multi_label``."""
    unit: ClassVar[str] = "class"
    """What ``counts`` counts, as the heading of a table of classes."""

    def counts(self, dataset: Dataset, split: SplitName, pixels: Sequence[int] = ()) -> list[Any]:
        """How much of each class ``split`` has, in id order; empty where nobody knows.

        ``pixels`` are those of the masks by class, where masks were opened.
        """
        return dataset.counts(split)

    def caption(self, sample: Sample, class_names: Sequence[str]) -> str:
        """What is known of a picture in a few words; empty where nothing is."""
        return ", ".join(class_names[c] for c in sample.classes)

    def layout(self, dataset: Dataset) -> str:
        """The layout a data set is written in where nobody says and its own does not do."""
        return dataset.format

    def inspect(self, sample: Sample, info: ImageInfo, dataset: Dataset) -> Inspection:
        """Whether what is known of a picture fits it; ``info`` is the picture's."""
        return Inspection()

    def remarks(self, dataset: Dataset) -> Iterator[Problem]:
        """What is worth knowing of a data set as a whole, beside classes with few pictures."""
        return iter(())

    def remarks_on_masks(
        self, dataset: Dataset, pixels: Mapping[SplitName, Sequence[int]], ignored: Mapping[SplitName, int]
    ) -> Iterator[Problem]:
        """What is worth knowing of all masks together: how many ``pixels`` of each class there are by split, and how
        many of none."""
        return iter(())

    def reason_untrainable(
        self, splits: Mapping[SplitName, Sequence[Sample]], class_names: Sequence[str], multi_label: bool
    ) -> tuple[str, str] | None:
        """Why these samples cannot be trained on, and how to mend that; the hint is empty where the problems of single
        records are the reason. None: they can be trained on."""
        return None

    def label_fault(self, labels: Sequence[str]) -> str:
        """What is wrong with the labels of a model, empty if nothing."""
        return ""

    def gain(self, metrics: Mapping[str, float]) -> float:
        """The main metric, so that more is better. Raises KeyError where it was not measured."""
        return metrics[self.metric] if self.higher_is_better else -metrics[self.metric]


def where_of(sample: Sample, root: Path) -> str:
    """The picture's path from the root, and the record that names it where that is another file."""
    if sample.image.length is not None and sample.source:
        return sample.source
    name = place_of(sample.image, root)
    return name if sample.source in ("", name) else f"{name} ({sample.source})"


def place_of(blob: Blob, root: Path) -> str:
    """The file from the root, and the offset of what lies within one."""
    # With forward slashes on any system, so that a problem reads the same.
    name = blob.path.relative_to(root).as_posix() if blob.path.is_relative_to(root) else str(blob.path)
    return name if blob.length is None else f"{name}@{blob.offset}"
