"""The pictures a model got wrong, beside each other: what they are, what they were taken for, how surely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from clary.errors import ImageError
from clary.vision.base import decoding
from clary.vision.base.types import Mistake, Sample
from clary.vision.plots.samples import grid

__all__ = ["caption", "draw"]


def draw(mistakes: Sequence[Mistake], *, columns: int = 4, cell: int = 240) -> Image.Image:
    """A grid of ``mistakes`` in their order, in cells of ``cell`` pixels with a line below each.

    Raises ImageError naming a picture that can no longer be read.
    """
    return grid([(_pixels(m.sample, cell), caption(m)) for m in mistakes], columns=columns, cell=cell)


def caption(mistake: Mistake) -> str:
    """``dog taken for cat, 83%``."""
    return f"{mistake.true} taken for {mistake.predicted}, {mistake.score:.0%}"


def _pixels(sample: Sample, size: int) -> np.ndarray:
    try:
        return decoding.decode(sample.image.read(), at_least=size)
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})", where=sample.image) from error
    except ImageError as error:
        raise ImageError(error.what, where=sample.image, hint=error.hint) from error
