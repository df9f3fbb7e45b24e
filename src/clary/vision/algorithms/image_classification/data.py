"""Image classification's data: what must agree with the hyperparameters, targets, and how pictures become batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clary.vision.algorithms import recipe
from clary.vision.algorithms.image_classification.spec import ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base.imaging import Preprocess
from clary.vision.base.jobdir import JobDir
from clary.vision.base.types import Dataset, Sample
from clary.vision.datasets import channels
from clary.vision.datasets.augment import augment
from clary.vision.datasets.loader import ImageCache, Loader

__all__ = ["load_dataset", "loaders", "targets_of", "validation_transform"]


def load_dataset(job: JobDir, hp: ClassificationHyperparameters, log: JobLog) -> Dataset:
    """The job's channels as a data set that fits the hyperparameters. Raises CustomerError in the original's words."""
    for name, channel in job.channels.items():
        if name.endswith("_lst"):
            log.info(f"Searching for .lst files in {channel.path}.")
    dataset = channels.load(job, num_classes=hp.num_classes, multi_label=hp.multi_label)
    dataset = recipe.admit(job, dataset, log)
    recipe.check_batch(dataset, hp)
    return dataset


def loaders(dataset: Dataset, hp: ClassificationHyperparameters) -> tuple[Loader, Loader | None]:
    """Loaders of the train and validation splits, sharing the room for decoded pictures by their sizes."""
    validation = dataset.splits.get("validation", ())
    budget, rest = recipe.cache_budgets(dataset)
    train = _loader(dataset.splits["train"], hp, hp.augmentation_type, budget)
    return train, _loader(validation, hp, None, rest, shuffle=False) if validation else None


def validation_transform(hp: ClassificationHyperparameters) -> Preprocess:
    """How a validation picture becomes network input: shorter side to `resize`, then the centre."""
    _, height, width = hp.image_shape
    return Preprocess(height, width, hp.resize or max(height, width), "center")


def targets_of(samples: Sequence[Sample], hp: ClassificationHyperparameters) -> np.ndarray:
    """Class ids int64 (N,), or for multi-label float32 (N, num_classes) of 0 and 1."""
    if not hp.multi_label:
        return np.array([sample.classes[0] for sample in samples], dtype=np.int64)
    hot = np.zeros((len(samples), hp.num_classes), dtype=np.float32)
    for row, sample in zip(hot, samples, strict=True):
        row[list(sample.classes)] = 1
    return hot


def _loader(
    samples: Sequence[Sample],
    hp: ClassificationHyperparameters,
    kind: str | None,
    budget: int,
    shuffle: bool = True,
) -> Loader:
    transform = validation_transform(hp)
    cache = ImageCache(samples, transform.resize, max(transform.height, transform.width), budget)
    return Loader(
        cache,
        targets_of(samples, hp),
        lambda pixels, target, random: (augment(pixels, kind, transform.height, transform.width, random), target),
        # A validation split may hold fewer; that the training split does not is checked before.
        batch_size=min(hp.mini_batch_size, len(samples)),
        seed=hp.seed,
        shuffle=shuffle,
    )
