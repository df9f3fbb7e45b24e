"""Segmentation: the class of every pixel. Source: SageMaker developer guide, "Semantic Segmentation".

The network sees the picture as large as it is, or as the manifest says; scores are brought back to the picture's own
size before the highest is taken.
"""

from __future__ import annotations

import io
import json
from collections.abc import Hashable, Sequence

import numpy as np
from PIL import Image

from clary.errors import ImageError, TooLargeError
from clary.vision.base.colours import MASK_PALETTE
from clary.vision.base.decoding import ImageLike, upright_size
from clary.vision.base.planes import resized, strongest
from clary.vision.base.protobuf import encode_record
from clary.vision.base.recordio import LIMIT, frame
from clary.vision.base.types import Segmentation
from clary.vision.inference.content_types import ResponseType
from clary.vision.inference.tasks._base import ModelTask, Prepared

__all__ = ["TASK", "SegmentationServing"]


class Png(ResponseType[Segmentation]):
    """Class ids as a palette PNG, as large as the picture. The colours are VOC's and mean nothing."""

    media_type = "image/png"

    def encode(self, prediction: Segmentation, *, batch: bool) -> bytes:
        image = Image.fromarray(prediction.classes)
        image.putpalette(MASK_PALETTE)
        stream = io.BytesIO()
        # 240 x 240 pixels: level 1 takes 90 us and 4.0 kB, level 6 210 us and 1.4 kB.
        image.save(stream, "PNG", compress_level=1)
        return stream.getvalue()


class TensorRecord(ResponseType[Segmentation]):
    """Scores of every pixel: one framed Record of ``target``, float32, and ``shape``, int32 [1, classes, H, W]."""

    media_type = "application/x-protobuf"

    def encode(self, prediction: Segmentation, *, batch: bool) -> bytes:
        if prediction.scores is None:
            raise ValueError("the scores of the pixels were not kept")
        height, width = prediction.classes.shape
        shape = (1, len(prediction.scores), height, width)
        # Four bytes a score; the rest is room for the names and the shape beside them.
        if 4 * int(np.prod(shape)) >= LIMIT - 1024:
            what = f"scores of {width} x {height} pixels and {shape[1]} classes are too large for a record"
            raise TooLargeError(what, hint="ask for image/png or send a smaller picture")
        scores = resized(prediction.scores, height, width)
        return frame(encode_record({"target": scores, "shape": np.array(shape, np.int32)}))


class RecordIOStream(TensorRecord):
    """The same bytes by the name the documentation has for them."""

    media_type = "application/x-recordio-protobuf"


class RunLine(ResponseType[Segmentation]):
    """``{"prediction": {"shape": [H, W], "classes": [0, 1, 0], "lengths": [700, 20, 80]}}``: runs of equal pixels, row
    after row; ``np.repeat(classes, lengths).reshape(shape)`` are the class ids."""

    media_type = "application/jsonlines"

    def encode(self, prediction: Segmentation, *, batch: bool) -> bytes:
        # Runs, since a list of every pixel's class would be larger than the picture itself.
        flat = prediction.classes.ravel()
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        lengths = np.diff(starts, append=flat.size)
        runs = {"classes": flat[starts].tolist(), "lengths": lengths.tolist()}
        return json.dumps({"prediction": {"shape": list(prediction.classes.shape), **runs}}).encode()


class SegmentationServing(ModelTask[Segmentation]):
    """Class ids of every pixel."""

    name = "segmentation"
    responses = (Png(), TensorRecord(), RecordIOStream(), RunLine())

    def key(self, image: ImageLike) -> Hashable:
        """The picture's size: only pictures of one size fit into one batch."""
        if not isinstance(image, bytes) or not self._how.any_size:
            return None
        try:
            return upright_size(image)
        except ImageError:  # said when it is prepared
            return None

    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[Segmentation]:
        pairs = zip(outputs[0], (image.size for image in images), strict=True)
        return [
            Segmentation(strongest(planes, height, width), self._labels, planes if scores else None)
            for planes, (width, height) in pairs
        ]


TASK = SegmentationServing
