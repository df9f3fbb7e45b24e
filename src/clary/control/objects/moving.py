"""Files brought to their place in one step: links, renames, also from one disk to another."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from clary.control.objects.cloning import clone

__all__ = ["TEMPORARY", "link_or_clone", "place", "sync", "temporary_beside"]

TEMPORARY = b".clary-part-"  # what the names of files on their way begin with

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)


def temporary_beside(path: Path) -> Path:
    """A new name in the folder of ``path``, for a file on its way there."""
    return path.with_name(f"{TEMPORARY.decode()}{uuid.uuid4().hex}")


def place(staged: Path, target: Path, *, new: bool = False) -> None:
    """As os.replace; with ``new`` FileExistsError where ``target`` is there. Raises OSError (EXDEV: another disk)."""
    if new:
        # rename(2) replaces what is there; link(2) fails, so that the question and the act are one.
        os.link(staged, target)
        staged.unlink()
    else:
        os.replace(staged, target)


def link_or_clone(source: Path, path: Path) -> None:
    """``path`` as a hard link, or as a copy where there can be no link."""
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        clone(source, path)


def sync(path: Path) -> None:
    """Wait until the file is on the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
