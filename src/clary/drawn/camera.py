"""What a camera makes of a scene: a blurred background, a shadow, light of the day, noise of the sensor."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from clary.drawn.canvas import Canvas

__all__ = ["developed", "laid_over", "out_of_focus", "shaded"]

_FIELD = 640  # pixels; the noise is drawn once and cut from anywhere
_FUR = 10  # mean of the fur field


def laid_over(background: np.ndarray, canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lay what is painted, with the grain of fur, over a background of its size.

    Returns the picture, uint8 of shape (height, width, 3), and how much of each pixel is animal, uint8 of shape
    (height, width).
    """
    colour, cover, animal = canvas.finished()
    fur = _cut(_fields()[0], *canvas.size, rng)
    # Bytes have no sign: streaks around a mean are added, then the mean is taken off.
    colour = cv2.subtract(cv2.add(colour, cv2.merge([fur, fur, fur])), (_FUR, _FUR, _FUR, 0))
    share = cover.astype(np.float32) * np.float32(1 / 255)
    return cv2.blendLinear(colour, background, share, 1 - share), animal


def out_of_focus(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A background as a lens shows it that looks at something nearer."""
    side = 2 * int(rng.integers(0, 4)) + 1
    return cv2.blur(cv2.blur(pixels, (side, side)), (side, side)) if side > 1 else pixels


def shaded(pixels: np.ndarray, pool: np.ndarray, softness: float) -> np.ndarray:
    """Darken the ground within the outline ``pool`` (pixels), with edges soft over ``softness`` pixels."""
    height, width = pixels.shape[:2]
    small = np.zeros((height // 4 + 1, width // 4 + 1), np.uint8)
    cv2.fillPoly(small, [np.rint(pool * 2).astype(np.int32)], 120, cv2.LINE_AA, 3)  # / 4, then 3 bits of fraction
    side = 2 * round(softness / 4) + 1
    light = 255 - cv2.resize(cv2.blur(cv2.blur(small, (side, side)), (side, side)), (width, height))
    darkened: np.ndarray = cv2.multiply(pixels, cv2.merge([light, light, light]), scale=1 / 255)
    return darkened


def developed(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light of the day, exposure, now and then no colour or no sharpness, and noise."""
    height, width = pixels.shape[:2]
    pixels = cv2.LUT(pixels, _tone_curve(rng))
    if rng.random() < 0.07:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.5:
        corners = rng.integers(150, 256, (2, 2), dtype=np.uint8)
        light = cv2.resize(corners, (width, height))
        pixels = cv2.multiply(pixels, cv2.merge([light, light, light]), scale=1 / 235)
    if rng.random() < 0.27:
        pixels = cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.6, 1.8)) * height / 300)
    strength = float(rng.uniform(0, 0.11))
    # After the lens's blur, for noise is made by the sensor behind it.
    speck = _cut(_fields()[1], height, width, rng)
    noisy: np.ndarray = cv2.addWeighted(pixels, 1.0, cv2.merge([speck, speck, speck]), strength, -128 * strength)
    return noisy


def _tone_curve(rng: np.random.Generator) -> np.ndarray:
    """Levels of red, green and blue for each level, uint8 of shape (256, 1, 3): exposure, contrast, warmth."""
    cast = 1 + rng.normal(0, 0.025, 3) + np.array([0.08, 0.0, -0.08]) * rng.normal(0, 1)
    gain, gamma, lift = rng.uniform(0.8, 1.14), rng.uniform(0.8, 1.2), rng.uniform(0, 26)
    levels = np.linspace(0, 1, 256)[:, None] ** gamma * (255 - lift) * gain * cast + lift
    return np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]


@cache
def _fields() -> tuple[np.ndarray, np.ndarray]:
    """Fur (streaks around _FUR) and sensor noise (around 128), uint8 of shape (_FIELD, _FIELD), always the same."""
    # A seed of its own: the field is made once a process, by whichever picture comes first.
    white = np.random.default_rng(20).normal(0, 1, (_FIELD, _FIELD)).astype(np.float32)
    streaks = cv2.GaussianBlur(white, (0, 0), sigmaX=0.8, sigmaY=2.4)
    fur = np.clip(_FUR + streaks / streaks.std() * 4, 0, 2 * _FUR)
    noise = np.clip(128 + cv2.GaussianBlur(white, (3, 3), 0.5) * 60, 0, 255)
    return fur.astype(np.uint8), noise.astype(np.uint8)


def _cut(field: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A piece of a field from anywhere; the field is repeated for a large picture."""
    repeated = np.tile(field, (-(-height // _FIELD), -(-width // _FIELD)))
    top = int(rng.integers(0, repeated.shape[0] - height + 1))
    left = int(rng.integers(0, repeated.shape[1] - width + 1))
    return repeated[top : top + height, left : left + width]
