"""The parts that an object came in, as they are kept with it.

    <how many>x<bytes each>,...[;<base64 of all digests, one after another>]

Nearly all uploads have parts of one size and a last one, so ten thousand sizes take twenty characters.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["ObjectPart", "pack", "unpack"]


@dataclass(frozen=True, slots=True)
class ObjectPart:
    """``start`` is its first byte in the object; ``digest`` is empty where nobody asked for checksums."""

    start: int
    size: int
    digest: bytes


def pack(parts: Sequence[tuple[int, bytes]]) -> str:
    """Sizes and digests, the latter of one length or all empty, as text."""
    sizes = ",".join(f"{sum(1 for _ in run)}x{size}" for size, run in groupby(size for size, _ in parts))
    digests = b"".join(digest for _, digest in parts)
    return f"{sizes};{base64.b64encode(digests).decode()}" if digests else sizes


def unpack(text: str) -> list[ObjectPart]:
    """In their order; none of an object that came in one piece."""
    runs, _, encoded = text.partition(";")
    pairs = [each.split("x") for each in runs.split(",") if each]
    sizes = [int(size) for count, size in pairs for _ in range(int(count))]
    digests = base64.b64decode(encoded)
    each = len(digests) // len(sizes) if sizes else 0
    parts: list[ObjectPart] = []
    start = 0
    for place, size in enumerate(sizes):
        parts.append(ObjectPart(start, size, digests[place * each : (place + 1) * each]))
        start += size
    return parts
