"""Semantic segmentation's data: pictures with their masks, cut and turned together into batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from clary.errors import DataError
from clary.vision.algorithms import recipe
from clary.vision.algorithms.joblog import JobLog
from clary.vision.algorithms.semantic_segmentation.spec import MULTIPLE, SegmentationHyperparameters
from clary.vision.base import decoding, preprocessing
from clary.vision.base.jobdir import JobDir
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import IGNORED, Dataset, Sample
from clary.vision.datasets import channels
from clary.vision.datasets.augment import random_light
from clary.vision.datasets.loader import ImageCache, Loader, TargetCache
from clary.vision.tasks.segmentation import HINT_SIZE, of_another_size

__all__ = ["MaskCache", "crop_transform", "load_dataset", "loaders", "serving_transform"]

Pair = tuple[np.ndarray, np.ndarray]  # pixels and the mask that goes with them

COARSEST = 32  # stride of the deepest map of U-Net


def load_dataset(job: JobDir, hp: SegmentationHyperparameters, log: JobLog) -> Dataset:
    """The job's channels as a data set that fits the hyperparameters. Raises CustomerError for one that does not."""
    if "label_map" not in job.channels and "dataset" not in job.channels:
        # The original's lines, which programs that follow its log know.
        log.warning("label maps not provided, using defaults.")
        for split in ("train", "validation"):
            log.info(f"#label_map {split} :{{'scale': 1}}")
    dataset = channels.load(job, task="segmentation", num_classes=hp.num_classes)
    dataset = recipe.admit(job, hp, dataset, log)
    recipe.check_batch(dataset, hp)
    return dataset


def serving_transform(hp: SegmentationHyperparameters) -> Preprocess:
    """How a picture becomes network input when serving: whole, at its own size or at `inference_size`.

    Sides are multiples of the coarsest map's stride: of others the maps of a U-Net lie up to half a cell apart, which
    costs 0.04 of mean IoU (docs/benchmarks.md).
    """
    return Preprocess.whole(hp.inference_size, COARSEST if hp.algorithm == "unet" else MULTIPLE)


def loaders(dataset: Dataset, hp: SegmentationHyperparameters) -> tuple[Loader, Loader | None]:
    """Loaders of the train and validation splits, sharing the room for decoded pictures by their sizes."""
    validation = dataset.splits.get("validation", ())
    budget, rest = recipe.cache_budgets(dataset)
    crops = {side: _Training(hp, side) for side in hp.image_sizes().all()}
    train = _loader(dataset.splits["train"], hp, crops, budget, hp.mini_batch_size, shuffle=True)
    if not validation:
        return train, None
    # The guide's rule: one at a time whole, several at a time as crops, which alone fit into one batch.
    transform = _Whole(hp) if hp.validation_mini_batch_size == 1 else _Centre(hp)
    whole = {hp.image_size(): transform}
    return train, _loader(validation, hp, whole, rest, hp.validation_mini_batch_size, shuffle=False)


def crop_transform(hp: SegmentationHyperparameters) -> Preprocess:
    """The middle of a picture at the size that is trained on."""
    side = hp.image_size()
    return Preprocess(side, side, side)


class MaskCache(TargetCache):
    """Class ids of every pixel of a data set's pictures, uint8 (height, width)."""

    def __init__(self, samples: Sequence[Sample], num_classes: int) -> None:
        super().__init__(samples)
        self._num_classes = num_classes

    def _make(self, sample: Sample) -> np.ndarray:
        assert sample.mask is not None  # the readers promise it
        ids = recipe.read(sample.mask, lambda data: decoding.decode_mask(data, sample.mask_values))
        if what := of_another_size(ids, recipe.read(sample.image, decoding.inspect)):
            raise DataError(what, where=sample.mask, hint=HINT_SIZE)
        wrong = ids[(ids >= self._num_classes) & (ids != IGNORED)]
        if wrong.size:
            what = f"holds the class {wrong[0]}; with num_classes {self._num_classes} they run from 0 to"
            hint = f"set num_classes, give a label map, or mark pixels without a class by {IGNORED}"
            raise DataError(f"{what} {self._num_classes - 1}", where=sample.mask, hint=hint)
        return ids


class _Training:
    """A random square of the picture at a random scale, mirrored and blurred by chance.

    The longer side becomes `base_size` times a random number. What a square reaches beyond the picture is black and
    has no class (the original calls it class 0, which teaches a network that black is background).
    """

    def __init__(self, hp: SegmentationHyperparameters, side: int) -> None:
        self._side = side
        # The same for smaller squares: things keep the size in which they are served, and less is around them.
        self._base = hp.base_size
        self._scales = hp.scale_range
        self._light = hp.augmentation_type == "light"

    def __call__(
        self, pixels: np.ndarray, mask: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        mask = _fitting(mask, pixels)
        # The crop is cut from the picture as it is and then resized: the same pixels, and fewer of them computed.
        scale = self._base * random.uniform(*self._scales) / max(mask.shape)
        pixels, mask = _square(pixels, mask, max(1, round(self._side / scale)), random)
        pixels, mask = preprocessing.resize(pixels, self._side, self._side), _resized(mask, self._side, self._side)
        if random.random() < 0.5:
            pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        # The original blurs half of all, by up to one pixel. A kernel below a tenth of one changes nothing.
        if random.random() < 0.5 and (sigma := random.uniform(0, 1)) > 0.1:
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
        return (random_light(pixels, random) if self._light else pixels), np.ascontiguousarray(mask)


class _Centre:
    """Shorter side to the crop's, then the centre: pictures of one size, as many as a step takes."""

    def __init__(self, hp: SegmentationHyperparameters) -> None:
        self._side = hp.image_size()

    def __call__(
        self, pixels: np.ndarray, mask: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = pixels.shape[:2]
        shorter = min(rows, columns)
        top, left = (rows - shorter) // 2, (columns - shorter) // 2
        mask = _fitting(mask, pixels)[top : top + shorter, left : left + shorter]
        pixels = preprocessing.crop(pixels, top, left, shorter, shorter)
        return preprocessing.resize(pixels, self._side, self._side), _resized(mask, self._side, self._side)


class _Whole:
    """The picture as it is served."""

    def __init__(self, hp: SegmentationHyperparameters) -> None:
        self._how = serving_transform(hp)

    def __call__(
        self, pixels: np.ndarray, mask: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        fitted = preprocessing.fit(pixels, self._how)
        return fitted, _resized(_fitting(mask, pixels), *fitted.shape[:2])


def _loader(
    samples: Sequence[Sample],
    hp: SegmentationHyperparameters,
    transforms: Mapping[int, _Training] | Mapping[int, _Centre | _Whole],
    budget: int,
    batch_size: int,
    *,
    shuffle: bool,
) -> Loader:
    cache = ImageCache(samples, None, _largest_used(hp), budget)
    masks = MaskCache(samples, hp.num_classes)
    sizes = hp.image_sizes()
    return Loader(
        cache,
        masks,
        transforms[sizes.full],
        batch_size=min(batch_size, len(samples)),
        seed=hp.seed,
        shuffle=shuffle,
        of_epoch=(lambda epoch: transforms[sizes.at(epoch)]) if shuffle else None,
    )


def _largest_used(hp: SegmentationHyperparameters) -> int:
    """Pixels of a shorter side beyond which nothing is gained: a larger JPEG is decoded at reduced scale."""
    return int(max(hp.base_size * hp.scale_range[1], hp.inference_size or 1 << 14, hp.image_size()))


def _square(pixels: np.ndarray, mask: np.ndarray, side: int, random: np.random.Generator) -> Pair:
    """A square of ``side`` pixels at a uniform position; where the picture is smaller it is padded."""
    rows, columns = mask.shape
    top = int(random.integers(0, max(rows - side, 0) + 1))
    left = int(random.integers(0, max(columns - side, 0) + 1))
    pixels, mask = pixels[top : top + side, left : left + side], mask[top : top + side, left : left + side]
    below, right = side - mask.shape[0], side - mask.shape[1]
    if below or right:
        edges = (0, below, 0, right, cv2.BORDER_CONSTANT)
        pixels = cv2.copyMakeBorder(pixels, *edges, value=(0, 0, 0))
        mask = cv2.copyMakeBorder(mask, *edges, value=IGNORED)
    return pixels, mask


def _fitting(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The mask at the size its picture was decoded to."""
    return _resized(mask, *pixels.shape[:2])


def _resized(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    if mask.shape == (height, width):
        return mask
    # Class ids cannot be averaged. EXACT takes the pixel at the centre; plain INTER_NEAREST is off by up to half a
    # pixel.
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
