"""Patterns of a coat: which marks a part of the body carries.

A part has an outline and *edges*, the lines along its upper or outer side (the back of the body, the length of a
leg or tail): stripes start there, a saddle covers them, points darken towards their end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from clary.drawn.breeds import Breed, Coat
from clary.drawn.canvas import Mark
from clary.drawn.palette import Colour, mix
from clary.drawn.shapes import Points, blob, curve, ellipse, limb, outward, stripe

__all__ = ["Dress", "PartName", "dress", "spots"]

PartName = Literal["body", "chest", "haunch", "leg", "paw", "tail"]


@dataclass(frozen=True, slots=True)
class Dress:
    """How a part is painted: its colour, the marks on it, and how soft their edges are (units)."""

    colour: Colour
    marks: list[Mark]
    soft: float = 0.03


def dress(
    breed: Breed, coat: Coat, part: PartName, outline: np.ndarray, edges: Sequence[Points], rng: np.random.Generator
) -> Dress:
    """The marks of ``part`` of one animal."""
    return _PATTERNS[breed.pattern](coat, part, outline, [curve(edge) for edge in edges], rng)


def spots(outline: np.ndarray, colour: Colour, size: float, count: int, rng: np.random.Generator) -> list[Mark]:
    """Irregular spots over the box around ``outline``, at least about their own width apart."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    found: list[tuple[float, float, float]] = []
    # Three tries a spot: where there is no room fewer are made, and the draw always ends.
    for x, y, share in rng.random((count * 3, 3)):
        spot = (low[0] + x * (high[0] - low[0]), low[1] + y * (high[1] - low[1]), size * (0.5 + share))
        if all((spot[0] - a) ** 2 + (spot[1] - b) ** 2 > (1.5 * (spot[2] + r)) ** 2 for a, b, r in found):
            found.append(spot)
        if len(found) == count:
            break
    marks: list[Mark] = []
    for x, y, radius in found:
        uneven = ellipse(x, y, radius, radius, 0.0, 6) + rng.normal(0, radius * 0.2, (6, 2))
        marks.append((blob(uneven, 3), colour))
    return marks


def _tabby(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    marks: list[Mark] = []
    if part == "chest":
        return Dress(mix(coat.base, coat.pale, coat.bib), marks)
    if part == "paw":
        return Dress(mix(coat.base, coat.pale, coat.bib * 0.9), marks)
    if part == "body":
        marks.append((_belly(outline), mix(coat.base, coat.pale, 0.45)))
    across = part in ("leg", "tail")
    spacing = (0.3 if across else 0.36) / coat.density
    reach = 0.6 if across else 0.3 * float(np.ptp(outline, axis=0).max())
    for edge in edges:
        marks += [(one, coat.mark) for one in _stripes(edge, outline.mean(axis=0), spacing, reach, across, rng)]
    return Dress(coat.base, marks)


def _stripes(
    edge: np.ndarray, middle: np.ndarray, spacing: float, reach: float, across: bool, rng: np.random.Generator
) -> list[np.ndarray]:
    """Stripes from points of ``edge`` towards ``middle``, or from either side of a limb when ``across``."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(edge, axis=0).T))])
    places = np.arange(spacing * 0.5, length[-1], spacing)
    places += rng.normal(0, spacing * 0.12, len(places))
    at = np.stack([np.interp(places, length, edge[:, axis]) for axis in (0, 1)], axis=1)
    inward = np.stack([np.interp(places, length, outward(edge)[:, axis]) for axis in (0, 1)], axis=1)
    if across:
        inward[rng.random(len(places)) < 0.5] *= -1
        starts, ends = at - inward * reach * 0.6, at + inward * 0.2
    else:
        inward *= np.sign(np.sum(inward * (middle - at), axis=1))[:, None]
        starts, ends = at - inward * 0.12, at + inward * reach * rng.uniform(0.7, 1.2, (len(places), 1)) + (0, 0.1)
    widths, bends = spacing * rng.uniform(0.42, 0.6, len(places)), rng.normal(0, 0.06, len(places))
    return [stripe(*one) for one in zip(starts.tolist(), ends.tolist(), widths.tolist(), bends.tolist(), strict=True)]


def _plain(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    if part in ("chest", "paw"):
        return Dress(mix(coat.base, coat.pale, 0.6 * coat.bib), [])
    marks: list[Mark] = [(_belly(outline), mix(coat.base, coat.pale, 0.5))] if part == "body" else []
    return Dress(coat.base, marks + _rings(part, edges, coat, rng), 0.12)


def _rings(part: str, edges: list[np.ndarray], coat: Coat, rng: np.random.Generator) -> list[Mark]:
    """The faint rings that gray cats often keep on the tail."""
    if part != "tail" or rng.random() < 0.6:
        return []
    faint = mix(coat.base, coat.mark, 0.6)
    return [(one, faint) for one in _stripes(edges[0], edges[0].mean(axis=0), 0.36, 0.6, True, rng)]


def _points(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    half = mix(coat.base, coat.mark, 0.5)
    if part == "paw":
        return Dress(mix(coat.base, coat.mark, 0.92), [])
    if part == "tail":
        return Dress(coat.mark, [(limb(edges[0][:5], [0.5, 0.4, 0.3]), mix(coat.base, coat.mark, 0.7))], 0.2)
    if part == "leg":
        edge = edges[0]
        lower, lowest = edge[len(edge) // 2 :], edge[-max(3, len(edge) // 3) :]
        return Dress(coat.base, [(limb(lower, [0.5, 0.5]), half), (limb(lowest, [0.5, 0.5]), coat.mark)], 0.16)
    if part == "chest":
        return Dress(mix(coat.base, coat.pale, 0.7), [], 0.1)
    back = [(limb(edge, [0.22, 0.3, 0.25]), coat.second) for edge in edges]
    return Dress(coat.base, back, 0.22)


def _spotted(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    amount = {"body": 26, "haunch": 7, "leg": 8, "tail": 6, "chest": 4, "paw": 2}[part]
    size = 0.1 if part in ("body", "haunch") else 0.07
    marks = spots(outline, coat.mark, size, round(amount * coat.density), rng)
    return Dress(coat.pale if part == "chest" else coat.base, marks, 0.015)


def _saddled(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    if part in ("paw", "chest"):
        return Dress(coat.pale, [])
    if part == "leg":
        edge = edges[0]
        upper = edge[: max(3, round(len(edge) * 0.35))]
        return Dress(coat.pale, [(limb(upper, [0.6, 0.5]), coat.base)], 0.06)
    if part == "tail":
        edge = edges[0]
        return Dress(coat.mark, [(limb(edge[-max(3, len(edge) // 3) :], [0.3, 0.3]), coat.pale)], 0.04)
    if part == "haunch":
        return Dress(coat.base, [(limb(edge, [0.24, 0.2]), coat.mark) for edge in edges], 0.06)
    depth = float(np.ptp(outline, axis=0).min()) * rng.uniform(0.22, 0.36)
    marks: list[Mark] = [(limb(edge, [depth * 1.35, depth * 1.6, depth * 1.3]), coat.base) for edge in edges]
    marks += [(limb(edge, [depth * 0.8, depth * 1.1, depth * 0.9]), coat.mark) for edge in edges]
    return Dress(coat.pale, marks, 0.05)


def _wiry(coat: Coat, part: str, outline: np.ndarray, edges: list[np.ndarray], rng: np.random.Generator) -> Dress:
    if part in ("chest", "paw"):
        return Dress(mix(coat.base, coat.pale, 0.75), [])
    if part == "leg":
        return Dress(mix(coat.base, coat.pale, 0.25), _hairs(outline, coat, rng, 6), 0.03)
    marks: list[Mark] = []
    if part == "body" and coat.density > 0.8:
        depth = float(np.ptp(outline, axis=0).min()) * 0.3
        marks = [(limb(edge, [depth, depth * 1.2, depth]), mix(coat.base, coat.mark, 0.75)) for edge in edges]
    return Dress(coat.base, marks + _hairs(outline, coat, rng, 22 if part == "body" else 8), 0.03)


def _hairs(outline: np.ndarray, coat: Coat, rng: np.random.Generator, count: int) -> list[Mark]:
    """Loose wisps, lighter and darker than the coat, hanging down."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    tones = (mix(coat.base, coat.pale, 0.6), mix(coat.base, coat.mark, 0.4))
    found: list[Mark] = []
    for number, (x, y, dx, dy) in enumerate(rng.random((count, 4))):
        start = (float(low[0] + x * (high[0] - low[0])), float(low[1] + y * (high[1] - low[1])))
        end = (start[0] + (dx - 0.5) * 0.2, start[1] + 0.14 + 0.2 * dy)
        found.append((stripe(start, end, 0.06), tones[number % 2]))
    return found


def _belly(outline: np.ndarray) -> np.ndarray:
    """The lower middle of a body."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    width, height = high - low
    return ellipse(float(low[0] + high[0]) / 2, float(high[1]), width * 0.34, height * 0.3)


_Pattern = Callable[[Coat, str, np.ndarray, list[np.ndarray], np.random.Generator], Dress]
_PATTERNS: dict[str, _Pattern] = {
    "tabby": _tabby,
    "plain": _plain,
    "points": _points,
    "spots": _spotted,
    "saddle": _saddled,
    "wiry": _wiry,
}
