"""Drawn pets: cats and dogs of several breeds, with head boxes and trimaps, for a first run without any download.

A breed differs from the others of its species in coat, ears and muzzle; pose, size, place, light and all that lies
around are drawn from the same ranges for all. ``writer`` puts pictures on disk, ``composition`` composes one, ``body``
and ``head`` draw the animal (``breeds`` says what makes each breed), ``scene`` the place, ``camera`` develops it.
"""

from clary.drawn.breeds import BREEDS
from clary.drawn.writer import draw_pets

__all__ = ["BREEDS", "draw_pets"]
