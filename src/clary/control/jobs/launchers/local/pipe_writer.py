"""The process that feeds a job's pipes while its program runs.

    /opt/ml/input/data/<channel>_0      a FIFO, there before the program starts; _1 is there once _0 was opened, ...

A thread for each channel waits for the FIFO of an epoch to be opened, sends all of the epoch, closes it and goes on to
the next, without end. Readers may stop early and leave any epoch unread: whoever waits for them is ended with the
program. Should something not be had, its FIFO stays open, so that the program cannot take the part it got for the
whole, and the monitor is told.

It is forked by the monitor, which it does not outlive, and sees nothing of the job's namespace.
Source: SageMaker developer guide, "How SageMaker provides training information" (Pipe mode).
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NoReturn

from clary.control.jobs import reasons
from clary.control.jobs.launch import Launch
from clary.control.jobs.launchers.local import forked
from clary.control.jobs.pipe_plan import PipePlan, Sender
from clary.control.objects.base import ObjectStore
from clary.control.objects.local import LocalStore
from clary.control.objects.remote import RemoteStore
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.errors import ClaryError

__all__ = ["PipeWriter", "start"]

LOST = "InternalServerError: the process that feeds the pipes has ended"
_HANDLED = (signal.SIGTERM, signal.SIGCHLD)


class PipeWriter:
    """The monitor's side: ``report`` can be read once something is wrong."""

    def __init__(self, process: int, report: int, hold: int) -> None:
        self.process = process
        self.report = report
        self._hold = hold

    def reason(self) -> str:
        """Why the program cannot have its data, as a FailureReason. To be called when ``report`` can be read."""
        return os.read(self.report, 1 << 16).decode(errors="replace").strip() or LOST

    def end(self) -> None:
        """Let the process end; its status is to be collected."""
        os.close(self._hold)
        os.close(self.report)


def start(launch: Launch) -> PipeWriter | None:
    """Make the first FIFOs of a launch and fork the process that feeds them; None where it has no channel in Pipe mode.

    The caller must have one thread only. Raises OSError when a FIFO cannot be made.
    """
    if not launch.pipes:
        return None
    for plan in launch.pipes:
        make_first(launch.data, plan.channel)
    read_end, report = os.pipe()
    # Nothing is ever written here: however the monitor ends, the other end can be read then.
    held, hold = os.pipe()
    sys.stderr.flush()
    monitor = os.getpid()
    process = os.fork()
    if process == 0:
        _become(launch, report, held, monitor)
    os.close(report)
    os.close(held)
    return PipeWriter(process, read_end, hold)


def fifo(data: Path, channel: str, epoch: int) -> Path:
    """The FIFO of an epoch, there or not. ``data`` is the folder input/data."""
    return data / f"{channel}_{epoch}"


def make_first(data: Path, channel: str) -> None:
    """Make the FIFO of epoch 0; those an earlier attempt left go. Raises OSError where something else lies."""
    data.mkdir(parents=True, exist_ok=True)
    for path in data.glob(f"{channel}_*"):
        # Only FIFOs: what else lies under such a name is somebody's file.
        if path.name[len(channel) + 1 :].isdecimal() and stat.S_ISFIFO(path.lstat().st_mode):
            path.unlink()
    path = fifo(data, channel, 0)
    try:
        os.mkfifo(path)
    except OSError as error:
        raise OSError(f"the pipe {path.name} cannot be made: {error.strerror}") from error


def _serve(plan: PipePlan, data: Path, objects: ObjectStore, report: int) -> None:
    """Feed one channel, epoch after epoch. Returns only when something is wrong, which it wrote to the file ``report``:
    a reason as ``reasons.of_error`` words it, and a line end."""
    pipe: int | None = None
    try:
        sender = Sender(plan, objects)
        for epoch in count():
            # Waits for a reader, without limit. O_NOFOLLOW: the program may put a link in the place of a FIFO.
            pipe = os.open(fifo(data, plan.channel, epoch), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            # Before the epoch is sent: a reader tries for the next as soon as it has seen the end of this one.
            with suppress(FileExistsError):
                os.mkfifo(fifo(data, plan.channel, epoch + 1))
            _send(sender, epoch, pipe)
            os.close(pipe)
            fifo(data, plan.channel, epoch).unlink(missing_ok=True)
    except (ClaryError, OSError) as error:  # the open pipe is left to the end of the process
        os.write(report, f"{reasons.of_error(error)}\n".encode())


def _send(sender: Sender, epoch: int, pipe: int) -> None:
    """Write an epoch; a reader that goes away has had enough."""
    for piece in sender.epoch(epoch):
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(pipe, rest) :]
            # A signal for most programs; Python ignores SIGPIPE, so that it comes as an error.
            except BrokenPipeError:
                return


def _become(launch: Launch, report: int, held: int, monitor: int) -> NoReturn:
    try:
        forked.detach(monitor, (report, held), _HANDLED)
        objects = _store(launch)
        for plan in launch.pipes:
            # Only after the fork, which would copy no thread but the one that calls it.
            threading.Thread(target=_serve_or_end, args=(plan, launch.data, objects, report), daemon=True).start()
        os.read(held, 1)  # until the monitor lets go of the other end, or dies
    finally:
        _end()


def _serve_or_end(pipe: PipePlan, data: Path, objects: ObjectStore, report: int) -> None:
    """A fault of ours ends the process, which the monitor notices: nobody would ever come to the FIFO."""
    try:
        _serve(pipe, data, objects, report)
    finally:
        if sys.exception() is not None:
            _end()


def _end() -> NoReturn:
    if (error := sys.exception()) is not None:
        sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.flush()
    os._exit(0)


def _store(launch: Launch) -> ObjectStore:
    """The gateway's, whose environment this process has: the keys stand there."""
    if launch.s3_endpoint:
        return RemoteStore(RemoteEndpoint.from_environment(launch.s3_endpoint, launch.region))
    return LocalStore(launch.s3_root)
