"""Pictures that are nearly the same in two splits: frames of one clip, one photograph saved twice.

A difference hash (N. Krawetz, *Kind of Like That*, 2013): the signs of 64 differences of neighbouring pixels of a
picture at 9 x 8. Two are alike where at most three signs differ and the small pictures themselves agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from clary.vision.base.types import Dataset, Problem, Sample, SplitName
from clary.wording import plural

__all__ = ["Look", "alike_across_splits", "look_of"]

SIDE = 16  # pixels of the small gray pictures that are compared, where hashes are near
BITS = 3  # signs that may differ. With four bands of 16 bits, two such hashes share at least one band
# Mean absolute difference of the small pictures, in gray levels. Chosen on the pets: saved again as JPEG at quality 30,
# or resized by a half, pictures differ by 1 to 2, two of one series by 8 and more.
APART = 4.0
FLAT = 4.0  # standard deviation in gray levels below which a picture shows too little to tell it from others
# Of pictures with one band in common, compared with this many before: a band of thousands is that of empty backgrounds.
NEAR = 8
NAMED = 3

HINT = "leave those that show the same in one split, else scores come out too good"


@dataclass(frozen=True, slots=True)
class Look:
    """A picture in small: its 64 signs, and uint8 gray (SIDE, SIDE)."""

    signs: int
    small: np.ndarray


def look_of(pixels: np.ndarray) -> Look | None:
    """The look of RGB pixels uint8 (height, width, 3); None for one that shows next to nothing."""
    gray = cv2.cvtColor(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    if cv2.meanStdDev(gray)[1].item() < FLAT:
        return None
    rows = cv2.resize(gray, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    return Look(int.from_bytes(np.packbits(rows[:, 1:] > rows[:, :-1]).tobytes(), "big"), gray)


def alike_across_splits(
    dataset: Dataset, looks: Mapping[int, Look], where: Callable[[Sample], str]
) -> Iterator[Problem]:
    """A note for each two splits that share pictures nearly alike; ``looks`` are by ``id()`` of samples.

    Linear in the number of pictures. Files that are equal byte for byte are ``duplicates``' to report.
    """
    seen: dict[tuple[int, int], list[tuple[SplitName, Sample, Look]]] = {}
    found: dict[tuple[SplitName, SplitName], list[str]] = {}
    for split, samples in dataset.splits.items():
        for sample in samples:
            look = looks.get(id(sample))
            if look is None:
                continue
            bands = [(band, look.signs >> 16 * band & 0xFFFF) for band in range(4)]
            near = (other for key in bands for other in seen.get(key, ()))
            like = next((o for o in near if o[0] != split and _alike(look, o[2]) and not _equal(sample, o[1])), None)
            if like:
                found.setdefault((like[0], split), []).append(f"{where(like[1])} and {where(sample)}")
            for key in bands:
                if len(room := seen.setdefault(key, [])) < NEAR:
                    room.append((split, sample, look))
    for (first, second), pairs in found.items():
        more = f" and {len(pairs) - NAMED} more" if len(pairs) > NAMED else ""
        count = plural(len(pairs), "picture")
        what = f"has {count} nearly like one of {first}: {', '.join(pairs[:NAMED])}{more}"
        yield Problem(second, what, HINT, "note")


def _alike(one: Look, other: Look) -> bool:
    if (one.signs ^ other.signs).bit_count() > BITS:
        return False
    return float(np.abs(one.small.astype(np.int16) - other.small).mean()) <= APART


def _equal(one: Sample, other: Sample) -> bool:
    """Whether both are the same bytes."""
    try:
        return one.image.size == other.image.size and one.image.read() == other.image.read()
    except OSError:
        return False
