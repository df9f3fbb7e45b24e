"""A model that predicts: pictures in, predictions out. Loads no tensor library unless the torch engine is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from clary.errors import ImageError
from clary.vision.artifact.archive import Artifact, open_model
from clary.vision.artifact.manifest import Manifest
from clary.vision.base import imaging
from clary.vision.base.imaging import Picture
from clary.vision.base.types import Prediction
from clary.vision.inference.engines import Engine, find
from clary.vision.inference.engines._base import cores

__all__ = ["BATCH_SIZE", "Model", "load"]

# Little is gained beyond eight (ResNet-50: a picture costs 12.4 ms of a core alone, 10.1 in four, 9.6 in eight).
BATCH_SIZE = 8


def load(path: Path | str, engine: str = "auto", *, streams: int = 1) -> Model:
    """Open a ``model.tar.gz``, the folder of one, or a run, and make it ready to predict.

    ``engine`` is "openvino", "onnxruntime", "torch", or "auto": the first of them that is installed. ``streams`` is
    how many batches run side by side (a server wants one a core).

    Raises ArtifactError, MissingPackageError, UsageError.
    """
    kind = find(engine)
    artifact = open_model(path)
    loaded = False
    try:
        model = Model(artifact, kind(artifact.folder, artifact.manifest, streams=streams))
        loaded = True
    finally:
        # Engines keep nothing on disk. Removed at once, the files are gone even if the process is killed; elsewhere
        # a file that is still mapped cannot be removed before the model is closed.
        if not loaded or os.name == "posix":
            artifact.close()
    return model


class Model:
    """A network with its labels and its way of preparing pictures. May be used from several threads at once.

    A context manager: ``close`` removes unpacked files that are still there. Scores are in the order of ``labels``,
    which is the order of class ids.
    """

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self._artifact = artifact
        self.engine = engine

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self._artifact.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in id order."""
        return self.manifest.labels

    def predict(
        self, pictures: Picture | Sequence[Picture] | np.ndarray, batch_size: int = BATCH_SIZE
    ) -> list[Prediction]:
        """One prediction for each picture, in order. A picture is a path, encoded bytes, a PIL image or an array.

        An array is uint8 (height, width, 3) RGB or (height, width); one of four dimensions is a batch of them.
        ``batch_size`` pictures are held and run at a time. Raises ImageError naming the first picture that cannot be
        used: by its path, or as ``pictures[2]``.
        """
        each = [pictures] if _is_one(pictures) else pictures
        predictions: list[Prediction] = []
        for result in self.predict_each(each, batch_size):  # type: ignore[arg-type]  # a batch array is a sequence
            if isinstance(result, ImageError):
                raise result
            predictions.append(result)
        return predictions

    def predict_each(
        self, pictures: Iterable[Picture], batch_size: int = BATCH_SIZE
    ) -> Iterator[Prediction | ImageError]:
        """As ``predict``, but results come as they are made, and a picture that cannot be used gives its error."""
        each = enumerate(pictures)
        with ThreadPoolExecutor(min(cores(), batch_size)) as pool:
            while batch := list(islice(each, batch_size)):
                prepared = list(pool.map(self._prepare_named, batch))
                images = [one for one in prepared if isinstance(one, np.ndarray)]
                predictions = iter(self.predictions(self.scores(np.stack(images))) if images else ())
                for one in prepared:
                    yield one if isinstance(one, ImageError) else next(predictions)

    def prepare(self, picture: Picture) -> np.ndarray:
        """A picture as the network takes it: uint8 RGB of shape (height, width, 3). Raises ImageError."""
        return imaging.prepare(picture, self.manifest.input.how)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores, float32 (N, classes), of prepared pictures, uint8 (N, height, width, 3)."""
        return self.engine(images)

    def predictions(self, scores: Iterable[np.ndarray]) -> list[Prediction]:
        """Rows of scores with their labels."""
        return [Prediction(row, self.labels) for row in scores]

    def close(self) -> None:
        """Remove unpacked files that are still there. Closing twice is fine."""
        self._artifact.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare_named(self, item: tuple[int, Picture]) -> np.ndarray | ImageError:
        place, picture = item
        try:
            return self.prepare(picture)
        except ImageError as error:
            return error if error.where else ImageError(error.what, where=f"pictures[{place}]", mend=error.mend)


def _is_one(pictures: object) -> bool:
    if isinstance(pictures, np.ndarray):
        return pictures.ndim < 4
    return isinstance(pictures, (str, Path, bytes, bytearray, memoryview, Image.Image))
