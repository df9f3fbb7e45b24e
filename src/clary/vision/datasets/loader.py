"""Samples to batches. The order depends on (seed, epoch), a picture's augmentation on (seed, epoch, index): a run
that is resumed at any step sees exactly what it would have seen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from clary.errors import DataError, ImageError
from clary.vision.base import decoding, preprocessing
from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.in_flight import PICTURES
from clary.vision.base.types import Sample
from clary.vision.datasets.decoded import DecodedPictures

__all__ = ["Batch", "ImageCache", "Loader", "TargetCache", "random_of"]

# (pixels, target, random) to network input and the target that goes with it: boxes and masks change with the picture.
Transform = Callable[[np.ndarray, Any, np.random.Generator], tuple[np.ndarray, Any]]

# Batches made ahead of the one in use; chosen. One of large photographs is caught up, and the price is their memory.
PREFETCH = 3
TURN = 0.2  # seconds between two looks at how far the first batch is


@dataclass(frozen=True, slots=True)
class Batch:
    """``images`` uint8 (N, H, W, 3) RGB; ``targets`` with N rows, in the order of ``indices`` into the samples."""

    images: np.ndarray
    targets: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)


def random_of(*keys: int) -> np.random.Generator:
    """A generator that depends on the keys alone, the same on every platform."""
    # PCG64 by name: default_rng's choice may change with NumPy (NEP 19).
    return np.random.Generator(np.random.PCG64(list(keys)))


class ImageCache:
    """Decoded pictures of a data set, shorter side at most ``resize``, kept while they fit into ``budget`` bytes.

    What is kept depends on the order of first use only; what is returned does not. Thread-safe. ``decoded`` counts what
    was decoded until now.
    """

    def __init__(self, samples: Sequence[Sample], resize: int | None, at_least: int, budget: int) -> None:
        self._samples = samples
        self._resize = resize
        self._at_least = DecodedSize.of(resize, at_least).at_least
        self._kept: list[np.ndarray | None] = [None] * len(samples)
        self._room = budget
        self._lock = Lock()
        self.decoded = 0

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> np.ndarray:
        """Pixels uint8 (height, width, 3). Raises DataError naming the record."""
        kept = self._kept[index]
        if kept is not None:
            return kept
        # Outside the lock, so that threads decode at once; that two may decode the same picture costs once only.
        pixels = self._decode(self._samples[index])
        with self._lock:
            self.decoded += 1
            # Kept until the room is full, none thrown out: with a new order each epoch what was used longest ago is as
            # likely to be next as any.
            if self._kept[index] is None and pixels.nbytes <= self._room:
                self._room -= pixels.nbytes
                self._kept[index] = pixels
        return pixels

    def take(self, pictures: DecodedPictures) -> None:
        """Keep what was decoded already, where that was at the size of these."""
        size = DecodedSize(self._at_least, self._resize)
        for index, sample in enumerate(self._samples):
            pixels = pictures.get(sample.image, size)
            if pixels is not None and pixels.nbytes <= self._room and self._kept[index] is None:
                self._room -= pixels.nbytes
                self._kept[index] = pixels

    def where(self, index: int) -> object:
        """Where a picture lies, for an error that names it."""
        return self._samples[index].image

    def _decode(self, sample: Sample) -> np.ndarray:
        try:
            with PICTURES.hold():
                # As the original containers do: of a truncated JPEG what is there is used; `clary data check` names it.
                pixels = decoding.decode(sample.image.read(), at_least=self._at_least, strict=False)
                return preprocessing.resize_shorter(pixels, self._resize) if self._resize else pixels
        except ImageError as error:
            raise DataError(error.what, where=sample.image, hint=error.hint) from error
        except OSError as error:
            where = sample.source or sample.image
            raise DataError(f"{sample.image} cannot be read ({error.strerror})", where=where) from error


class TargetCache(Sequence[np.ndarray], ABC):
    """What is to be learned of each picture of a data set, made at its first use and kept."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._kept: list[np.ndarray | None] = [None] * len(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # a loader asks for one at a time
        """Raises DataError naming the record that cannot be used."""
        kept = self._kept[index]
        if kept is None:
            kept = self._kept[index] = self._make(self._samples[index])
        return kept

    @abstractmethod
    def _make(self, sample: Sample) -> np.ndarray: ...


class Loader:
    """Batches of one split, made by threads ahead of their use.

    ``targets[i]`` belongs to picture i; ``transform`` makes network input and a target of fixed shape of the two. With
    ``shuffle`` the order changes every epoch and the last incomplete batch is left out; without, every sample comes
    exactly once. ``of_epoch`` names another transform for an epoch, as where sizes change with it; None names none.
    """

    def __init__(
        self,
        images: ImageCache,
        targets: Sequence[Any] | np.ndarray,
        transform: Transform,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        workers: int = 2,
        of_epoch: Callable[[int], Transform] | None = None,
    ) -> None:
        self._images = images
        self._targets = targets
        self._of_epoch = of_epoch or (lambda epoch: transform)
        self._seed = seed
        self._shuffle = shuffle
        self._workers = workers
        self._begun = False
        self.batch_size = batch_size

    @property
    def samples(self) -> int:
        return len(self._images)

    def take(self, pictures: DecodedPictures) -> None:
        """Keep what was decoded already."""
        self._images.take(pictures)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self.samples, self.batch_size)
        # The last incomplete batch is left out in training, as the original counts: floor(N / B) steps, which its
        # schedules go by. A validation counts each picture once.
        return whole if self._shuffle else whole + (rest > 0)

    def epoch(
        self, epoch: int = 0, first: int = 0, waiting: Callable[[int, int], object] | None = None
    ) -> Iterator[Batch]:
        """The batches of ``epoch`` from number ``first`` on.

        ``waiting`` is told, on the caller's thread, how many pictures are decoded of how many while the very first
        batch of this loader is made: for large photographs that takes seconds.
        """
        order = self.order(epoch)
        numbers = iter(range(first, len(self)))
        # Threads, not processes: decoding and resizing leave Python's lock, and the cache is one (docs/benchmarks.md,
        # Training speed).
        with ThreadPoolExecutor(self._workers, "loader") as threads:
            pending: deque[Future[Batch]] = deque()
            try:
                for number in numbers:
                    indices = order[number * self.batch_size : (number + 1) * self.batch_size]
                    pending.append(threads.submit(self._batch, epoch, indices))
                    # In order of submission: which thread is done first must not change an epoch.
                    if len(pending) > PREFETCH:
                        yield self._result(pending.popleft(), waiting)
                while pending:
                    yield self._result(pending.popleft(), waiting)
            finally:
                for future in pending:
                    future.cancel()

    def _result(self, batch: Future[Batch], waiting: Callable[[int, int], object] | None) -> Batch:
        """The batch; the first of all is waited for in turns, each of them told."""
        if waiting and not self._begun:
            waiting(min(self._images.decoded, self.batch_size), self.batch_size)
            while not wait([batch], timeout=TURN).done:
                waiting(min(self._images.decoded, self.batch_size), self.batch_size)
            waiting(self.batch_size, self.batch_size)
        self._begun = True
        return batch.result()

    def order(self, epoch: int) -> np.ndarray:
        """Sample indices in the order of ``epoch``."""
        indices = np.arange(self.samples)
        return random_of(self._seed, epoch).permutation(indices) if self._shuffle else indices

    def _batch(self, epoch: int, indices: np.ndarray) -> Batch:
        transformed = [self._transformed(epoch, int(i)) for i in indices]
        images, targets = zip(*transformed, strict=True)
        return Batch(np.stack(images), np.stack(targets), indices)

    def _transformed(self, epoch: int, index: int) -> tuple[np.ndarray, Any]:
        try:
            # A generator a picture: what is drawn then depends on neither the threads nor where a run was resumed.
            with PICTURES.hold():
                random = random_of(self._seed, epoch, index)
                return self._of_epoch(epoch)(self._images[index], self._targets[index], random)
        except ImageError as error:
            raise DataError(error.what, where=error.where or self._images.where(index), hint=error.hint) from error
