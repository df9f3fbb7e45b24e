"""Masks: what their values mean, how many classes they have, and writing them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from clary.errors import DataError, ImageError, UsageError
from clary.vision.base.colours import MASK_PALETTE as PALETTE
from clary.vision.base.decoding import decode_mask
from clary.vision.base.files import read_file
from clary.vision.base.types import IGNORED, Problem, Sample, SplitName
from clary.vision.formats._boxes import is_number
from clary.vision.formats._files import place
from clary.vision.formats._wording import relative, typed

__all__ = [
    "PALETTE",
    "as_classes",
    "count_classes",
    "ids_of",
    "mask_png",
    "read_label_map",
    "value_table",
    "write_mask",
]

# Values of a black and white mask as class ids.
_YES_NO = bytes([0, *[IGNORED] * (IGNORED - 1), 1])
_HINT = 'it is {"map": {"<class id>": <value in the masks>}} or {"scale": <number>}'


def value_table(spec: object) -> bytes | str:
    """A label map as the class id of each of the 256 values of a mask, or what is wrong with it.

    ``{"scale": k}``: value // k. ``{"map": {"0": 40}}``: value 40 is class 0; values not in it are ignored. 255 is
    ignored unless the map gives it a class.
    """
    if not isinstance(spec, Mapping) or ("map" in spec) == ("scale" in spec):
        return "has neither `map` nor `scale`, or both"
    if "map" in spec:
        return _mapped(spec["map"])
    try:
        scale = float(spec["scale"])
    except (TypeError, ValueError, OverflowError):
        scale = 0
    if not (is_number(scale) and scale > 0):
        return f"has the scale {typed(spec['scale'])}, which is not a number above 0"
    # Rounded down as the guide has it: with 10, values 0 to 9 are class 0. The scale may be a number in quotes.
    ids = [min(int(value / scale), IGNORED) for value in range(256)]
    return bytes([*ids[:IGNORED], IGNORED])


def _mapped(found: object) -> bytes | str:
    if not isinstance(found, Mapping) or not found:
        return "has a `map` that is no object with a value for each class"
    # The guide does not say what becomes of values that the map leaves out; ignored, they do no harm.
    table = bytearray([IGNORED] * 256)
    taken: dict[int, str] = {}
    for name, value in found.items():
        if not (str(name).isdecimal() and len(str(name)) < 4 and int(name) < IGNORED):
            return f"maps the class {typed(name)}, which is not a whole number from 0 to 254"
        value = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 4 else value
        if not (is_number(value) and value == int(value) and 0 <= value <= 255):
            return f"gives class {name} the value {typed(value)}, which is not a whole number from 0 to 255"
        if int(value) in taken:
            return f"gives the value {int(value)} to class {taken[int(value)]} and to class {name}"
        # The map is class to value, not value to class: {"0": 40} makes class 0 of 40 (guide, label map).
        taken[int(value)] = str(name)
        table[int(value)] = int(name)
    return bytes(table)


def read_label_map(path: Path, where: str) -> tuple[bytes | None, list[Problem]]:
    """The table in a label map file, None where it says nothing usable, and what is wrong with it."""
    try:
        table = value_table(json.loads(read_file(path)))
    except OSError as error:
        return None, [Problem(where, f"cannot be read ({error.strerror})", "mend its permissions")]
    except json.JSONDecodeError as error:
        return None, [Problem(f"{where}:{error.lineno}:{error.colno}", f"is not JSON ({error.msg})", _HINT)]
    except (ValueError, RecursionError) as error:
        return None, [Problem(where, f"is not JSON ({type(error).__name__})", _HINT)]
    return (None, [Problem(where, table, _HINT)]) if isinstance(table, str) else (table, [])


def as_classes(
    splits: Mapping[SplitName, tuple[Sample, ...]], names: Sequence[str] | None, root: Path
) -> tuple[Mapping[SplitName, tuple[Sample, ...]], Sequence[str] | None, list[Problem]]:
    """The samples with their masks as they are meant, the names of the classes, and a note where that is a guess.

    Masks of 0 and 255 alone are what image editors write for yes and no: 255 is then class 1, where it is ignored in
    all other masks. Not where ``names`` are other than two, or a label map has said what values mean.
    """
    samples = [sample for found in splits.values() for sample in found]
    plain = all(sample.mask and sample.mask_values is None for sample in samples)
    if not plain or (names is not None and len(names) != 2) or not _black_and_white(samples):
        return splits, names, []
    # All have a mask, and there is one: else nothing would be black and white.
    where = next(relative(sample.mask.path.parent, root) for sample in samples if sample.mask)
    what, hint = "has masks of 0 and 255 only", "255 is read as class 1 here; in a SageMaker job it is void"
    read = {split: tuple(replace(s, mask_values=_YES_NO) for s in found) for split, found in splits.items()}
    return read, names or ("background", "foreground"), [Problem(where, what, hint, "note")]


def _black_and_white(samples: Sequence[Sample]) -> bool:
    """Whether the masks that can be read hold 0 and 255, both of them, and nothing else."""
    white = False
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        # A few at a time: the first mask with another value is the answer, in most sets the very first.
        for start in range(0, len(samples), 8):
            for values in threads.map(_values, samples[start : start + 8]):
                if values[1:IGNORED].any():
                    return False
                white = white or bool(values[IGNORED])
    return white


def _values(sample: Sample) -> np.ndarray:
    """How often each value is in a mask, int64 (256,); zeros where it cannot be read."""
    try:
        return np.bincount(ids_of(sample).ravel(), minlength=IGNORED + 1)
    except DataError:
        return np.zeros(IGNORED + 1, np.int64)


def count_classes(samples: Sequence[Sample]) -> int:
    """One more than the highest class id in the masks, all of which are opened; bad ones are left to the check."""
    # Threads, since decoding leaves Python's lock.
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as threads:
        return 1 + max(threads.map(_highest, samples), default=-1)


def _highest(sample: Sample) -> int:
    try:
        ids = decode_mask(sample.mask.read(), sample.mask_values) if sample.mask else np.empty(0, np.uint8)
    except (OSError, ImageError):
        return -1
    return int(ids[ids != IGNORED].max(initial=0)) if ids.size else -1


def mask_png(ids: np.ndarray) -> bytes:
    """Class ids (uint8, height x width) as a palette PNG."""
    image = Image.fromarray(ids)
    # Palette, not gray: the values are the same, and classes 0 to 20 are not all black to the eye.
    image.putpalette(PALETTE)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def ids_of(sample: Sample) -> np.ndarray:
    """The class ids of the pixels of a picture, uint8 (height, width).

    Raises UsageError for a sample without a mask, DataError for a mask that cannot be read.
    """
    if sample.mask is None:
        raise UsageError("has no mask", where=sample.source or sample.image, hint="leave it out")
    try:
        return decode_mask(sample.mask.read(), sample.mask_values)
    except ImageError as error:
        raise DataError(error.what, where=sample.mask, hint=error.hint) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=sample.mask) from error


def write_mask(sample: Sample, target: Path, values: bytes | None = None) -> None:
    """Put the mask of ``sample`` under ``target``, as it is where its values are those wanted already.

    ``values`` are 256 bytes, the value to write for each class id; None writes class ids. Raises as ``ids_of``.
    """
    # As it is: a palette of the user's own survives, and a link costs nothing.
    if sample.mask and sample.mask_values is None and values is None:
        place(sample.mask, target)
        return
    ids = ids_of(sample)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(mask_png(ids if values is None else np.frombuffer(values, np.uint8)[ids]))
