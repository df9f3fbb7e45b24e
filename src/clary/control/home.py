"""The home folder of a platform: one gateway at a time, where it is reached, and the key that signs its requests.

All of it is this user's alone from the moment it is made: objects, logs and models are somebody's work, and the keys
let whoever reads them run programs as this user.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.file_lock import is_free
from clary.vision.base.files import PRIVATE, PRIVATE_FOLDER, private_folder, write_json

__all__ = ["FOLDERS", "Server", "credentials", "held", "hold", "make_private", "read_server", "write_server"]

FOLDERS = ("s3", "jobs", "endpoints", "logs", "run")  # of every home; settings.py says what is in them
_FILES = ("lock", "server.json", "credentials.json", "clary.db", "clary.db-wal", "clary.db-shm", "trials.json")


@dataclass(frozen=True, slots=True)
class Server:
    """The running gateway, as HOME/server.json tells it. ``started`` in epoch seconds."""

    url: str
    pid: int
    version: str
    home: str
    region: str
    started: float


@contextmanager
def hold(home: Path) -> Iterator[None]:
    """Keep the home for this process. Raises UsageError when another gateway has it, or it cannot be written."""
    try:
        make_private(home)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise UsageError(f"cannot be used ({error.strerror})", where=home, hint="choose another with --home") from error
    try:
        _lock(lock, home)
        yield
        # While the lock is held: later it might be the next gateway's. The lock's own file stays, since a lock on a
        # file that was removed and one on its successor could be held both.
        (home / "server.json").unlink(missing_ok=True)
    finally:
        # Which gives the lock back; the kernel does so for a killed gateway too.
        os.close(lock)


def make_private(home: Path) -> None:
    """Make the home and its folders, or take those of before for this user alone. Raises OSError.

    A folder that was there and is no home (``--home .``, ``--home /tmp``) keeps its rights: it is for other things
    too, and what is private lies in our folders in it.
    """
    was_there = home.is_dir()
    private_folder(home)
    # Every version has made these two first.
    if was_there and (home / "lock").is_file() and (home / "run").is_dir():
        _tighten(home.resolve(), PRIVATE_FOLDER)
    for name in FOLDERS:
        private_folder(home / name)
        _tighten(home / name, PRIVATE_FOLDER)
    for name in _FILES:
        if (home / name).is_file():
            _tighten(home / name, PRIVATE)


def _tighten(path: Path, mode: int) -> None:
    # Only what others may do is taken away: whoever made something read-only meant it. What is a link's (s3 on another
    # disk, say) or another user's stays as its owner made it.
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return
    if found.st_mode & ~mode & 0o077 and found.st_uid == os.geteuid():
        path.chmod(stat.S_IMODE(found.st_mode) & (mode | 0o7000))


def _lock(lock: int, home: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode().strip()
        raise UsageError(
            f"another gateway (process {holder}) uses this home",
            where=home,
            hint="stop it with `clary down`, or choose another with --home",
        ) from None
    # Only now: until the lock is ours the file tells another's number.
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)


def held(home: Path) -> bool:
    """Whether a gateway uses the home now."""
    try:
        lock = os.open(home / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        return not is_free(lock)
    finally:
        os.close(lock)


def write_server(home: Path, url: str, region: str, version: str) -> None:
    """Tell clients of this machine where the gateway is."""
    server = Server(url=url, pid=os.getpid(), version=version, home=str(home), region=region, started=time.time())
    write_json(home / "server.json", asdict(server), PRIVATE)


def read_server(home: Path) -> Server | None:
    """The gateway that runs on this home, or None."""
    try:
        server = Server(**json.loads((home / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    # The file of a killed gateway stays; its lock does not.
    return server if held(home) else None


def credentials(home: Path) -> dict[str, str]:
    """Access keys and their secrets: those of HOME/credentials.json, made the first time."""
    path = home / "credentials.json"
    if not path.exists():
        made = {"access_key_id": f"CLARY{secrets.token_hex(8).upper()}", "secret_access_key": secrets.token_urlsafe(30)}
        write_json(path, made, PRIVATE)
    try:
        held = json.loads(path.read_text())
        return {held["access_key_id"]: held["secret_access_key"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("cannot be read", where=path, hint="remove it; the next start makes another") from error
