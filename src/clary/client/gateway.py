"""The gateway as other processes of this machine see it: find it, start it in the background, stop it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clary.control import home
from clary.control.home import Server
from clary.errors import ClaryError, UsageError
from clary.vision.base import processes
from clary.vision.base.file_lock import share, take, writer
from clary.vision.base.files import PRIVATE, disk_is_full

__all__ = [
    "NotRunningError",
    "borrowed",
    "health",
    "log_file",
    "present",
    "running",
    "running_or_started",
    "start",
    "stop",
]

# A name that no bucket may have (decisions/0004): the same port answers S3.
HEALTH = "/clary/health"
STARTUP = 60.0  # seconds a gateway has to come up; it takes about one
SHUTDOWN = 60.0  # seconds it has to stop: requests on their way may take half of them
_TURN = 0.05


class NotRunningError(UsageError):
    """No gateway runs on a home, or the one that should does not answer."""


def running(folder: Path) -> Server:
    """The gateway that uses the home ``folder``. Raises NotRunningError when there is none."""
    server = home.read_server(folder)
    # server.json of a gateway that was killed lies there until the next one has written its own.
    if server is not None and _holder(folder) == server.pid:
        return server
    if home.held(folder):
        raise NotRunningError("the platform is starting or stopping", where=folder, hint="try again in a moment")
    raise NotRunningError("no platform runs on this home", where=folder, hint="start it with `clary up`")


def present(folder: Path, *, timeout: float = STARTUP) -> Server | None:
    """The gateway that uses the home ``folder``; None where the home is free.

    One that is just starting is waited for. Raises NotRunningError where it has not come up within ``timeout`` seconds,
    or does not answer.
    """
    found: list[Server] = []

    def settled() -> bool:
        with suppress(NotRunningError):
            found.append(running(folder))
        return bool(found) or not home.held(folder)

    if not _until(settled, time.monotonic() + timeout):
        raise NotRunningError("another gateway is starting or stopping", where=folder, hint="try again in a moment")
    if not found:
        return None
    try:
        health(found[0])
    except NotRunningError as error:
        what = f"another gateway (process {found[0].pid}) uses this home and does not answer"
        hint = "stop it with `clary down`, or choose another with --home"
        raise NotRunningError(what, where=folder, hint=hint) from error
    return found[0]


def health(server: Server, timeout: float = 5.0) -> dict[str, Any]:
    """What the gateway says of itself. Raises NotRunningError when it does not answer within ``timeout`` seconds."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=timeout)
    try:
        connection.request("GET", HEALTH)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise unreachable(server, str(error)) from error
    finally:
        connection.close()
    if response.status != 200:
        raise unreachable(server, f"HTTP {response.status}")
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def unreachable(server: Server, why: str) -> NotRunningError:
    """The error for a gateway that should be there and is not."""
    hint = "start it again with `clary up`"
    return NotRunningError(f"the platform does not answer ({why})", where=server.url, hint=hint)


def start(folder: Path, options: Sequence[str] = (), *, timeout: float = STARTUP) -> Server:
    """Start a gateway in the background, in a session of its own, and wait until it answers.

    ``options`` are those of `clary up`; what it prints is appended to HOME/run/gateway.log. Raises UsageError with the
    gateway's own words when it does not come up within ``timeout`` seconds.
    """
    # Appended: of two that start at once, and of one that was killed, the words stay.
    with os.fdopen(_open(folder, log_file(folder), os.O_WRONLY | os.O_APPEND), "wb") as output:
        begin = os.fstat(output.fileno()).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "clary", "up", "--home", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Of its own, so that closing the terminal or Ctrl-C in it does not end the platform.
            start_new_session=True,
        )
    try:
        server = _started(folder, process, time.monotonic() + timeout, begin)
    except BaseException:
        # Ctrl-C while we wait: the session of its own keeps the key from reaching it.
        process.terminate()
        process.wait()
        raise
    process.returncode = 0  # it lives on; Popen would warn that nobody waits for it
    return server


def running_or_started(folder: Path, options: Sequence[str] = ()) -> tuple[Server, bool]:
    """The gateway that uses the home, and whether it was started now, with ``options``; raises as ``start`` does."""
    if (server := present(folder)) is not None:
        return server, False
    try:
        return start(folder, options), True
    except UsageError:
        # Of two that begin at once one gets the home, and the other has what it wanted.
        if server := present(folder):
            return server, False
        raise


@contextmanager
def borrowed(folder: Path, options: Sequence[str] = ()) -> Iterator[Server]:
    """The gateway that uses the home. Where none runs one is started, with ``options``, for as long as anybody borrows
    it: the last who gives it back stops it. Raises as ``start`` does, and NotRunningError at the end where somebody
    else has stopped it."""
    lock = _open(folder, folder / "run" / "borrowed", os.O_RDWR)
    try:
        # Waits while the last of others stops theirs.
        share(lock)
        server, started = running_or_started(folder, options)
        if started:
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(server.pid).encode(), 0)
        try:
            yield server
        finally:
            # Not to be had while others borrow; the attempt gives our own share back (flock(2)).
            to_be_stopped = take(lock) and os.pread(lock, 32, 0) == str(server.pid).encode()
            if to_be_stopped and running(folder).pid == server.pid:
                stop(folder)
    finally:
        os.close(lock)


def stop(folder: Path, *, timeout: float = SHUTDOWN) -> int:
    """Ask the gateway of a home to stop and wait until it has; its process id. Jobs go on.

    Raises NotRunningError when there is none, ClaryError when it has not stopped after ``timeout`` seconds.
    """
    holder = _holder(folder) if home.held(folder) else 0
    if not holder:
        running(folder)
        raise NotRunningError("the platform is starting", where=folder, hint="try again in a moment")
    try:
        if not processes.send(holder, signal.SIGTERM, lambda: home.held(folder) and _holder(folder) == holder):
            return holder
    except PermissionError as error:
        raise UsageError("the platform belongs to another user", where=f"process {holder}") from error
    # The lock, not the process id: ids come again, and a lock goes with the process that holds it.
    if not _until(lambda: not home.held(folder), time.monotonic() + timeout):
        hint = f"`kill -9 {holder}` ends it; jobs go on"
        raise ClaryError(f"the platform has not stopped after {timeout:.0f} s", where=f"process {holder}", hint=hint)
    return holder


def log_file(folder: Path) -> Path:
    """Where a gateway in the background writes."""
    return folder / "run" / "gateway.log"


def _open(folder: Path, path: Path, flags: int) -> int:
    """A file of the home, open, made where it is missing. Raises UsageError."""
    try:
        home.make_private(folder)
        return os.open(path, flags | os.O_CREAT, PRIVATE)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror})", where=path, hint="choose another --home") from error


def _started(folder: Path, process: subprocess.Popen[bytes], deadline: float, begin: int) -> Server:
    """``begin`` is where in the log the words of this gateway begin, in bytes."""
    found: list[Server] = []

    def answers() -> bool:
        server = home.read_server(folder)
        if server is not None and server.pid == process.pid:
            try:
                health(server, timeout=max(deadline - time.monotonic(), _TURN))
            except NotRunningError:
                return False
            found.append(server)
        return bool(found)

    _until(lambda: answers() or process.poll() is not None, deadline)
    if found:
        return found[0]
    # What it said itself is better than that it did not come up.
    words = _last_line(log_file(folder), begin)
    if process.poll() is None:
        raise UsageError("the platform did not come up in time", where=log_file(folder), hint=words)
    if not words and disk_is_full(folder):  # not even its own words could be written
        what, hint = "the platform ended at once: the disk is full", "free some space and start it again"
        raise UsageError(what, where=folder, hint=hint)
    raise UsageError(words.removeprefix("clary: ") or f"the platform ended at once (exit code {process.returncode})")


def _last_line(log: Path, begin: int) -> str:
    """The last error of the command line's, else the last line: another gateway may be writing there, too."""
    text = log.read_bytes()[begin:].decode(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("clary: ")]
    return (errors or lines or [""])[-1]


def _holder(folder: Path) -> int:
    """The process that holds the lock of the home; 0 when none does, or while it says who it is."""
    # The kernel's word where it tells: the number in the file may be old, or edited.
    if (found := writer(folder / "lock")) is not None:
        return found
    try:
        return int((folder / "lock").read_text())
    except (OSError, ValueError):
        return 0


def _until(condition: Callable[[], bool], deadline: float) -> bool:
    """Whether ``condition`` came true before ``deadline`` (of time.monotonic)."""
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_TURN)
    return True
