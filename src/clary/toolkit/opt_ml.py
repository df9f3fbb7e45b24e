"""/opt/ml where jobs cannot have one each: links in the one that is there, for one job at a time.

Scripts hard-code the path. Where the kernel gives users no mount namespaces (Ubuntu 24.04 as it comes, macOS, most
containers) a job's folders are linked into it while the job runs.
"""

from __future__ import annotations

import fcntl
import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.file_lock import take
from clary.vision.base.files import PRIVATE

__all__ = ["OPT_ML", "can_link", "linked", "permitting_command", "refusal"]

OPT_ML = Path("/opt/ml")
LOCK = ".clary-lock"
# What every script may expect, there or not when it starts.
FOLDERS = ("input", "model", "output", "code", "checkpoints")


def permitting_command() -> str:
    """The one command that lets this user's scripts have an /opt/ml."""
    return f"sudo install -d -o {getpass.getuser()} {OPT_ML}"


def can_link(place: Path = OPT_ML) -> bool:
    """Whether this user may link a job's folders into ``place``, or make it."""
    if place.is_dir():
        return not place.is_symlink() and os.access(place, os.W_OK | os.X_OK)
    return not os.path.lexists(place) and os.access(place.parent, os.W_OK | os.X_OK)


def refusal() -> UsageError:
    """The error for a script that could not have an /opt/ml here."""
    what = "scripts need it, and the kernel gives this user no mount namespace to show each job its own"
    return UsageError(what, where=OPT_ML, hint=f"permit links, for one script at a time: {permitting_command()}")


@contextmanager
def linked(tree: Path, place: Path, say: Callable[[str], object]) -> Iterator[None]:
    """Show the folders of a job's ``tree`` in ``place`` for the block; another job that does so is waited for.

    ``say`` is told that it is waited for. Raises UsageError where something else lies in ``place``, or it cannot be
    written.
    """
    try:
        place.mkdir(exist_ok=True)
        lock = os.open(place / LOCK, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=place, hint=permitting_command()) from error
    try:
        if not take(lock):
            say(f"Waiting for {place}, which the script of another job has")
            fcntl.flock(lock, fcntl.LOCK_EX)
        names = sorted({*FOLDERS, *(path.name for path in tree.iterdir())})
        try:
            for name in names:
                _link(place / name, tree / name)
            yield
        finally:
            for name in names:
                _unlink(place / name, tree)
    finally:
        # With the process that holds it the kernel gives it back, too; links that a killed one left are replaced.
        os.close(lock)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        with suppress(OSError):  # what is in it is somebody's
            link.rmdir()
    try:
        link.symlink_to(target)
    except OSError as error:
        what = "is in the way of a job's own" if os.path.lexists(link) else f"cannot be made ({error.strerror})"
        raise UsageError(what, where=link, hint="move it away") from error


def _unlink(link: Path, tree: Path) -> None:
    with suppress(OSError):
        if Path(os.readlink(link)).parent == tree:
            link.unlink()
