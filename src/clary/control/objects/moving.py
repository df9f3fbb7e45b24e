"""Files brought to their place in one step: links, renames, also from one disk to another."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from pathlib import Path

from clary.control.objects.cloning import clone

__all__ = ["TEMPORARY", "link_or_clone", "rename", "sync", "temporary_beside"]

TEMPORARY = b".clary-part-"  # what the names of files on their way begin with

_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)


def temporary_beside(path: Path) -> Path:
    """A new name in the folder of ``path``, for a file on its way there."""
    return path.with_name(f"{TEMPORARY.decode()}{uuid.uuid4().hex}")


def rename(staged: Path, target: Path, *, new: bool = False) -> None:
    """As os.replace, to other disks too; with ``new`` FileExistsError where ``target`` is there."""
    try:
        if new:
            # rename(2) replaces what is there; link(2) fails, so that the question and the act are one.
            os.link(staged, target)
            staged.unlink()
        else:
            os.replace(staged, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _move_across(staged, target, new=new)


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


def _move_across(staged: Path, target: Path, *, new: bool) -> None:
    """To another disk: copied beside the target under a hidden name, then renamed."""
    near = temporary_beside(target)
    try:
        # Beside the target, because only a rename within one file system is atomic.
        shutil.copy2(staged, near)  # with its extended attributes
        rename(near, target, new=new)
    finally:
        near.unlink(missing_ok=True)
    staged.unlink()
