"""Image classification's data: what must agree with the hyperparameters, targets, and how pictures become batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clary.vision.algorithms import recipe
from clary.vision.algorithms.image_classification.spec import ClassificationHyperparameters
from clary.vision.algorithms.joblog import JobLog
from clary.vision.base import preprocessing
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Dataset, Sample
from clary.vision.datasets import channels
from clary.vision.datasets.augment import augment
from clary.vision.datasets.loader import ImageCache, Loader

__all__ = ["load_dataset", "loaders", "serving_transform", "targets_of", "validation_transform"]


def load_dataset(job: JobDir, hp: ClassificationHyperparameters, log: JobLog) -> Dataset:
    """The job's channels as a data set that fits the hyperparameters. Raises CustomerError in the original's words."""
    for name, channel in job.channels.items():
        if name.endswith("_lst"):
            log.info(f"Searching for .lst files in {channel.path}.")
    dataset = channels.load(job, num_classes=hp.num_classes, multi_label=hp.multi_label)
    dataset = recipe.admit(job, hp, dataset, log)
    recipe.check_batch(dataset, hp)
    return dataset


def loaders(dataset: Dataset, hp: ClassificationHyperparameters) -> tuple[Loader, Loader | None]:
    """Loaders of the train and validation splits, sharing the room for decoded pictures by their sizes."""
    validation = dataset.splits.get("validation", ())
    budget, rest = recipe.cache_budgets(dataset)
    train = _loader(dataset.splits["train"], hp, hp.augmentation_type, budget)
    return train, _loader(validation, hp, None, rest, shuffle=False) if validation else None


def serving_transform(hp: ClassificationHyperparameters) -> Preprocess:
    """How a picture becomes network input when serving, as `inference_crop` says."""
    _, height, width = hp.image_shape
    # SageMaker's container resizes straight to the input when it serves, and crops when it validates (developer guide):
    # an accuracy of the log is then not that of the endpoint. The default keeps that, `center` mends it.
    return _cropped(hp) if hp.inference_crop == "center" else Preprocess(height, width, None, "squash")


def validation_transform(hp: ClassificationHyperparameters) -> Preprocess:
    """How a validation picture becomes network input: as SageMaker crops it, or as it is served."""
    return serving_transform(hp) if hp.validation_crop == "serving" else _cropped(hp)


def _cropped(hp: ClassificationHyperparameters) -> Preprocess:
    """Shorter side to `resize`, then the centre."""
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
    how, sizes = _cropped(hp) if shuffle else validation_transform(hp), hp.image_sizes()
    views = {size: _View(how, kind, size / sizes.full) for size in sizes.all()}
    return Loader(
        ImageCache(samples, how.resize, max(how.height, how.width), budget),
        targets_of(samples, hp),
        views[sizes.full],
        # A validation split may hold fewer; that the training split does not is checked before.
        batch_size=min(hp.mini_batch_size, len(samples)),
        seed=hp.seed,
        shuffle=shuffle,
        of_epoch=(lambda epoch: views[sizes.at(epoch)]) if shuffle else None,
    )


class _View:
    """A picture as ``how`` says, changed at random where there is a ``kind``, at ``scale`` times its size."""

    def __init__(self, how: Preprocess, kind: str | None, scale: float) -> None:
        self._how = how
        self._kind = kind
        self._scale = scale
        self._height, self._width = round(how.height * scale), round(how.width * scale)

    def __call__(self, pixels: np.ndarray, target: Any, random: np.random.Generator) -> tuple[np.ndarray, Any]:
        if self._how.crop == "squash":
            return preprocessing.fit(pixels, self._how), target
        # A crop of so many pixels would see less of a picture that is not made smaller as well; the other kind cuts out
        # a share of it.
        if self._scale < 1 and self._kind != "resized_crop":
            rows, columns = (round(side * self._scale) for side in pixels.shape[:2])
            pixels = preprocessing.resize(pixels, max(rows, 1), max(columns, 1))
        return augment(pixels, self._kind, self._height, self._width, random), target
