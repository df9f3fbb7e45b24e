"""Pictures that are there twice, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from operator import attrgetter

from clary.vision.base.types import Blob, Dataset, Problem, Sample, SplitName

__all__ = ["duplicates"]

# Bytes compared before whole files are read: of the middle, since pictures of one camera begin alike.
MIDDLE = 4096


@dataclass(frozen=True, slots=True)
class _Record:
    split: SplitName
    sample: Sample
    where: str


def duplicates(dataset: Dataset, where: Callable[[Sample], str]) -> list[tuple[Problem, list[Sample]]]:
    """What is wrong with pictures of equal content, and the samples that must not be used for it.

    The same picture under different classes is an error: nobody can tell which is right, so all are named. Within one
    class, or in two splits, it is a note. Files of different size are never opened; of the others the middle is
    compared first, then all bytes (SHA-1). What cannot be read is passed over. ``where`` names a sample.
    """
    records = [_Record(split, sample, where(sample)) for split, found in dataset.splits.items() for sample in found]
    groups = [records]
    for key in (attrgetter("size"), _middle, _digest):
        groups = [finer for group in groups for finer in _apart(group, key)]
    return [_verdict(group, dataset) for group in groups]


def _verdict(group: list[_Record], dataset: Dataset) -> tuple[Problem, list[Sample]]:
    first, *others = group
    labels = {record.sample.classes for record in group}
    # The worse first: a group with two labels is not mentioned for its splits as well.
    if len(labels) > 1:
        named = ", ".join(f"{record.where} ({_label(record.sample, dataset)})" for record in others)
        what = f"is {_label(first.sample, dataset)} here, the same picture has another label at {named}"
        unusable = [record.sample for record in group]
        why = "one picture with several labels"
        return Problem(first.where, what, "keep the right one", "error", len(unusable), why, True), unusable
    other = next((record for record in others if record.split != first.split), None)
    if other:
        what = f"is in {first.split}, and in {other.split} as {other.where}"
        return Problem(first.where, what, "leave it in one split, else scores come out too good", "note"), []
    named = ", ".join(record.where for record in others)
    return Problem(first.where, f"is the same picture as {named}", "remove one of them", "note"), []


def _label(sample: Sample, dataset: Dataset) -> str:
    return " + ".join(f"`{dataset.class_names[c]}`" for c in sample.classes) or "nothing"


def _apart(group: Iterable[_Record], key: Callable[[Blob], Hashable]) -> list[list[_Record]]:
    """The records of a group by key, singles left out, in the order they had."""
    found: dict[Hashable, list[_Record]] = {}
    for record in group:
        try:
            found.setdefault(key(record.sample.image), []).append(record)
        except OSError:  # reported where pictures are opened
            continue
    return [records for records in found.values() if len(records) > 1]


def _middle(blob: Blob) -> tuple[int, bytes]:
    size = blob.size
    if blob.rest:
        return size, blob.read()[size // 2 : size // 2 + MIDDLE]
    if blob.length is not None:
        return size, Blob(blob.path, blob.offset + size // 2, min(MIDDLE, size - size // 2)).read()
    return size, Blob(blob.path, blob.offset + size // 2, MIDDLE).read()


def _digest(blob: Blob) -> bytes:
    # Against chance, not against forgers.
    return hashlib.sha1(blob.read(), usedforsecurity=False).digest()
