"""Pictures on their way to a new place: what they are called there, and getting them there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from clary.errors import DataError, ImageError
from clary.vision.base.imaging import SUFFIXES, format_by_magic, upright_size
from clary.vision.base.types import Blob, Sample

__all__ = ["distinct_name", "file_name", "image_size", "place"]


def place(blob: Blob, target: Path) -> None:
    """Put the bytes of ``blob`` under ``target``: a hard link where it is a whole file and that works, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # A part of a file has no name of its own to link to.
    if blob.offset or blob.length is not None:
        try:
            data = blob.read()
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", where=blob) from error
        target.write_bytes(data)
        return
    try:
        # realpath: a hard link to a symbolic link is that link (Linux), and breaks with the folder it points into.
        os.link(os.path.realpath(blob.path), target)
    except OSError:  # another file system, or one without hard links
        _copy(blob.path, target)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        # copyfile reports both ends alike; a target that cannot be written is for who writes the whole data set.
        if error.filename == str(source):
            raise DataError(f"cannot be read ({error.strerror})", where=source) from error
        raise


def distinct_name(wanted: str, taken: set[str]) -> str:
    """``wanted``, or ``wanted-2``, ``-3`` ... before its suffix; the name is added to ``taken``. Case is ignored."""
    stem, suffix = os.path.splitext(wanted)
    names: Iterator[str] = (f"{stem}-{n}{suffix}" if n > 1 else wanted for n in range(1, len(taken) + 2))
    name = next(name for name in names if name.lower() not in taken)
    # macOS and Windows hold `A.jpg` and `a.jpg` for one file.
    taken.add(name.lower())
    return name


def file_name(sample: Sample) -> str:
    """What to call the picture of ``sample`` in a new place: its own name, made fit for lists, where it has one."""
    if sample.image.length is not None:
        return f"{sample.image.offset}{_suffix(sample.image)}"
    # A tab or a line end in a name would be another column or line of a list.
    return "".join(c if c.isprintable() else "_" for c in sample.image.path.name)


def image_size(sample: Sample, data: bytes | None = None) -> tuple[int, int]:
    """Width and height of the upright picture; ``data`` are its bytes. Raises DataError where it cannot be read."""
    try:
        return upright_size(sample.image.read() if data is None else data)
    except ImageError as error:
        raise DataError(error.what, where=sample.image, hint=error.hint) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=sample.image) from error


def _suffix(blob: Blob) -> str:
    """What files that begin like ``blob`` are called. Raises DataError where it cannot be read."""
    try:
        with blob.path.open("rb") as file:
            file.seek(blob.offset)
            head = file.read(12)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=blob.path) from error
    return SUFFIXES[format_by_magic(head) or "JPEG"][0]
