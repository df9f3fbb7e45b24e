"""Pictures on their way to a new place: what they are called there, and getting them there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from clary.errors import DataError, ImageError
from clary.vision.base.decoding import upright_size
from clary.vision.base.files import no_file, open_file
from clary.vision.base.image_formats import SUFFIXES, format_by_magic
from clary.vision.base.types import Blob, Sample
from clary.vision.formats._layout import nfc

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
    # A link to a named pipe would be one as well, and who reads the copy would wait for ever.
    if what := no_file(blob.path):
        raise DataError(what, where=blob, hint="leave it out")
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


def distinct_name(wanted: str, taken: dict[str, int]) -> str:
    """``wanted``, or ``wanted-2``, ``-3`` ... before its suffix. Case and Unicode forms are ignored.

    ``taken`` has the names that are taken, each with the highest number given to another of its kind; it is kept so.
    """
    stem, suffix = os.path.splitext(wanted)
    # From the number given last: a thousand pictures called `image.jpg` must not be a million tries.
    number = taken.get(_key(wanted), 0) + 1
    while _key(name := f"{stem}-{number}{suffix}" if number > 1 else wanted) in taken:
        number += 1
    taken[_key(wanted)] = number
    taken.setdefault(_key(name), 1)
    return name


def _key(name: str) -> str:
    # macOS and Windows hold `A.jpg` and `a.jpg` for one file, macOS an accent composed and decomposed.
    return nfc(name).lower()


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
        with open_file(blob.path) as file:
            file.seek(blob.offset)
            head = file.read(12)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=blob.path) from error
    return SUFFIXES[format_by_magic(head) or "JPEG"][0]
