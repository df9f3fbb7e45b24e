"""The one process that watches over a running host of a job; it outlives the gateway.

It holds the host's lock, forks the program and what feeds its pipes, writes the program's output to the log line by
line, ends it when it is asked to (SIGTERM), when its time is up or when its data cannot be had, and leaves exit.json.
Should it be killed, the kernel kills the program.

    python -m clary.control.jobs.launchers.local.job_monitor FOLDER        start one; returns when the program runs
"""

from __future__ import annotations

import os
import resource
import selectors
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from clary.control.jobs import capacity
from clary.control.jobs.launch import EXIT_ROOM, MAX_RUNTIME_EXCEEDED, STOPPED, Exit, Launch
from clary.control.jobs.launchers.local import lock, orphans, pipe_writer, program
from clary.control.jobs.launchers.local.pipe_writer import PipeWriter
from clary.control.logs.streams import LogWriter
from clary.errors import CustomerError, UsageError
from clary.toolkit import mounts
from clary.vision.base import tree
from clary.vision.base.descriptors import close_others
from clary.vision.base.file_lock import take
from clary.vision.base.files import PRIVATE, reserve
from clary.vision.base.memory import machine_memory

__all__ = ["run", "start"]

# As much as a pipe holds (pipe(7)).
CHUNK = 1 << 16
LINE_LIMIT = 200_000  # bytes without a line end that make an event of their own
DRAIN_SECONDS = 5.0  # for output that is still in the pipe when the last process is gone
WRITE_SECONDS = 60.0  # to try to write exit.json on a full disk
LOCK_SECONDS = 0.5  # for those who only look whether the lock is held
MOST_OF_MEMORY = 0.6  # of the machine's: more than that, and the kernel looks for somebody to kill
KILLED_BY_SHELL = 128 + signal.SIGKILL  # how a shell reports a command that was killed


def start(folder: Path, reply: int) -> None:
    """Become a monitor in the background: fork twice, so that nobody has to wait for it. Returns in the caller.

    It answers on the file ``reply``, as ``run`` says, and keeps no other of the caller's.
    """
    middle = os.fork()
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        if os.fork() == 0:
            # Out of reach of a terminal's signals; and the session's number marks what it starts (orphans).
            os.setsid()
            _leave_caller(folder, reply)
            run(folder, partial(_answer, reply))
    finally:
        if (error := sys.exception()) is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stderr.flush()
        os._exit(0)


def run(folder: Path, answer: Callable[[str], None] = lambda line: None) -> None:
    """Run the attempt that launch.json of ``folder`` describes, unless it is run or over already.

    ``answer`` is called once: with this process's id when the program runs, with nothing when there is no more to do.
    """
    launch = Launch.read(folder)
    held = lock.open_lock(folder)
    # The lock first: only who holds it writes exit.json, so what is seen then stays true.
    if not take(held, LOCK_SECONDS) or Exit.read(folder, launch.attempt) is not None:
        answer("")
        return
    # Before our own line is in the lock: orphans are known by the session of the monitor before.
    if last := lock.holder(folder):
        orphans.kill_orphans(folder, last, lock.last_started(folder))
    lock.note_holder(held, launch.attempt)
    if sys.platform == "linux":  # daemons of the program come to the monitor, which can then end and count them
        mounts.adopt_orphans()
    with suppress(UsageError):  # the disk is full already
        reserve(folder / EXIT_ROOM)
    log = LogWriter(launch.log)
    _write_exit(_Monitor(launch, log).run(answer), folder)


class _Monitor:
    """One attempt, from the fork of its program to its exit."""

    def __init__(self, launch: Launch, log: LogWriter) -> None:
        self._launch = launch
        self._log = log
        self._rest = b""  # the line that has no end yet
        self._asked_to_stop = False
        self._status: int | None = None
        self._reason = ""
        self._error = ""
        self._pipe_writer: PipeWriter | None = None
        self._killed = False
        self._kill_at = float("inf")

    def run(self, answer: Callable[[str], None]) -> Exit:
        started, kills = time.time(), capacity.oom_kills()
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        # select goes on waiting after a signal (PEP 475); a byte in this pipe is something to read.
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        # To wake: of a signal without a handler no byte is written.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for ignored in (signal.SIGINT, signal.SIGHUP):  # meant for a terminal's programs
            signal.signal(ignored, signal.SIG_IGN)
        # What an attempt before wrote over its inputs: this one starts from them as they are in the bucket.
        shutil.rmtree(self._launch.scratch, ignore_errors=True)
        output, write_end = os.pipe()
        try:
            _refuse_links(self._launch)
            # Before the program, which looks for its first FIFO at once.
            self._pipe_writer = pipe_writer.start(self._launch)
            self._program = program.start(self._launch, write_end)
        except OSError as refused:
            self._log.write(str(refused))
            self._end_pipe_writer()
            return Exit(self._launch.attempt, error=str(refused), started=started, ended=time.time())
        finally:
            # The program has the other copy; while we had one, too, its output would never end.
            os.close(write_end)
            answer(str(os.getpid()))
        self._until_over(output, woken)
        self._clean_up(output)
        return self._exit(started, capacity.oom_kills() > kills)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _until_over(self, output: int, woken: int) -> None:
        os.set_blocking(output, False)
        out_of_time = time.monotonic() + self._launch.max_run
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            if self._pipe_writer is not None:
                selector.register(self._pipe_writer.report, selectors.EVENT_READ)
            while self._status is None:
                limit = out_of_time if not self._reason else self._kill_at
                # An hour at most: the limit may be infinite, or 28 days, whose milliseconds are beyond epoll's int.
                ready = selector.select(max(0.0, min(limit - time.monotonic(), 3600.0)))
                for key, _ in ready:
                    if key.fd == woken:
                        os.read(woken, CHUNK)
                    elif self._pipe_writer is not None and key.fd == self._pipe_writer.report:
                        selector.unregister(self._pipe_writer.report)
                        self._fail(self._pipe_writer.reason())
                    elif not self._pump(output):  # the program closed its output and runs on
                        selector.unregister(output)
                self._enforce(out_of_time)
                self._reap()

    def _enforce(self, out_of_time: float) -> None:
        now = time.monotonic()
        # The first reason stands: a stop during the grace of the time limit gives no second grace.
        if not self._reason and (self._asked_to_stop or now >= out_of_time):
            self._reason = STOPPED if self._asked_to_stop else MAX_RUNTIME_EXCEEDED
            self._kill_at = now + self._launch.grace
            self._send(signal.SIGTERM)
        elif now >= self._kill_at:
            self._kill_at, self._killed = float("inf"), True
            self._send(signal.SIGKILL)

    def _fail(self, reason: str) -> None:
        """Kill a program that cannot have its data: it may wait for them for ever. One that is ending may go on."""
        if not self._reason:
            self._error, self._killed = reason, True
            self._send(signal.SIGKILL)

    def _end_pipe_writer(self) -> None:
        if self._pipe_writer is not None:
            self._pipe_writer.end()
            orphans.kill_children()

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._program, number)

    def _reap(self) -> None:
        """Take note of the program's end, and of orphans that came to this process."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._program:
                    self._status = found[1]

    def _clean_up(self, output: int) -> None:
        """Kill what the program left running, then write what it printed last, and why it had to end."""
        # The whole group, at the end of its leader: what it left in the background would keep output and inputs.
        self._send(signal.SIGKILL)
        self._end_pipe_writer()
        orphans.kill_children()
        deadline = time.monotonic() + DRAIN_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())) and self._pump(output):
                pass
        self._write([line for line in (self._rest, self._error.encode()) if line])

    def _pump(self, output: int) -> bool:
        """Move what is in the pipe to the log. False at its end."""
        try:
            data = os.read(output, CHUNK)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT:
            lines, self._rest = [*lines, self._rest], b""
        if lines:
            self._write(lines)
        return bool(data)

    def _write(self, lines: list[bytes]) -> None:
        with suppress(OSError):  # the disk is full: the program must not wait for room that may never come
            self._log.write(*(line.decode(errors="replace").rstrip("\r") for line in lines))

    def _exit(self, started: float, kernel_killed: bool) -> Exit:
        code = os.waitstatus_to_exitcode(self._status or 0)
        # The kernel's counters are the machine's: somebody else's program may have been killed. Ours was when it ended
        # by a SIGKILL, or by a shell's word for one, that nobody here sent.
        killed = code in (-signal.SIGKILL, KILLED_BY_SHELL) and not self._killed
        # Linux counts it in KiB (getrusage(2)).
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        # Kernels in containers do not always count; who had most of the memory when it was killed was killed for it.
        grown = peak > MOST_OF_MEMORY * machine_memory() > 0
        return Exit(
            attempt=self._launch.attempt,
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            reason=self._reason,
            error=self._error,
            out_of_memory=killed and (kernel_killed or grown),
            started=started,
            ended=time.time(),
            peak_memory=peak,
        )


def _refuse_links(launch: Launch) -> None:
    """Raises OSError where an attempt before has put a link in the place of a folder that we and our algorithms write
    to: everything would be written wherever it leads."""
    for name in ("input/config", "input/data", "model", "output/data", "checkpoints"):
        try:
            with suppress(FileNotFoundError), tree.opened(launch.opt_ml, *name.split("/"), shown=Path("/opt/ml")):
                pass
        except CustomerError as error:
            raise OSError(f"AlgorithmError: {error}") from error


def _write_exit(exit: Exit, folder: Path) -> None:
    """Write exit.json. On a full disk what the job wrote over its inputs makes room, and somebody may make more."""
    deadline = time.monotonic() + WRITE_SECONDS
    while True:
        try:
            exit.write(folder)
            return
        except UsageError:
            if time.monotonic() > deadline:
                raise
            # The only thing here that nobody will ask for.
            shutil.rmtree(folder / "scratch", ignore_errors=True)
            time.sleep(1)


def _leave_caller(folder: Path, reply: int) -> None:
    """A monitor outlives whoever started it, so it must not hold their terminal, pipes or sockets."""
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(folder / "monitor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    for number, file in enumerate((null, null, log)):
        os.dup2(file, number)
    close_others({reply})


def _answer(reply: int, line: str) -> None:
    with suppress(OSError):  # nobody waits any more
        os.write(reply, f"{line}\n".encode())
    os.close(reply)


if __name__ == "__main__":
    start(Path(sys.argv[1]), os.dup(1))
