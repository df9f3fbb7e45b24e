"""Padding that differs from side to side, which convolutions do not take: in the map, or in the kernel."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor
from torch.nn import functional as F

from clary.vision.training.folded.operators import Geometry

__all__ = ["NO_MARGINS", "Margins", "pad", "widen"]

Margins: TypeAlias = tuple[int, int, int, int]  # zeros to the left, to the right, above and below

NO_MARGINS: Margins = (0, 0, 0, 0)


def pad(features: Tensor, margins: Margins) -> Tensor:
    """The map with its margins."""
    return F.pad(features, margins) if any(margins) else features


def widen(weight: Tensor, how: Geometry, margins: Margins) -> tuple[Tensor, Geometry]:
    """A kernel and a geometry that give of a map without ``margins`` what these give of it with them.

    Even padding of the larger margin, and zeros in the kernel where that is too much: a copy of a map of 112 x 112
    takes as long as its convolution. (Gradients want the margins: kernels of four columns are slow backwards.)
    """
    left, right, top, bottom = margins
    if not any(margins):
        return weight, how
    rows, columns = max(top, bottom), max(left, right)
    zeros = [(side - margin) for side, margin in ((columns, left), (columns, right), (rows, top), (rows, bottom))]
    return F.pad(weight, zeros), how._replace(padding=(how.padding[0] + rows, how.padding[1] + columns))
