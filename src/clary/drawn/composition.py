"""One drawn picture: an animal in a place, with things around it, seen by a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clary.drawn.body import POSES, Body, Pose
from clary.drawn.breeds import Breed, Coat
from clary.drawn.camera import developed, laid_over, out_of_focus, shaded
from clary.drawn.canvas import Canvas, Pen
from clary.drawn.face import Mood
from clary.drawn.head import draw_head
from clary.drawn.palette import darker
from clary.drawn.scene import Scene, draw_scene
from clary.drawn.shapes import ellipse
from clary.drawn.things import draw_thing
from clary.drawn.worn import draw_collar, draw_hiding_place

__all__ = ["Drawing", "draw"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and what is known of it.

    ``pixels``: uint8 RGB of shape (height, width, 3). ``animal``: uint8 of shape (height, width), how much of each
    pixel is animal, 0..255. ``head``: left, top, right, bottom in pixels, inside the picture, right and bottom not
    included; what hides a part of the head does not make it smaller. ``quality``: of the JPEG, 1..100.
    """

    breed: Breed
    pose: str
    pixels: np.ndarray
    animal: np.ndarray
    head: tuple[int, int, int, int]
    quality: int


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where the animal is: the origin of its pose at pixel (x, y), ``unit`` pixels to a head radius."""

    x: float
    y: float
    unit: float
    mirror: bool

    def across(self, units: float) -> float:
        """The column ``units`` to the right of the origin, in the animal's own sense of right."""
        return self.x + (-units if self.mirror else units) * self.unit


def draw(breed: Breed, rng: np.random.Generator, size: tuple[int, int] | None = None) -> Drawing:
    """A picture of ``size`` (width, height), or of a size as photographs have it; all else is up to ``rng``."""
    # Each line below takes from the one generator: to move one is to change every picture of every seed.
    width, height = size or _some_size(rng)
    scene = draw_scene(height, width, rng)
    pose = POSES[int(rng.choice(len(POSES), p=[pose.share for pose in POSES]))]
    stand = _portrait(pose, scene, rng) if rng.random() < 0.25 else _whole(pose, scene, rng)
    coat = breed.coat(rng)
    # From above, left to right: y points down, so the sine is below 0.
    sun = float(rng.uniform(-2.6, -0.5))
    canvas = Canvas(height, width, darker(coat.base, 0.6), (float(np.cos(sun)), float(np.sin(sun))))
    _draw_things(canvas, stand, scene, rng)
    outline = _draw_animal(canvas.pen(stand.x, stand.y, stand.unit, mirror=stand.mirror), pose, breed, coat, rng)
    _draw_before(canvas, stand, pose, scene, rng)
    ground = _with_shadow(out_of_focus(scene.pixels, rng), stand, pose)
    pixels, animal = laid_over(ground, canvas, rng)
    head = _bounds(outline, height, width)
    return Drawing(breed, pose.name, developed(pixels, rng), animal, head, int(rng.integers(50, 96)))


def _some_size(rng: np.random.Generator) -> tuple[int, int]:
    longer = int(rng.integers(300, 401))
    shorter = round(longer * float(rng.choice([0.66, 0.75, 0.75, 0.8, 1.0])))
    return (longer, shorter) if rng.random() < 0.75 else (shorter, longer)


def _portrait(pose: Pose, scene: Scene, rng: np.random.Generator) -> _Stand:
    """The head in the middle; the body runs out of the picture."""
    height, width = scene.pixels.shape[:2]
    mirror = bool(rng.random() < 0.5)
    unit = min(height, width) * float(rng.uniform(0.2, 0.3))
    x = width * float(rng.uniform(0.36, 0.64)) + (pose.head[0] if mirror else -pose.head[0]) * unit
    y = height * float(rng.uniform(0.42, 0.6)) - pose.head[1] * unit
    # Never above the floor: a body that runs out of the picture must not hover before the wall.
    return _Stand(x, max(y, scene.floor), unit, mirror)


def _whole(pose: Pose, scene: Scene, rng: np.random.Generator) -> _Stand:
    """All of the animal, near or (one in four) further away; some stand half out of the picture."""
    height, width = scene.pixels.shape[:2]
    mirror = bool(rng.random() < 0.5)
    fit = min(height / -pose.top, width / (pose.right - pose.left))
    unit = fit * float(rng.uniform(0.32, 0.54) if rng.random() < 0.36 else rng.uniform(0.62, 0.97))
    front = height * 0.985
    y = float(rng.uniform(min(front, max(scene.floor, -pose.top * unit * 0.97)), front))
    left, right = (-pose.right, -pose.left) if mirror else (pose.left, pose.right)
    room = max(0.0, width - (right - left) * unit)
    beyond = min(0.15 * room, 0.3 * (right - left) * unit)
    return _Stand(float(rng.uniform(-beyond, room + beyond)) - left * unit, y, unit, mirror)


def _draw_things(canvas: Canvas, stand: _Stand, scene: Scene, rng: np.random.Generator) -> None:
    """Up to three things beside and behind the animal."""
    height, width = canvas.size
    for _ in range(int(rng.integers(0, 4))):
        y = float(rng.uniform(min(scene.floor, height * 0.95), max(scene.floor + 1, stand.y)))
        unit = min(stand.unit, height * 0.18) * float(rng.uniform(0.7, 1.2))
        draw_thing(canvas.pen(float(rng.uniform(0, width)), y, unit, animal=False), rng)


def _draw_animal(pen: Pen, pose: Pose, breed: Breed, coat: Coat, rng: np.random.Generator) -> np.ndarray:
    pose.draw(Body(pen, breed, coat, rng))
    head = pen.moved(*pose.head, turn=float(rng.normal(0, 0.13)))
    if not pose.asleep and rng.random() < 0.4:
        draw_collar(head, rng)
    return draw_head(head, breed, coat, _some_mood(pose, breed, rng), rng)


def _some_mood(pose: Pose, breed: Breed, rng: np.random.Generator) -> Mood:
    asleep = pose.asleep or rng.random() < 0.05
    return Mood(
        yaw=float(np.clip(rng.normal(-0.1, 0.25), -0.5, 0.45)),
        pitch=float(rng.uniform(-0.12, 0.14)),
        lids=1.0 if asleep else max(0.0, float(rng.uniform(-0.9, 0.45))),
        pupil=float(rng.uniform(0.1, 1.0)),
        pants=not asleep and rng.random() < (0.4 if breed.species == "dog" else 0.08),
        blush=float(rng.uniform(0.1, 0.4)),
    )


def _draw_before(canvas: Canvas, stand: _Stand, pose: Pose, scene: Scene, rng: np.random.Generator) -> None:
    """What hides a part of the animal: a box it sits in, a toy, blades of grass."""
    chance = rng.random()
    if chance < 0.16 and pose.head[1] < -1.8:
        x = stand.across((pose.right + pose.left) / 2)
        pen = canvas.pen(x, stand.y + 0.15 * stand.unit, stand.unit, animal=False)
        draw_hiding_place(pen, (pose.right - pose.left) * 0.42, rng)
    elif chance < 0.4:
        _draw_toy(canvas, stand, pose, rng)
    if scene.outdoors and rng.random() < 0.5:
        _draw_grass(canvas, stand, scene, rng)


def _draw_toy(canvas: Canvas, stand: _Stand, pose: Pose, rng: np.random.Generator) -> None:
    """A thing before the body, not before the face."""
    height = canvas.size[0]
    beside = float(rng.choice([-1.2, 1.2])) * float(rng.uniform(0.5, 1.5))
    x = stand.across(pose.head[0] + (float(rng.uniform(1.4, 2.6)) if pose.head[0] < -0.8 else beside))
    unit = min(stand.unit, height * 0.18)
    y = min(stand.y + float(rng.uniform(0.1, 0.4)) * unit, height * 1.05)
    draw_thing(canvas.pen(x, y, unit * float(rng.uniform(0.7, 1.0)), animal=False), rng)


def _draw_grass(canvas: Canvas, stand: _Stand, scene: Scene, rng: np.random.Generator) -> None:
    """Blades before the feet, in the colour of the ground (sand and snow grow some, too)."""
    height, width = canvas.size
    row = scene.pixels[min(height - 1, max(0, round(stand.y) - 2))]
    red, green, blue = (float(c) for c in row.mean(axis=0))
    count = 46
    foot = np.stack([rng.uniform(0, width / stand.unit, count), rng.uniform(0.02, 0.16, count)], axis=1)
    blade = np.stack([rng.normal(0, 0.12, count), -rng.uniform(0.15, 0.5, count)], axis=1)
    lines = np.stack([foot, foot + blade * (0.3, 0.6), foot + blade], axis=1)
    canvas.pen(0, stand.y, stand.unit, animal=False).blades(lines, darker((red, green, blue), 0.15), 0.05)


def _with_shadow(pixels: np.ndarray, stand: _Stand, pose: Pose) -> np.ndarray:
    x = stand.across((pose.right + pose.left) / 2)
    reach = (pose.right - pose.left) * 0.46 * stand.unit
    pool = ellipse(x, stand.y - 0.02 * stand.unit, reach, 0.3 * stand.unit)
    return shaded(pixels, pool, 0.16 * stand.unit)


def _bounds(points: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """The box around ``points``, cut to the picture; at least one pixel of it is left."""
    left, top = np.clip(np.floor(points.min(axis=0)), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), (left + 1, top + 1), (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)
