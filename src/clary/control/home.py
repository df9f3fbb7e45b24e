"""The home folder of a platform: one gateway at a time, where it is reached, and the key that signs its requests."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clary.errors import UsageError
from clary.vision.base.files import write_json

__all__ = ["Server", "credentials", "held", "hold", "read_server", "write_server"]


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
        home.mkdir(parents=True, exist_ok=True)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
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
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def write_server(home: Path, url: str, region: str, version: str) -> None:
    """Tell clients of this machine where the gateway is."""
    server = Server(url=url, pid=os.getpid(), version=version, home=str(home), region=region, started=time.time())
    write_json(home / "server.json", asdict(server))


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
        write_json(path, made)
        # For this user only: the secret lets run programs as this user.
        path.chmod(0o600)
    try:
        held = json.loads(path.read_text())
        return {held["access_key_id"]: held["secret_access_key"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("cannot be read", where=path, hint="remove it; the next start makes another") from error
