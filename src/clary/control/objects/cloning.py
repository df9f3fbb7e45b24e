"""Copies of files that share their blocks where the disk can do that."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

__all__ = ["append", "clone", "clone_open"]

# From <linux/fs.h>; Python has no name for it. Works on Btrfs, XFS and bcachefs.
_FICLONE = 0x40049409
# Old kernels and file systems refuse in many ways what only they cannot do; then bytes are copied.
_REFUSED = (errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.EPERM)


def clone(source: Path, target: Path) -> None:
    """Write ``target`` with the content of ``source``: shared blocks (reflink), else a copy inside the kernel."""
    with source.open("rb") as reader:
        clone_open(reader.fileno(), target)


def clone_open(source: int, target: Path) -> None:
    """As ``clone``, of an open file, whatever its name stands for by now."""
    with target.open("wb") as writer:
        if not _reflink(source, writer.fileno()):
            append(source, writer.fileno(), os.fstat(source).st_size)


def append(source: int, target: int, size: int, offset: int = 0) -> None:
    """Copy ``size`` bytes from ``offset`` of the open file ``source`` to the position of ``target``."""
    left = size
    if sys.platform == "linux":
        try:
            while left and (done := os.copy_file_range(source, target, left, offset_src=offset)):
                left -= done
                offset += done
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
    if left:
        os.lseek(source, offset, os.SEEK_SET)
        _copy(source, target, left)


def _copy(source: int, target: int, left: int) -> None:
    with os.fdopen(os.dup(source), "rb") as reader, os.fdopen(os.dup(target), "wb") as writer:
        while left and (data := reader.read(min(left, shutil.COPY_BUFSIZE))):  # type: ignore[attr-defined]
            writer.write(data)
            left -= len(data)


def _reflink(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True
