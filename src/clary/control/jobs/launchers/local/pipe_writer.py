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
from clary.errors import ClaryError, CustomerError
from clary.vision.base import tree

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
    # By descriptor from here on: the program may put a link in the place of the folder.
    data = _open_data(launch)
    for plan in launch.pipes:
        make_first(data, plan.channel)
    read_end, report = os.pipe()
    # Nothing is ever written here: however the monitor ends, the other end can be read then.
    held, hold = os.pipe()
    sys.stderr.flush()
    monitor = os.getpid()
    process = os.fork()
    if process == 0:
        _become(launch, data, report, held, monitor)
    for descriptor in (data, report, held):
        os.close(descriptor)
    return PipeWriter(process, read_end, hold)


def fifo(channel: str, epoch: int) -> str:
    """The name of an epoch's FIFO in the folder input/data."""
    return f"{channel}_{epoch}"


def make_first(data: int, channel: str) -> None:
    """Make the FIFO of epoch 0; those an earlier attempt left go. ``data`` is the open folder input/data.

    Raises OSError where something else lies.
    """
    for name in os.listdir(data):
        head, _, epoch = name.rpartition("_")
        # Only FIFOs: what else lies under such a name is somebody's file.
        if head == channel and epoch.isdecimal() and stat.S_ISFIFO(_status(name, data).st_mode):
            os.unlink(name, dir_fd=data)
    name = fifo(channel, 0)
    try:
        os.mkfifo(name, dir_fd=data)
    except OSError as error:
        raise OSError(f"the pipe {name} cannot be made: {error.strerror}") from error


def _open_data(launch: Launch) -> int:
    """The folder input/data. Raises OSError where it cannot be had or is a link."""
    launch.data.mkdir(parents=True, exist_ok=True)
    try:
        with tree.opened(launch.opt_ml, "input", "data", shown=Path("/opt/ml")) as found:
            return os.dup(found.descriptor)
    except CustomerError as error:
        raise OSError(f"AlgorithmError: {error}") from error


def _status(name: str, folder: int) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _serve(plan: PipePlan, data: int, objects: ObjectStore, report: int) -> None:
    """Feed one channel, epoch after epoch. Returns only when something is wrong, which it wrote to the file ``report``:
    a reason as ``reasons.of_error`` words it, and a line end."""
    pipe: int | None = None
    try:
        sender = Sender(plan, objects)
        for epoch in count():
            # Waits for a reader, without limit. O_NOFOLLOW: the program may put a link in the place of a FIFO.
            pipe = os.open(fifo(plan.channel, epoch), os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=data)
            # Before the epoch is sent: a reader tries for the next as soon as it has seen the end of this one.
            with suppress(FileExistsError):
                os.mkfifo(fifo(plan.channel, epoch + 1), dir_fd=data)
            _send(sender, epoch, pipe)
            os.close(pipe)
            with suppress(FileNotFoundError):
                os.unlink(fifo(plan.channel, epoch), dir_fd=data)
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


def _become(launch: Launch, data: int, report: int, held: int, monitor: int) -> NoReturn:
    try:
        forked.detach(monitor, (data, report, held), _HANDLED)
        objects = _store(launch)
        for plan in launch.pipes:
            # Only after the fork, which would copy no thread but the one that calls it.
            threading.Thread(target=_serve_or_end, args=(plan, data, objects, report), daemon=True).start()
        os.read(held, 1)  # until the monitor lets go of the other end, or dies
    finally:
        _end()


def _serve_or_end(pipe: PipePlan, data: int, objects: ObjectStore, report: int) -> None:
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
    return LocalStore(launch.s3_root, {name: Path(folder) for name, folder in launch.s3_buckets.items()})
