"""Bodies in six poses, drawn from back to front.

Units are head radii; the ground is y = 0, the animal stands above it (y < 0) and looks to the left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from clary.drawn.breeds import Breed, Coat
from clary.drawn.canvas import Pen
from clary.drawn.coats import PartName, dress
from clary.drawn.palette import mix
from clary.drawn.shapes import Points, blob, ellipse, limb, mirrored, symmetric

__all__ = ["POSES", "Pose"]


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the head goes and how large the whole is, in head radii.

    ``left``, ``right`` and ``top`` bound the animal (the ground is the bottom), the head with its ears included.
    """

    name: str
    draw: Callable[[Body], None]
    head: tuple[float, float]
    left: float
    right: float
    top: float
    share: float  # how often it is taken; all together 1
    asleep: bool = False


class Body:
    """One body on its way onto the canvas."""

    def __init__(self, pen: Pen, breed: Breed, coat: Coat, rng: np.random.Generator) -> None:
        self.pen = pen
        self.breed = breed
        self.coat = coat
        self.rng = rng

    def part(
        self,
        name: PartName,
        outline: np.ndarray,
        edges: Sequence[Points] = (),
        *,
        volume: float = 1.0,
        far: bool = False,
        shadow: float = 0.0,
    ) -> None:
        """A part in the coat of this animal; ``far`` ones lie behind and in shade."""
        look = dress(self.breed, self.coat, name, outline, edges, self.rng)
        colour, marks = look.colour, look.marks
        if far:
            night = mix(self.coat.base, (40, 34, 44), 0.5)
            colour = mix(colour, night, 0.4)
            marks = [(points, mix(paint, night, 0.4)) for points, paint in marks]
        self.pen.part(outline, colour, marks, soft=look.soft, volume=volume, shadow=shadow)
        if self.breed.shag and name not in ("paw", "chest"):
            tones = (mix(colour, self.coat.mark, 0.3), colour, mix(colour, self.coat.pale, 0.35))
            self.pen.hairs(outline, tones, self.breed.shag, self.rng)

    def leg(self, path: Points, widths: Sequence[float], *, far: bool = False, shadow: float = 0.0) -> None:
        self.part("leg", limb(path, widths), [path], far=far, shadow=shadow)

    def paw(self, x: float, y: float, size: float = 0.32, *, far: bool = False) -> None:
        """A paw with its toes, resting on the ground."""
        self.part("paw", ellipse(x, y, size, size * 0.66), far=far, volume=0.8)
        toe = mix(self.coat.base, (50, 36, 36), 0.45)
        for side in (-0.3, 0.3):
            line = [(x + side * size, y + size * 0.12), (x + side * size * 1.1, y + size * 0.5)]
            self.pen.stroke(line, toe, 0.035)

    def tail(self, path: Points, *, shadow: float = 0.0) -> None:
        root, end = self.breed.tail
        self.part("tail", limb(path, (root, (root + end) / 2, end), 8), [path], shadow=shadow)

    def wide(self, points: Points) -> np.ndarray:
        """Points moved in or out for the girth of the breed."""
        return np.asarray(points, dtype=np.float64) * (self.breed.girth, 1.0)


def _sit_front(body: Body) -> None:
    sway = float(body.rng.uniform(-0.25, 0.25))
    body.tail([(0.7, -0.3), (1.5, -0.22), (1.95, -0.75 + sway), (1.7 + sway, -1.4)])
    right = [(0.0, -2.7), (0.6, -2.4), (0.8, -1.6), (1.02, -0.8), (0.92, -0.15), (0.4, -0.04)]
    side = body.wide([(0.66, -2.2), (0.86, -1.4), (1.05, -0.6)])
    half = body.wide(right)
    outline = blob(symmetric(half))
    body.part("body", outline, [side, mirrored(side)])
    for flip in (-1, 1):
        haunch = ellipse(flip * 0.8 * body.breed.girth, -0.58, 0.5, 0.6, flip * 0.35)
        outer = body.wide([(flip * 0.85, -1.2), (flip * 1.28, -0.8), (flip * 1.3, -0.3)])
        body.part("haunch", haunch, [outer], volume=0.8)
        body.paw(flip * 0.92 * body.breed.girth, -0.14, 0.36)
    body.part("chest", ellipse(0, -1.75, 0.46 * body.breed.girth, 0.8), volume=0.35)
    for flip in (-1, 1):
        path = [(flip * 0.37, -1.75), (flip * 0.36, -0.9), (flip * 0.35, -0.2)]
        body.leg(path, (0.3, 0.27, 0.25), shadow=0.12)
        body.paw(flip * 0.36, -0.13)


def _sit_side(body: Body) -> None:
    lift = float(body.rng.uniform(0.0, 1.0))
    body.tail([(1.2, -0.25), (1.8, -0.16), (2.25, -0.3 - 0.5 * lift), (2.3, -0.5 - 1.1 * lift)])
    body.leg([(-0.2, -1.5), (-0.22, -0.8), (-0.24, -0.2)], (0.3, 0.26, 0.24), far=True)
    body.paw(-0.3, -0.14, 0.3, far=True)
    back = [(0.3, -2.5), (0.85, -1.75), (1.3, -0.95), (1.35, -0.3)]
    front = [(1.0, -0.03), (0.2, -0.06), (-0.42, -0.5), (-0.72, -1.3), (-0.66, -2.1), (-0.3, -2.7)]
    body.part("body", blob(body.wide(back + front)), [body.wide(back)])
    thigh = [(0.7, -1.25), (1.2, -0.9), (1.3, -0.35)]
    body.part("haunch", ellipse(0.66 * body.breed.girth, -0.6, 0.64, 0.58, -0.2), [body.wide(thigh)], volume=0.8)
    body.paw(0.3, -0.14, 0.42)
    body.part("chest", ellipse(-0.42, -1.85, 0.28, 0.6, 0.15), volume=0.35)
    body.leg([(-0.4, -1.7), (-0.5, -0.9), (-0.56, -0.2)], (0.32, 0.28, 0.25), shadow=0.1)
    body.paw(-0.62, -0.13)


def _stand(body: Body) -> None:
    lift = float(body.rng.uniform(-0.3, 0.5))
    step = float(body.rng.uniform(-0.14, 0.14))
    for x, shift in ((-0.62, -step), (1.25, step)):
        body.leg([(x, -1.3), (x + 0.08, -0.7), (x + shift, -0.2)], (0.32, 0.23, 0.21), far=True)
        body.paw(x + shift - 0.06, -0.14, 0.27, far=True)
    body.tail([(1.45, -1.75), (1.95, -2.0 - 0.4 * lift), (2.25, -2.45 - 0.6 * lift), (2.2, -2.95 - 0.7 * lift)])
    back = [(-0.9, -2.35), (-0.2, -2.1), (0.8, -2.12), (1.5, -1.95), (1.72, -1.5)]
    under = [(1.5, -0.95), (0.6, -0.86), (-0.4, -0.78), (-1.1, -0.95), (-1.3, -1.7)]
    outline = blob(back + under) * (1.0, body.breed.girth) + (0.0, 1.0 * (body.breed.girth - 1) * 1.2)
    body.part("body", outline, [back])
    body.part("haunch", ellipse(1.2, -1.35, 0.52, 0.62), [[(0.9, -1.95), (1.5, -1.9), (1.7, -1.4)]], volume=0.7)
    body.part("chest", ellipse(-1.0, -1.45, 0.3, 0.5, -0.1), volume=0.35)
    for x, shift in ((-0.98, step), (1.2, -step)):
        body.leg([(x, -1.3), (x + 0.06, -0.7), (x + shift, -0.2)], (0.34, 0.25, 0.23), shadow=0.1)
        body.paw(x + shift - 0.07, -0.14, 0.3)


def _lie(body: Body) -> None:
    wag = float(body.rng.uniform(-0.2, 0.35))
    body.tail([(1.75, -0.35), (2.3, -0.2), (2.75, -0.4 - wag), (2.9, -0.8 - wag)])
    back = [(-0.6, -1.55), (0.2, -1.5), (1.1, -1.42), (1.8, -1.05), (2.0, -0.45)]
    under = [(1.6, -0.04), (0.4, -0.02), (-0.9, -0.06), (-1.25, -0.7)]
    body.leg([(-0.5, -0.4), (-1.1, -0.22), (-1.75, -0.2)], (0.3, 0.24, 0.2), far=True)
    body.part("body", blob(back + under), [back])
    thigh = [(0.95, -1.15), (1.5, -1.2), (1.85, -0.7)]
    body.part("haunch", ellipse(1.25, -0.58, 0.62, 0.56, -0.15), [thigh], volume=0.8)
    body.paw(0.85, -0.16, 0.42)
    body.part("chest", ellipse(-0.8, -0.85, 0.36, 0.5), volume=0.35)
    body.leg([(-0.55, -0.42), (-1.15, -0.24), (-1.7, -0.18)], (0.32, 0.26, 0.22), shadow=0.08)
    body.paw(-1.85, -0.16, 0.3)


def _loaf(body: Body) -> None:
    body.tail([(1.0, -0.35), (1.55, -0.16), (1.35, -0.02), (0.75, -0.1)])
    right = [(0.0, -1.75), (0.75, -1.6), (1.25, -1.05), (1.42, -0.4), (1.1, -0.03), (0.4, -0.02)]
    half = body.wide(right)
    side = body.wide([(0.75, -1.6), (1.25, -1.05), (1.42, -0.4)])
    body.part("body", blob(symmetric(half)), [side, mirrored(side)])
    body.part("chest", ellipse(0, -0.6, 0.5, 0.5), volume=0.35)
    for flip in (-1, 1):
        body.leg([(flip * 0.46, -0.7), (flip * 0.46, -0.35), (flip * 0.44, -0.2)], (0.26, 0.25, 0.24))
        body.paw(flip * 0.44, -0.14, 0.34)


def _curl(body: Body) -> None:
    back = [(-1.3, -0.9), (-0.6, -1.45), (0.4, -1.62), (1.3, -1.3), (1.75, -0.65)]
    under = [(1.55, -0.1), (0.5, 0.0), (-0.8, -0.02), (-1.45, -0.3)]
    body.part("body", blob(back + under), [back])
    thigh = [(0.6, -1.15), (1.2, -1.0), (1.5, -0.5)]
    body.part("haunch", ellipse(0.85, -0.55, 0.66, 0.5, 0.2), [thigh], volume=0.8)
    body.paw(-0.15, -0.14, 0.34)
    body.tail([(1.6, -0.35), (1.3, -0.14), (0.5, -0.12), (-0.3, -0.14)], shadow=0.08)


POSES = (
    Pose("sit_front", _sit_front, (0.0, -3.25), -1.5, 1.7, -4.6, 0.2),
    Pose("sit_side", _sit_side, (-0.42, -3.2), -1.6, 2.3, -4.6, 0.2),
    Pose("stand", _stand, (-1.45, -2.75), -2.6, 2.3, -4.2, 0.2),
    Pose("lie", _lie, (-1.0, -2.0), -2.3, 3.05, -3.4, 0.17),
    Pose("loaf", _loaf, (0.0, -1.65), -1.5, 1.6, -3.0, 0.13),
    Pose("curl", _curl, (-1.0, -0.78), -2.1, 1.9, -2.1, 0.1, asleep=True),
)
