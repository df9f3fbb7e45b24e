"""Programs run with AWS being the gateway of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from clary.client import environment, gateway
from clary.client.gateway import NotRunningError
from clary.control import home
from clary.errors import UsageError

__all__ = ["run"]

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)


FOLLOW = "CLARY_FOLLOW"  # the patch `remarks` says with it that a job has begun


def run(
    command: Sequence[str],
    folder: Path,
    *,
    follow: str = "clary logs {} -f",
    tell: Callable[[str], None] = lambda text: None,
) -> int:
    """Run ``command`` in the environment of the gateway of home ``folder``; its exit code, 128 + n after signal n.

    Where no gateway runs, one is started at a free port for the time of the command, and of others that use it
    meanwhile; ``tell`` hears of it. ``follow`` is the command that shows a job's log, {} in the place of its name: of
    each job that a Python program creates it is said on standard error. Raises UsageError when the command is not to be
    found.
    """
    if not home.held(folder):
        tell("no platform runs; starting one for the time of this command")
    code = None
    try:
        # A free port: the usual one may be another home's.
        with gateway.borrowed(folder, ["--port", "0"]) as server:
            environ = environment.changes(server, os.environ).applied(os.environ) | {FOLLOW: follow}
            code = _run(command, environ)
    except NotRunningError:
        if code is None:
            raise
        tell("the platform was stopped meanwhile")
    return code


def _run(command: Sequence[str], environ: dict[str, str]) -> int:
    with _forwarding() as children:
        try:
            child = subprocess.Popen(command, env=environ)
        except FileNotFoundError as error:
            raise UsageError("there is no such program", where=command[0], hint="check its name and PATH") from error
        except OSError as error:
            raise UsageError(f"cannot be run ({error.strerror})", where=command[0]) from error
        children.append(child)
        code = child.wait()
    # As shells say it: 128 + n of a process that signal n ended.
    return 128 - code if code < 0 else code


@contextmanager
def _forwarding() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Hand signals on to the processes put into the list, which inherit none of the handlers."""
    children: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        if number in (signal.SIGINT, signal.SIGQUIT) and _in_foreground():
            return  # a key was pressed: the terminal has told the child too
        for child in children:
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in _FORWARDED}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    """Whether the keys of a terminal send their signals to this process."""
    try:
        terminal = os.open(os.ctermid(), os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
