"""The ball a face is drawn on, and who it belongs to.

Units are head radii, the origin is the middle of the head. A head turns by ``yaw`` (sideways) and ``pitch`` (up and
down): what lies in front (nose, muzzle) then moves further than what lies at the side, as on a ball.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clary.drawn.breeds import Breed, Coat
from clary.drawn.canvas import Pen
from clary.drawn.palette import Colour, mix
from clary.drawn.shapes import Points

__all__ = ["INK", "SIDES", "Face", "Mood"]

INK: Colour = (48, 36, 38)
SIDES = (-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Mood:
    """How the animal looks at the world. Angles are in radians; ``lids`` is 0 wide awake and 1 asleep."""

    yaw: float = 0.0
    pitch: float = 0.0
    lids: float = 0.0
    pupil: float = 0.5
    pants: bool = False
    blush: float = 0.3


class Face:
    """What the parts of a head share: a pen, the animal, and where things lie on the turned head."""

    def __init__(self, pen: Pen, breed: Breed, coat: Coat, mood: Mood, rng: np.random.Generator) -> None:
        self.pen = pen
        self.breed = breed
        self.coat = coat
        self.mood = mood
        self.rng = rng
        self.aside, self.down = float(np.sin(mood.yaw)), float(np.sin(mood.pitch))
        self._straight = (float(np.cos(mood.yaw)), float(np.cos(mood.pitch)))

    @property
    def is_cat(self) -> bool:
        return self.breed.species == "cat"

    def on(self, points: Points, out: float = 0.0) -> np.ndarray:
        """Points seen from in front, as they lie on the turned head; ``out`` is how far they stand out of it."""
        flat = np.asarray(points, dtype=np.float64)
        # Clipped, since ears and whiskers lie beyond the ball, where there is no root.
        depth = np.sqrt(np.clip(1.0 - np.sum(flat**2, axis=1) * 0.8, 0.05, 1.0)) + out
        turned: np.ndarray = flat * self._straight + depth[:, None] * (self.aside, self.down)
        return turned

    def spot(self, x: float, y: float, out: float = 0.0) -> tuple[float, float]:
        """One point, as ``on`` places it."""
        place = self.on([(x, y)], out)[0]
        return float(place[0]), float(place[1])

    def tones(self, colour: Colour) -> tuple[Colour, Colour, Colour]:
        """Three tones for the hair of a part of this colour."""
        return mix(colour, self.coat.mark, 0.3), colour, mix(colour, self.coat.pale, 0.4)
