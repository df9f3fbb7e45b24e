"""A model that predicts: pictures in, predictions out. Loads no tensor library unless the torch engine is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from clary.errors import ArtifactError, ImageError, UsageError
from clary.vision.artifact.archive import Artifact
from clary.vision.artifact.manifest import Manifest
from clary.vision.base.cores import cores
from clary.vision.base.decoding import ImageLike
from clary.vision.inference.engines import Engine, find
from clary.vision.inference.finishing import open_finished
from clary.vision.inference.tasks import Prepared, task_of

__all__ = ["BATCH_SIZE", "PRECISIONS", "Model", "load"]

PRECISIONS = ("auto", "fp32")

# Little is gained beyond eight (ResNet-50: a picture costs 12.4 ms of a core alone, 10.1 in four, 9.6 in eight).
BATCH_SIZE = 8


def load(path: os.PathLike[str] | str, engine: str = "auto", *, streams: int = 1, precision: str = "auto") -> Model:
    """Open a ``model.tar.gz``, the folder of one, or a run (its folder, or the object that `clary.train` returns), and
    make it ready to predict. What a stopped run left is made a model first, which takes the seconds of an export.

    ``engine`` is "openvino", "onnxruntime", "torch", or "auto": the first of them that is installed. ``streams`` is
    how many batches run side by side (a server wants one a core). ``precision`` "fp32" computes as eager torch does;
    "auto" lets OpenVINO take bf16 where the processor has it and the artifact was found right with it: several times as
    fast, scores to two digits, and of two classes that score alike now and then the other.

    Raises ArtifactError, MissingPackageError, UsageError.
    """
    if precision not in PRECISIONS:
        hint = f"choose {' or '.join(PRECISIONS)}"
        raise UsageError(f"unknown precision `{ascii(precision)[1:-1][:60]}`", hint=hint)
    kind = find(engine)
    artifact = open_finished(path)
    loaded = False
    try:
        model = Model(artifact, kind(artifact.folder, artifact.manifest, streams=streams, precision=precision))
        loaded = True
    finally:
        # Engines keep nothing on disk. Removed at once, the files are gone even if the process is killed; elsewhere
        # a file that is still mapped cannot be removed before the model is closed.
        if not loaded or os.name == "posix":
            artifact.close()
    return model


class Model:
    """A network with its labels and its way of preparing pictures. May be used from several threads at once.

    What it predicts is its task's: ``Prediction``, ``Detections`` or ``Segmentation`` (``base.types``). A context
    manager: ``close`` removes unpacked files that are still there.
    """

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self._artifact = artifact
        self.engine = engine
        self.task = task_of(artifact.manifest)
        # Parts of an artifact may be of different exports: labels would be wrong and nobody would know.
        self._check(engine.outputs)

    @property
    def manifest(self) -> Manifest:
        """What the artifact says of itself."""
        return self._artifact.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in id order."""
        return self.manifest.labels

    def predict(
        self,
        images: ImageLike | Sequence[ImageLike] | np.ndarray,
        batch_size: int = BATCH_SIZE,
        *,
        scores: bool = False,
    ) -> list[Any]:
        """One prediction for each picture, in order. A picture is a path, encoded bytes, a PIL image or an array.

        An array is uint8 (height, width, 3) RGB or (height, width); one of four dimensions is a batch of them.
        ``batch_size`` pictures are held and run at a time. ``scores`` keeps those of every pixel, which a segmentation
        otherwise lets go. Raises ImageError naming the first picture that cannot be used: by its path, or as
        ``pictures[2]``.
        """
        each = [images] if _is_one(images) else images
        predictions: list[Any] = []
        for result in self.predict_each(each, batch_size, scores=scores):  # type: ignore[arg-type]  # an array is a sequence
            if isinstance(result, ImageError):
                raise result
            predictions.append(result)
        return predictions

    def predict_each(
        self, images: Iterable[ImageLike], batch_size: int = BATCH_SIZE, *, scores: bool = False
    ) -> Iterator[Any]:
        """As ``predict``, but results come as they are made, and a picture that cannot be used gives its error."""
        # One iterator over all: a generator of a million paths is never listed.
        each = enumerate(images)
        with ThreadPoolExecutor(min(cores(), batch_size)) as pool:
            while batch := list(islice(each, batch_size)):
                prepared = list(pool.map(self._prepare_named, batch))
                predictions = iter(self.run([one for one in prepared if isinstance(one, Prepared)], scores=scores))
                for one in prepared:
                    yield one if isinstance(one, ImageError) else next(predictions)

    def prepare(self, image: ImageLike) -> Prepared:
        """A picture as the network takes it. Raises ImageError."""
        return self.task.prepare(image)

    def run(self, images: Sequence[Prepared], *, scores: bool = True) -> list[Any]:
        """The prediction of each picture; those of one shape go through the network together."""
        found: dict[int, Any] = {}
        # Networks that take any size are given pictures as they are, which do not stack.
        for places in _by_shape(images):
            outputs = self.engine(np.stack([images[place].pixels for place in places]))
            together = self.task.predictions(outputs, [images[place] for place in places], scores=scores)
            found.update(zip(places, together, strict=True))
        return [found[place] for place in range(len(images))]

    def close(self) -> None:
        """Remove unpacked files that are still there. Closing twice is fine."""
        self._artifact.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, outputs: tuple[np.ndarray, ...]) -> None:
        scored = outputs[-1].shape[self.task.class_axis]
        if scored != len(self.labels):
            what = f"the network tells {scored} classes apart, the manifest names {len(self.labels)}"
            raise ArtifactError(what, hint="export the model again")

    def _prepare_named(self, item: tuple[int, ImageLike]) -> Prepared | ImageError:
        place, image = item
        try:
            return self.prepare(image)
        except ImageError as error:
            return error if error.where else ImageError(error.what, where=f"pictures[{place}]", hint=error.hint)


def _by_shape(images: Sequence[Prepared]) -> Iterable[list[int]]:
    """Places of pictures that can be stacked."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        groups.setdefault(image.pixels.shape, []).append(place)
    return groups.values()


def _is_one(images: object) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return isinstance(images, (str, Path, bytes, bytearray, memoryview, Image.Image))
