"""The place of a picture. No place belongs to a breed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from clary.drawn.backdrops import blanket, blur, studio
from clary.drawn.indoors import kitchen, room, sofa
from clary.drawn.outdoors import beach, forest, meadow, street, winter
from clary.drawn.painter import Painter

__all__ = ["PLACES", "Place", "Scene", "draw_scene"]

# A place paints itself and returns where it begins to bear an animal, as a share of the height.
Place: TypeAlias = Callable[[Painter], float]

_OUTDOORS: tuple[Place, ...] = (meadow, forest, beach, winter, street)
# All breeds share all places, so that a background never tells the breed. Named twice, drawn twice as often.
PLACES: tuple[Place, ...] = (*_OUTDOORS, room, room, sofa, sofa, kitchen, studio, blanket, blur)


@dataclass(frozen=True, slots=True)
class Scene:
    """A background, uint8 of shape (height, width, 3), and the first row on which an animal can stand."""

    pixels: np.ndarray
    floor: int
    outdoors: bool


def draw_scene(height: int, width: int, rng: np.random.Generator) -> Scene:
    """Any of the places, with its own colours and light."""
    painter = Painter(height, width, rng)
    place = PLACES[int(rng.integers(len(PLACES)))]
    floor = place(painter)
    return Scene(painter.pixels, round(floor * height), place in _OUTDOORS)
