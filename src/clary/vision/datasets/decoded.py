"""Pictures that were decoded when they were looked at, kept for who needs them next."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

import numpy as np

from clary.vision.base import decoding, preprocessing
from clary.vision.base.decoded_size import DecodedSize
from clary.vision.base.in_flight import PICTURES
from clary.vision.base.types import Blob, SplitName
from clary.vision.datasets.picture_store import PictureStore

__all__ = ["CACHE_BYTES", "DecodedPictures"]

# Chosen: about 5,000 pictures of 256 x 256 pixels.
CACHE_BYTES = 1 << 30  # decoded pictures kept in memory, all splits together


class DecodedPictures:
    """What a check has decoded, in memory up to ``budget`` bytes, for the loaders that come after it. Thread-safe.

    ``sizes`` are those of each split that is trained or validated on. Large photographs are kept in ``store`` as
    well, and taken from it; ``taken`` counts them.
    """

    def __init__(
        self,
        sizes: Mapping[str, DecodedSize],
        store: PictureStore | None = None,
        *,
        budget: int = CACHE_BYTES,
    ) -> None:
        self._sizes = sizes
        self._store = store
        self._room, self._full = budget, False
        self._kept: dict[tuple[Blob, DecodedSize], np.ndarray] = {}
        self._lock = Lock()
        self.taken = 0

    def size(self, split: SplitName, least: int) -> DecodedSize | None:
        """At which size a picture of ``split`` is to be decoded to be kept; None where none is, or where that may be
        less than ``least`` pixels."""
        found = self._sizes.get(split)
        # Once there is no room the rest is decoded epoch by epoch, and is looked at as small as can be.
        return None if self._full or found is None or found.at_least < least else found

    def decode(self, blob: Blob, data: bytes, size: DecodedSize) -> np.ndarray:
        """The pixels of a blob's ``data``, kept where there is room. Raises ImageError, for what is cut off as well."""
        # Reading a smaller file back would cost more than decoding it, and take more room than the file.
        store = self._store if len(data) >= 3 * size.at_least**2 else None
        pixels = store.get(data, size) if store else None
        taken = pixels is not None
        if pixels is None:
            with PICTURES.hold():
                pixels = decoding.decode(data, at_least=size.at_least)
                if size.resize:
                    pixels = preprocessing.resize_shorter(pixels, size.resize)
            if store:
                store.put(data, size, pixels)
        with self._lock:
            self.taken += taken
            self._full = self._full or pixels.nbytes > self._room
            if not self._full and (blob, size) not in self._kept:
                self._room -= pixels.nbytes
                self._kept[blob, size] = pixels
        return pixels

    def get(self, blob: Blob, size: DecodedSize) -> np.ndarray | None:
        """Pixels uint8 (height, width, 3) of a picture; None where they are not kept."""
        return self._kept.get((blob, size))
