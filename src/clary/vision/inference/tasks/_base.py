"""What every task promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from clary.vision.artifact.manifest import Manifest
from clary.vision.base import preprocessing
from clary.vision.base.decoding import ImageLike
from clary.vision.base.types import TaskName
from clary.vision.inference.content_types import ResponseType

__all__ = ["ModelTask", "Prepared"]

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture as the network takes it, uint8 RGB (height, width, 3).

    ``size`` is the width and height of the picture itself in pixels; (0, 0) where the task has no use for it.
    """

    pixels: np.ndarray
    size: tuple[int, int] = (0, 0)


class ModelTask(ABC, Generic[A]):
    """How a model of one task takes pictures and what it makes of its network's outputs.

    ``responses`` are the bodies its predictions can be answered with; the first is the default. ``class_axis`` is that
    of the last output.
    """

    name: TaskName
    class_axis: ClassVar[int] = 1
    responses: ClassVar[Sequence[ResponseType[Any]]]

    def __init__(self, manifest: Manifest) -> None:
        self._how = manifest.input.how
        self._labels = manifest.labels

    def prepare(self, image: ImageLike) -> Prepared:
        """A picture as the network takes it. Raises ImageError."""
        return Prepared(*preprocessing.prepare_sized(image, self._how))

    def key(self, image: ImageLike) -> Hashable:
        """What pictures must have in common to go through the network together."""
        # A fixed input: every picture is made the same size.
        return None

    @abstractmethod
    def predictions(
        self, outputs: tuple[np.ndarray, ...], images: Sequence[Prepared], *, scores: bool = True
    ) -> list[A]:
        """The prediction of each picture from the network's outputs for all of them.

        Without ``scores`` what is as large as the picture and not the answer itself is let go.
        """
