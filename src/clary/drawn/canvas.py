"""Painting an animal and things around it: flat colour, soft light and outlines in layers, put together at the end.

The layers are ``_OVERSAMPLING`` times as wide and high as the picture and brought down at the end, which smooths
the edges. A *part* is an outline with a colour, marks inside it (stripes, spots) and a volume: light comes from one
side, so every part is brighter where it faces it and darker towards its other edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import cv2
import numpy as np

from clary.drawn.palette import Colour
from clary.drawn.shapes import Points, outward

__all__ = ["Canvas", "Mark", "Pen", "plain"]

Mark: TypeAlias = tuple[np.ndarray, Colour]  # an outline and what it is filled with

_OVERSAMPLING = 2
_FRACTION = 3  # bits after the point of the coordinates OpenCV gets
_COARSE = 4  # light is worked out on one pixel for 4 x 4: it is smooth
_NEUTRAL = 128  # value of ``Canvas.light`` that leaves a colour as it is


def plain(shape: tuple[int, ...], colour: Colour) -> np.ndarray:
    """One colour, uint8 of shape (height, width, 3)."""
    pixels = np.empty((*shape, 3), np.uint8)
    cv2.rectangle(pixels, (0, 0), (shape[1], shape[0]), colour, cv2.FILLED)  # much faster than ``pixels[:] = colour``
    return pixels


class Canvas:
    """The layers of one picture of ``height`` x ``width`` pixels.

    ``colour`` is flat, ``light`` makes it brighter or darker, ``cover`` says where anything is painted and ``animal``
    where that is the animal. ``outline`` shows through at the smoothed edges. ``sun`` is the direction from which
    light comes, x to the right and y down, of length 1.
    """

    def __init__(self, height: int, width: int, outline: Colour, sun: tuple[float, float] = (-0.55, -0.83)) -> None:
        self.size = (height, width)
        self.sun = sun
        shape = (height * _OVERSAMPLING, width * _OVERSAMPLING)
        self.colour = plain(shape, outline)
        self.light = np.full(shape, _NEUTRAL, np.uint8)
        self.cover = np.zeros(shape, np.uint8)
        self.animal = np.zeros(shape, np.uint8)

    def pen(self, x: float, y: float, unit: float, *, mirror: bool = False, animal: bool = True) -> Pen:
        """A pen whose origin lies at pixel (x, y) and whose unit is ``unit`` pixels; for an animal or for a thing."""
        scale = unit * _OVERSAMPLING
        flip = -scale if mirror else scale
        matrix = np.array([[flip, 0.0, x * _OVERSAMPLING], [0.0, scale, y * _OVERSAMPLING], [0.0, 0.0, 1.0]])
        # 0 for a thing: painted over the animal it takes those pixels out of the trimap again.
        return Pen(self, matrix, 255 if animal else 0)

    def finished(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours, uint8 of shape (height, width, 3); cover and animal, uint8 of shape (height, width), 0..255."""
        size = self.size[::-1]
        colour, light, cover, animal = (
            # INTER_AREA: each pixel is the mean of the four it is made of.
            cv2.resize(layer, size, interpolation=cv2.INTER_AREA)
            for layer in (self.colour, self.light, self.cover, self.animal)
        )
        tinted = cv2.LUT(cv2.merge([light, light, light]), _tints())
        return cv2.multiply(colour, tinted, scale=1 / _NEUTRAL), cover, animal


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in units of its own: ``matrix`` of shape (3, 3) takes them to pixels of the layers of ``canvas``."""

    canvas: Canvas
    matrix: np.ndarray
    animal: int  # what it leaves in ``canvas.animal``: 255, or 0 for a thing that hides the animal

    @property
    def unit(self) -> float:
        """Pixels of the layers in one unit."""
        return float(np.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    def moved(self, x: float, y: float, turn: float = 0.0, scale: float = 1.0) -> Pen:
        """A pen with its origin at (x, y) of this one, turned clockwise by ``turn``, ``scale`` times as large."""
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        return replace(self, matrix=self.matrix @ np.array([[cos, -sin, x], [sin, cos, y], [0.0, 0.0, 1.0]]))

    def place(self, points: Points) -> np.ndarray:
        """``points`` in pixels of the layers, float64 of shape (n, 2)."""
        placed: np.ndarray = np.asarray(points, dtype=np.float64) @ self.matrix[:2, :2].T + self.matrix[:2, 2]
        return placed

    def in_image(self, points: Points) -> np.ndarray:
        """``points`` in pixels of the finished picture."""
        return self.place(points) / _OVERSAMPLING

    def part(
        self,
        points: Points,
        colour: Colour,
        marks: Sequence[Mark] = (),
        *,
        soft: float = 0.0,
        volume: float = 1.0,
        roundness: float = 0.35,
        shadow: float = 0.0,
    ) -> None:
        """A part of the animal, over what is there.

        ``marks`` are drawn inside the outline only, blurred by ``soft`` units. ``volume`` is how strongly light
        models it (0 is flat), ``roundness`` how far from its edge (as a share of its size). ``shadow`` (units) is
        how far down it throws a shadow on the parts below.
        """
        placed = self.place(points)
        if shadow:
            self._throw_shadow(placed, shadow * self.unit)
        window = _window(placed, self.canvas.cover.shape)
        if window is None:
            return
        corner = np.array([window[1].start, window[0].start])
        outline = [_fixed(placed - corner)]
        mask = np.zeros((window[0].stop - window[0].start, window[1].stop - window[1].start), np.uint8)
        # Hard edges: copyTo takes any mask above 0 as whole, and what is smooth in the end comes from the smaller size.
        cv2.fillPoly(mask, outline, 255, cv2.LINE_8, _FRACTION)
        if marks:
            cv2.copyTo(self._marked(colour, marks, mask.shape, corner, soft), mask, self.canvas.colour[window])
        else:
            cv2.fillPoly(self.canvas.colour[window], outline, colour, cv2.LINE_8, _FRACTION)
        cv2.fillPoly(self.canvas.cover[window], outline, 255, cv2.LINE_8, _FRACTION)
        cv2.fillPoly(self.canvas.animal[window], outline, self.animal, cv2.LINE_8, _FRACTION)
        reach = max(3.0, _thickness(placed) * roundness)
        lit = _lit(placed - corner, mask.shape, reach, self.canvas.sun, volume)
        cv2.copyTo(lit, mask, self.canvas.light[window])

    def fill(self, points: Points, colour: Colour, *, lit: bool = True) -> None:
        """A flat shape on the animal, unseen beside it. With ``lit`` False no light models it (eyes)."""
        placed = [_fixed(self.place(points))]
        cv2.fillPoly(self.canvas.colour, placed, colour, cv2.LINE_AA, _FRACTION)
        if not lit:
            cv2.fillPoly(self.canvas.light, placed, _NEUTRAL, cv2.LINE_8, _FRACTION)

    def stroke(self, points: Points, colour: Colour, width: float, *, covers: bool = False) -> None:
        """A line ``width`` units wide. With ``covers`` it belongs to the animal (a whisker)."""
        placed = [_fixed(self.place(points))]
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.canvas.colour, placed, False, colour, thickness, cv2.LINE_AA, _FRACTION)
        if covers:
            cv2.polylines(self.canvas.cover, placed, False, 255, thickness, cv2.LINE_AA, _FRACTION)
            cv2.polylines(self.canvas.light, placed, False, _NEUTRAL, thickness, cv2.LINE_8, _FRACTION)

    def hairs(self, outline: np.ndarray, tones: Sequence[Colour], length: float, rng: np.random.Generator) -> None:
        """Loose hair along an outline, about ``length`` long, in all ``tones``; it belongs to the animal."""
        normal = outward(outline, closed=True)
        for tone in tones:
            picked = rng.integers(len(outline), size=round(0.9 * len(outline)))
            reach = length * rng.uniform(0.3, 1.0, (len(picked), 1))
            root = outline[picked] - normal[picked] * length * 0.9 + rng.normal(0, length * 0.25, (len(picked), 2))
            middle = root + normal[picked] * (length * 0.7 + reach * 0.5)
            fall = np.stack([rng.normal(0, 0.04, len(picked)), reach[:, 0] * 0.8], axis=1)
            tip = middle + normal[picked] * reach * 0.5 + fall
            self.blades(np.stack([root, middle, tip], axis=1), tone, 0.045)

    def blades(self, lines: np.ndarray, colour: Colour, width: float) -> None:
        """Thin things over all that is there, hair or grass: ``lines`` of shape (lines, points, 2)."""
        canvas, thickness = self.canvas, max(1, round(width * self.unit))
        # All lines in one call of polylines: a fur has hundreds.
        placed = list(_fixed(self.place(lines.reshape(-1, 2))).reshape(lines.shape))
        for layer, value in (
            (canvas.colour, colour),
            (canvas.cover, 255),
            (canvas.animal, self.animal),
            (canvas.light, _NEUTRAL + 2),
        ):
            cv2.polylines(layer, placed, False, value, thickness, cv2.LINE_8, _FRACTION)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """A soft round touch of ``colour`` (a blush, a shade), strongest in its middle: ``strength`` 0..1."""
        middle, reach = self.place([(x, y)]), radius * self.unit
        window = _window(np.concatenate([middle - reach, middle + reach]), self.canvas.cover.shape)
        if window is None:
            return
        corner = np.array([window[1].start, window[0].start])
        into = np.array(
            [[reach / 32, 0, middle[0, 0] - reach - corner[0]], [0, reach / 32, middle[0, 1] - reach - corner[1]]]
        )
        layer = self.canvas.colour[window]
        share = cv2.warpAffine(_disc() * np.float32(strength), into, layer.shape[1::-1])
        paint = plain(share.shape, colour)
        self.canvas.colour[window] = cv2.blendLinear(layer, paint, 1 - share, share)

    def _marked(
        self, colour: Colour, marks: Sequence[Mark], shape: tuple[int, ...], corner: np.ndarray, soft: float
    ) -> np.ndarray:
        coat = plain(shape, colour)
        placed = _fixed(self.place(np.concatenate([points for points, _ in marks])) - corner)
        ends = np.cumsum([len(points) for points, _ in marks])[:-1]
        for points, (_, paint) in zip(np.split(placed, ends), marks, strict=True):
            cv2.fillPoly(coat, [points], paint, cv2.LINE_8, _FRACTION)
        # Odd, as a blur must be to stay where it is.
        width = 2 * round(soft * self.unit) + 1
        for _ in range(0 if width == 1 else 1 if width <= 7 else 2):  # twice is smoother, and seen where it is wide
            coat = cv2.blur(coat, (width, width))
        return coat

    def _throw_shadow(self, placed: np.ndarray, depth: float) -> None:
        reach = 1.5 * depth
        around = np.concatenate([placed - reach, placed + reach])
        window = _window(around, self.canvas.cover.shape)
        if window is None:
            return
        layer = self.canvas.light[window]
        corner = np.array([window[1].start, window[0].start - depth])
        small = np.zeros((layer.shape[0] // _COARSE + 1, layer.shape[1] // _COARSE + 1), np.uint8)
        cv2.fillPoly(small, [_fixed((placed - corner) / _COARSE)], 70, cv2.LINE_8, _FRACTION)
        width = 2 * round(depth / _COARSE / 2) + 1
        dark = cv2.blur(small, (width, width))
        self.canvas.light[window] = cv2.subtract(layer, cv2.resize(dark, layer.shape[::-1]))


def _lit(
    outline: np.ndarray, shape: tuple[int, ...], reach: float, sun: tuple[float, float], volume: float
) -> np.ndarray:
    """Light on a part in its window: its shape, blurred and pushed away from the sun, so that the far edge is in shade.

    ``reach`` is how far from the edge the part is round, in pixels.
    """
    rows, columns = -(-shape[0] // _COARSE), -(-shape[1] // _COARSE)
    pad = int(reach / _COARSE) + 2
    small = np.zeros((rows + 2 * pad, columns + 2 * pad), np.uint8)
    cv2.fillPoly(small, [_fixed(outline / _COARSE + pad)], 255, cv2.LINE_AA, _FRACTION)
    side = 2 * round(reach / _COARSE / 2) + 1
    # Twice: two boxes make a tent, without the corners that one box shows in soft light.
    small = cv2.blur(cv2.blur(small, (side, side)), (side, side))
    left, top = (pad - round(part * reach * 0.55 / _COARSE) for part in sun)
    pushed = small[top : top + rows, left : left + columns]
    lit = cv2.convertScaleAbs(pushed, alpha=volume * 0.36, beta=_NEUTRAL - volume * 60)
    wide: np.ndarray = cv2.resize(lit, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return wide


def _thickness(outline: np.ndarray) -> float:
    """How thick a shape is: the diameter of a disc, twice the width of a long limb."""
    points = outline.astype(np.float32)
    return float(4 * cv2.contourArea(points) / (cv2.arcLength(points, True) + 1e-6))


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixel coordinates as OpenCV wants them: whole numbers of 1/8 pixel, the centre of pixel 0 at 0."""
    # Half a pixel back: here pixel 0 reaches from 0 to 1, for OpenCV its centre is 0.
    fixed: np.ndarray = np.rint((points - 0.5) * (1 << _FRACTION))
    return fixed.astype(np.int32)


def _window(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """The rows and columns of a layer that hold ``points``; None when they lie outside."""
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    # Some pixels more than the points: lines have a width, and fractions are rounded.
    left, top = max(0, int(left) - 1), max(0, int(top) - 1)
    right, bottom = min(shape[1], int(right) + 3), min(shape[0], int(bottom) + 3)
    if left >= right or top >= bottom:
        return None
    return slice(top, bottom), slice(left, right)


@cache
def _disc() -> np.ndarray:
    """A soft disc of radius 32 pixels, 1 in the middle and 0 at the rim, float32."""
    y, x = np.mgrid[-31.5:32.5, -31.5:32.5] / 32
    disc: np.ndarray = np.clip(1 - (x * x + y * y), 0, 1) ** 1.5
    return disc.astype(np.float32)


@cache
def _tints() -> np.ndarray:
    """Factors (128 is 1.0) of red, green and blue by light: shade is cool, brightness warm. Shape (256, 1, 3)."""
    light = np.arange(256, dtype=np.float64) - _NEUTRAL
    warmth = np.stack([light * 1.06, light, light * 0.90], axis=1)
    tints: np.ndarray = np.clip(_NEUTRAL + warmth, 0, 255).astype(np.uint8)
    return tints[:, None, :]
