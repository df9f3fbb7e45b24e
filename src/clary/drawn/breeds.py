"""What makes a breed: its build, and the coats it comes in.

Everything else (pose, size, place, light, background) is drawn from the same ranges for all, so that coat, ears
and muzzle are what a classifier has to learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from clary.drawn.palette import Colour, mix
from clary.errors import UsageError

__all__ = ["BREEDS", "Breed", "Coat", "breed_named"]

Ears = Literal["pricked", "large", "small", "long", "drop", "button"]
Pattern = Literal["tabby", "plain", "points", "spots", "saddle", "wiry"]


@dataclass(frozen=True, slots=True)
class Coat:
    """The colours of one animal."""

    base: Colour
    pale: Colour  # muzzle, chest, belly
    mark: Colour  # stripes, spots, points, saddle
    ear: Colour
    iris: Colour
    nose: Colour
    second: Colour  # the third colour of a beagle, the beard of a terrier
    bib: float = 1.0  # how much pale there is on chest and muzzle, 0..1
    density: float = 1.0  # how many marks
    grown: bool = True  # a young animal's mask is smaller


@dataclass(frozen=True, slots=True)
class Breed:
    """One breed. ``skull`` is the right half of the head, top to chin, in head radii."""

    name: str
    species: Literal["cat", "dog"]
    ears: Ears
    pattern: Pattern
    skull: tuple[tuple[float, float], ...]
    muzzle: tuple[float, float, float]  # half width, half height, how far down
    eye: tuple[float, float, float]  # size, distance from the middle, slant in radians
    girth: float  # width of the body, 1 is usual
    tail: tuple[float, float]  # half width at its root and at its end
    shag: float = 0.0  # length of loose hair
    cheeks: bool = False  # tufts of hair at the cheeks
    coats: tuple[Coat, ...] = ()

    def coat(self, rng: np.random.Generator) -> Coat:
        """One animal's coat: one of those the breed comes in, its colours a little changed."""
        return _varied(self.coats[int(rng.integers(len(self.coats)))], rng)


def breed_named(name: str) -> Breed:
    """Raises UsageError for a name not in BREEDS."""
    if name not in BREEDS:
        raise UsageError(f"no breed `{name}` can be drawn", hint=f"choose from {', '.join(BREEDS)}")
    return BREEDS[name]


def _varied(coat: Coat, rng: np.random.Generator) -> Coat:
    shift = rng.normal(0, 3, 3) + rng.normal(0, 9)
    deeper = float(rng.uniform(-0.12, 0.12))

    def changed(colour: Colour) -> Colour:
        red, green, blue = (float(np.clip(c + s, 8, 250)) for c, s in zip(colour, shift, strict=True))
        return mix((red, green, blue), (20.0, 16.0, 14.0) if deeper > 0 else (250.0, 248.0, 244.0), abs(deeper))

    faint = max(0.0, float(rng.uniform(-0.6, 0.72)))  # young and old animals have faint marks
    return Coat(
        base=changed(coat.base),
        pale=changed(coat.pale),
        mark=changed(mix(coat.mark, coat.base, faint)),
        ear=changed(mix(coat.ear, coat.base, faint)),
        # Eyes and nose stay: they belong to the breed, not to the light.
        iris=coat.iris,
        nose=coat.nose,
        second=changed(coat.second),
        bib=float(np.clip(coat.bib + rng.normal(0, 0.35), 0, 1)),
        density=float(rng.uniform(0.25, 1.35)),
        grown=bool(rng.random() < 0.7),
    )


_PINK: Colour = (226, 134, 128)
_BLACK: Colour = (44, 38, 38)
_LIVER: Colour = (112, 66, 50)
_WHITE: Colour = (247, 243, 236)
_AMBER: Colour = (226, 150, 38)
_GREEN: Colour = (142, 178, 76)
_BLUE: Colour = (92, 158, 222)
_BROWN: Colour = (92, 54, 30)

GINGER_TABBY = Breed(
    name="Ginger_Tabby",
    species="cat",
    ears="pricked",
    pattern="tabby",
    skull=((0, -0.9), (0.5, -0.8), (0.88, -0.38), (1.02, 0.1), (0.86, 0.52), (0.45, 0.8), (0, 0.87)),
    muzzle=(0.4, 0.27, 0.46),
    eye=(0.235, 0.42, -0.10),
    girth=1.0,
    tail=(0.2, 0.15),
    cheeks=True,
    coats=(
        Coat((240, 160, 76), (255, 236, 204), (202, 104, 38), (232, 146, 64), _GREEN, _PINK, (255, 236, 204)),
        Coat((228, 136, 58), (253, 226, 186), (178, 82, 28), (220, 124, 50), _AMBER, _PINK, (253, 226, 186), 0.4),
        Coat((246, 190, 122), (255, 244, 224), (218, 138, 70), (242, 178, 106), _GREEN, _PINK, (255, 244, 224), 0.8),
    ),
)

GRAY_SHORTHAIR = Breed(
    name="Gray_Shorthair",
    species="cat",
    ears="small",
    pattern="plain",
    skull=((0, -0.88), (0.55, -0.79), (0.96, -0.36), (1.12, 0.16), (0.98, 0.58), (0.52, 0.84), (0, 0.86)),
    muzzle=(0.44, 0.29, 0.44),
    eye=(0.25, 0.43, 0.0),
    girth=1.16,
    tail=(0.24, 0.2),
    cheeks=True,
    coats=(
        Coat(
            (146, 151, 162),
            (168, 175, 188),
            (112, 120, 138),
            (128, 136, 153),
            _AMBER,
            (96, 92, 104),
            (168, 175, 188),
            0.5,
        ),
        Coat(
            (114, 119, 129),
            (140, 146, 160),
            (88, 94, 110),
            (100, 107, 122),
            (232, 132, 36),
            (74, 72, 82),
            (140, 146, 160),
            0.3,
        ),
        Coat(
            (172, 172, 176),
            (198, 198, 200),
            (140, 140, 146),
            (158, 158, 164),
            (214, 172, 52),
            (120, 108, 112),
            (198, 198, 200),
            0.5,
        ),
    ),
)

SIAMESE = Breed(
    name="Siamese",
    species="cat",
    ears="large",
    pattern="points",
    skull=((0, -0.84), (0.44, -0.75), (0.8, -0.36), (0.86, 0.02), (0.68, 0.44), (0.37, 0.78), (0, 0.9)),
    muzzle=(0.34, 0.26, 0.5),
    eye=(0.225, 0.38, -0.28),
    girth=0.86,
    tail=(0.15, 0.1),
    coats=(
        Coat((240, 224, 198), (250, 240, 224), (84, 62, 54), (76, 56, 50), _BLUE, (58, 42, 40), (206, 182, 150)),
        Coat((234, 228, 222), (246, 242, 238), (116, 112, 122), (108, 104, 114), _BLUE, (98, 88, 96), (204, 200, 200)),
        Coat((248, 230, 202), (252, 242, 226), (176, 112, 66), (168, 104, 60), _BLUE, (196, 116, 100), (232, 196, 152)),
    ),
)

BEAGLE = Breed(
    name="beagle",
    species="dog",
    ears="long",
    pattern="saddle",
    skull=((0, -0.95), (0.46, -0.84), (0.78, -0.46), (0.84, 0.0), (0.72, 0.42), (0.48, 0.8), (0, 0.94)),
    muzzle=(0.44, 0.4, 0.46),
    eye=(0.2, 0.4, 0.06),
    girth=1.0,
    tail=(0.15, 0.09),
    coats=(
        Coat((196, 130, 72), _WHITE, (56, 46, 44), (160, 92, 46), _BROWN, _BLACK, (56, 46, 44)),
        Coat((214, 154, 92), _WHITE, (96, 64, 46), (180, 114, 62), _BROWN, _BLACK, (96, 64, 46)),
        Coat((228, 178, 118), _WHITE, (212, 152, 90), (206, 148, 88), (122, 78, 40), _LIVER, (212, 152, 90)),
    ),
)

DALMATIAN = Breed(
    name="dalmatian",
    species="dog",
    ears="drop",
    pattern="spots",
    skull=((0, -0.93), (0.46, -0.83), (0.78, -0.44), (0.82, 0.0), (0.66, 0.42), (0.44, 0.8), (0, 0.94)),
    muzzle=(0.4, 0.4, 0.48),
    eye=(0.2, 0.38, 0.0),
    girth=0.92,
    tail=(0.14, 0.06),
    coats=(
        Coat((246, 243, 238), (252, 250, 246), (44, 40, 42), (50, 46, 48), _BROWN, _BLACK, (44, 40, 42)),
        Coat((246, 240, 232), (252, 248, 242), (110, 68, 48), (118, 76, 54), (150, 104, 48), _LIVER, (110, 68, 48)),
        Coat((244, 243, 242), (252, 250, 248), (44, 40, 42), (236, 232, 228), _BROWN, _BLACK, (44, 40, 42)),
    ),
)

TERRIER = Breed(
    name="terrier",
    species="dog",
    ears="button",
    pattern="wiry",
    skull=((0, -0.9), (0.46, -0.83), (0.82, -0.48), (0.9, 0.02), (0.84, 0.5), (0.6, 0.88), (0, 1.02)),
    muzzle=(0.5, 0.42, 0.5),
    eye=(0.18, 0.36, 0.0),
    girth=0.98,
    tail=(0.17, 0.1),
    shag=0.14,
    coats=(
        Coat((206, 168, 118), (236, 212, 172), (112, 88, 66), (176, 134, 88), _BROWN, _BLACK, (236, 212, 172)),
        Coat((138, 136, 138), (210, 206, 200), (84, 82, 86), (92, 90, 94), _BROWN, _BLACK, (210, 206, 200)),
        Coat((236, 230, 220), (250, 246, 240), (196, 150, 100), (210, 168, 116), _BROWN, _BLACK, (250, 246, 240)),
        Coat((188, 122, 66), (214, 158, 104), (66, 56, 54), (150, 92, 50), _BROWN, _BLACK, (214, 158, 104)),
    ),
)

BREEDS = {one.name: one for one in (BEAGLE, DALMATIAN, GINGER_TABBY, GRAY_SHORTHAIR, SIAMESE, TERRIER)}
