"""Files: reading none that would hang, writing so that a reader, or a crash, never sees half of one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from clary.errors import UsageError

__all__ = [
    "append_text",
    "atomic",
    "atomic_folder",
    "no_file",
    "open_file",
    "read_file",
    "write_bytes",
    "write_json",
    "write_text",
]

_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def open_file(path: Path | str, buffering: int = -1) -> BinaryIO:
    """A regular file, open for reading. Raises OSError, for what is none as well: to open a named pipe is to wait for
    its other end, and a device may never come to an end."""
    # Asked first, for opening a device can do something; and again, of what was opened.
    _require_regular(os.stat(path).st_mode, path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)
        return open(descriptor, "rb", buffering)
    except BaseException:
        os.close(descriptor)
        raise


def read_file(path: Path | str) -> bytes:
    """All bytes of a regular file. Raises OSError as ``open_file`` does."""
    with open_file(path, buffering=0) as file:
        return file.read()


def no_file(path: Path | str) -> str:
    """Why there is no regular file under a name, such as ``is a named pipe, no file``; empty where there is one."""
    try:
        _require_regular(os.stat(path).st_mode, path)
    except FileNotFoundError:
        return "is not there"
    except IsADirectoryError:
        return "is a folder, no file"
    except OSError as error:
        return f"is {error.strerror}" if error.errno == errno.EINVAL else f"cannot be read ({error.strerror})"
    except ValueError:  # a null byte in the name
        return "is no name of a file"
    return ""


def _require_regular(mode: int, path: Path | str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"{_KINDS.get(stat.S_IFMT(mode), 'something else')}, no file", str(path))


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under ``path`` whole, or not at all.

    Written under a temporary name beside it, synced, renamed. Raises UsageError when the disk is full or the
    folder cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Beside it: a rename is one step within a file system only.
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            # Before the rename: else a crash can leave the new name on a file whose bytes never reached the disk.
            os.fsync(file.fileno())
        # mkstemp's files are readable by their owner alone; reports and models are for others, too.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under ``path`` with all its files, or not at all: filled beside it, then renamed.

    Raises UsageError when ``path`` exists and is not an empty folder, when the disk is full or may not be written.
    """
    # An empty folder will do, since a rename replaces one (POSIX rename).
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError("is there already and not empty", where=path, hint="choose another folder or remove it")
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.")
        yield Path(temporary)
        # mkdtemp's are 0700.
        os.chmod(temporary, 0o777 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """As UTF-8. A name of a file that is none has half letters in it, which are written as in Python and in JSON."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def append_text(path: Path, text: str) -> None:
    """Add to the end of a file that is read while it grows. Raises UsageError as ``atomic`` does."""
    try:
        # Appended, not replaced: a reader that follows the file keeps its place. A torn last line is the reader's to
        # leave out.
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> UsageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UsageError("the disk is full, nothing was written", where=path, hint="free some space and run it again")
    return UsageError(f"cannot be written ({error.strerror})", where=path, hint="choose a folder you may write to")


def _umask() -> int:
    # There is no call that only asks.
    mask = os.umask(0)
    os.umask(mask)
    return mask
