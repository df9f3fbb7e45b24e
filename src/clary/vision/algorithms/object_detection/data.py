"""Object detection's data: pictures with their boxes, changed together into batches, and the anchors that fit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from clary.errors import CustomerError, DataError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.object_detection.spec import DetectionHyperparameters
from clary.vision.base import decoding
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Dataset, Sample
from clary.vision.datasets import channels
from clary.vision.datasets.augment_boxes import GENTLE_PADDING, augment_boxes
from clary.vision.datasets.loader import ImageCache, Loader, TargetCache
from clary.vision.models.anchors import Anchors, Grid, Level, fit_sizes, spread
from clary.vision.tasks.detection import HINT_BOX, outside

__all__ = ["ObjectCache", "fitted_levels", "load_dataset", "loaders", "serving_transform", "slots"]

HEADER, PER_OBJECT = 2, 5  # numbers of a label vector: in front, and of each object

# Overlap with every object below which an anchor is background. Fitted anchors are fewer, and those in between are
# left alone.
BACKGROUND, BACKGROUND_OF_FITTED = 0.5, 0.4


def load_dataset(job: JobDir, hp: DetectionHyperparameters, log: JobLog) -> Dataset:
    """The job's channels as a data set that fits the hyperparameters. Raises CustomerError for one that does not."""
    dataset = channels.load(job, task="detection", num_classes=hp.num_classes)
    dataset = recipe.admit(job, hp, dataset, log)
    # The original pads every label vector to label_width and refuses longer ones, in training and validation alike.
    fullest = max((one for samples in dataset.splits.values() for one in samples), key=lambda one: len(one.boxes))
    if len(fullest.boxes) > slots(hp):
        needed = HEADER + PER_OBJECT * len(fullest.boxes)
        raise CustomerError(
            f"Invalid parameter value 'label_width'. Please ensure that the value of parameter is at least "
            f"{needed}: {fullest.source or fullest.image} has {len(fullest.boxes)} objects",
            hint=f"set label_width to {needed} or more",
        )
    recipe.check_batch(dataset, hp)
    return dataset


def slots(hp: DetectionHyperparameters) -> int:
    """Objects of a picture that there is room for."""
    return (hp.label_width - HEADER) // PER_OBJECT


def serving_transform(hp: DetectionHyperparameters) -> Preprocess:
    """How a picture becomes network input: a square, its aspect not kept."""
    return Preprocess(hp.image_shape, hp.image_shape, None, "squash")


def fitted_levels(dataset: Dataset, hp: DetectionHyperparameters, grids: Sequence[Grid]) -> list[Level]:
    """Anchors for the boxes of the training split, `anchors_per_cell` on each map.

    Raises CustomerError when there are no boxes, DataError naming a picture that cannot be read.
    """
    objects = ObjectCache(dataset.splits["train"])
    rows = np.concatenate([np.empty((0, 5), np.float32), *(objects[i] for i in range(len(objects)))])
    # What the augmentation does to sizes: padding up to that many times the side, crops of half the area.
    scales = (1 / GENTLE_PADDING**0.5, 2**0.5) if hp.augmentation != "none" else (0.99, 1.01)
    sizes = fit_sizes(rows[:, 3:] - rows[:, 1:3], hp.anchors_per_cell * len(grids), scales=scales, seed=hp.seed)
    return spread(sizes, grids)


def loaders(
    dataset: Dataset, hp: DetectionHyperparameters, anchors: Mapping[int, Anchors]
) -> tuple[Loader, Loader | None]:
    """Loaders of the train and validation splits, sharing the room for decoded pictures by their sizes. ``anchors`` are
    those of each size that is trained on."""
    validation = dataset.splits.get("validation", ())
    budget, rest = recipe.cache_budgets(dataset)
    kind = None if hp.augmentation == "none" else hp.augmentation
    transforms = {size: _Transform(hp, size, own, kind) for size, own in anchors.items()}
    train = _loader(dataset.splits["train"], hp, transforms, budget, shuffle=True)
    whole = {hp.image_shape: _Transform(hp, hp.image_shape, anchors[hp.image_shape], None)}
    return train, _loader(validation, hp, whole, rest, shuffle=False) if validation else None


class ObjectCache(TargetCache):
    """The objects of a data set's pictures, float32 (n, 5): class id, and the box in fractions of the picture.

    Files tell boxes in pixels: the header of a picture is read at its first use.
    """

    def _make(self, sample: Sample) -> np.ndarray:
        return _objects(sample)


class _Transform:
    """A picture at the network's size, and what its loss is told of the objects in it."""

    def __init__(self, hp: DetectionHyperparameters, side: int, anchors: Anchors, kind: str | None) -> None:
        self._side = side
        self._slots = slots(hp)
        self._anchors = anchors
        self._kind = kind
        self._overlap = hp.overlap_threshold
        self._background = min(self._overlap, BACKGROUND if hp.anchors == "original" else BACKGROUND_OF_FITTED)

    def __call__(
        self, pixels: np.ndarray, objects: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        transform, seen = augment_boxes(pixels, objects, self._kind, self._side, self._side, random)
        return transform, self._anchors.target(seen, self._slots, self._overlap, self._background)


def _loader(
    samples: Sequence[Sample],
    hp: DetectionHyperparameters,
    transforms: Mapping[int, _Transform],
    budget: int,
    *,
    shuffle: bool,
) -> Loader:
    # Crops enlarge: a training picture is kept at twice the size of the input.
    cache = ImageCache(samples, None, hp.image_shape * (2 if shuffle else 1), budget)
    sizes = hp.image_sizes()
    return Loader(
        cache,
        ObjectCache(samples),
        transforms[sizes.full],
        batch_size=min(hp.mini_batch_size, len(samples)),
        seed=hp.seed,
        shuffle=shuffle,
        of_epoch=(lambda epoch: transforms[sizes.at(epoch)]) if shuffle else None,
    )


def _objects(sample: Sample) -> np.ndarray:
    # The header is enough: sizes are asked for before pictures are decoded.
    info = recipe.read(sample.image, decoding.inspect)
    for box in sample.boxes:
        if what := outside(box, info):
            raise DataError(what, where=sample.source or sample.image, hint=HINT_BOX)
    width, height = info.upright
    rows = [
        (box.class_id, box.xmin / width, box.ymin / height, box.xmax / width, box.ymax / height) for box in sample.boxes
    ]
    found = np.array(rows, np.float32).reshape(-1, 5)
    found[:, 1:] = found[:, 1:].clip(0, 1)
    return found
