"""The process that becomes a job's program: forked by the monitor, given a clean state and the job's view."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

from clary.control.jobs.environment import platform_variables, program_variables
from clary.control.jobs.launch import Algorithm, Command, Launch, Program, Script
from clary.control.jobs.launchers.local import forked, namespace
from clary.control.jobs.launchers.local.orphans import MARK, OOM_SCORE
from clary.errors import UsageError
from clary.vision.base.cores import cores

__all__ = ["start"]

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGQUIT)


def start(launch: Launch, output: int) -> int:
    """Fork the program with standard output and error into ``output``. Returns its process id, also its group's.

    Raises OSError, saying what cannot be done, when the program or its view of the files cannot be set up.
    """
    # Both are closed by exec (PEP 446).
    read_end, write_end = os.pipe()
    # What lies in buffers when a process forks is written by both.
    sys.stdout.flush()
    sys.stderr.flush()
    monitor = os.getpid()
    child = os.fork()
    if child == 0:
        _become(launch, output, write_end, monitor)
    os.close(write_end)
    with os.fdopen(read_end) as report:
        # Ends without a word once exec, or the algorithm's start, has closed the other end: the program runs.
        refused = report.read()
    if refused:
        os.waitpid(child, 0)
        raise OSError(refused)
    return child


def _become(launch: Launch, output: int, report: int, monitor: int) -> NoReturn:
    code = 1
    try:
        _leave_monitor(output, report, monitor)
        _set_up(launch)
        argv = _argv(launch.program)
        if argv:
            # Ignored by Python, and exec would pass that on.
            for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(ignored, signal.SIG_DFL)
            os.execvpe(argv[0], argv, _variables(launch))
        os.close(report)
        report = -1  # its number may be another file's soon
        code = _run_here(launch.program)
    except (OSError, UsageError) as refused:  # UsageError: a file of the view that cannot be written
        if report < 0:
            raise
        os.write(report, _explain(launch, refused).encode())
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    finally:
        if (error := sys.exception()) is not None:
            sys.excepthook(type(error), error, error.__traceback__)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what the monitor would do at its end (atexit, buffers) was copied by the fork, too.
        os._exit(code)


def _leave_monitor(output: int, report: int, monitor: int) -> None:
    """Own process group, no open file but the standard three, no signal handler of the monitor's."""
    # A signal to the group reaches whatever the program starts, and not the monitor.
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    forked.detach(monitor, (report,), HANDLED)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _set_up(launch: Launch) -> None:
    with suppress(OSError):  # only on Linux
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    # Before the change of folder: /opt/ml is there only in the job's own view.
    if launch.namespace:
        namespace.enter(launch)
    os.environ.clear()
    # A command sees the request's variables from its exec on: until then this is a process of ours.
    ours = platform_variables(launch) if isinstance(launch.program, Command) else _variables(launch)
    os.environ.update(ours)
    # The C library reads TZ once; this process was forked from one with another environment.
    time.tzset()
    os.chdir(_folder(launch))


def _variables(launch: Launch) -> dict[str, str]:
    # MARK goes over everything: it is how a process that made a session of its own is found again (orphans).
    return program_variables(launch) | {MARK: str(launch.folder)}


def _folder(launch: Launch) -> Path:
    """Where the program starts. Without a namespace /opt/ml is the folder that stands for it."""
    wanted = Path(launch.cwd) if launch.cwd else namespace.OPT_ML
    if not launch.namespace and wanted.is_relative_to(namespace.OPT_ML):
        return launch.opt_ml / wanted.relative_to(namespace.OPT_ML)
    return wanted


def _argv(program: Program) -> tuple[str, ...]:
    """The command to execute; none for what is run in this process."""
    match program:
        case Command(argv):
            return argv
        # -P: what lies in the folder it starts in is the script's to import, not ours.
        case Script(plan, module) if "torch" not in sys.modules:
            return (sys.executable, "-P", "-m", module, plan)
    return ()


def _run_here(program: Program) -> int:
    sys.stdout, sys.stderr = _stream(1), _stream(2)
    if isinstance(program, Script):
        # What was inherited the toolkit sees to, in the process that becomes the script.
        return int(importlib.import_module(program.module).main([program.plan]))
    assert isinstance(program, Algorithm)
    return _run_algorithm(program)


def _run_algorithm(algorithm: Algorithm) -> int:
    """Run a built-in algorithm as `python -m clary.vision.algorithms.run NAME` would; returns its exit code."""
    sys.argv = ["clary.vision.algorithms.run", algorithm.name]
    _forget_what_was_inherited()
    run = importlib.import_module("clary.vision.algorithms.run")
    return int(run.main([algorithm.name]))


def _stream(descriptor: int) -> TextIO:
    """A new stream: the caller's may have been a file, and cannot be told that a pipe took its place."""
    return os.fdopen(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)


def _forget_what_was_inherited() -> None:
    """A process forked from one that has the libraries loaded shares its random state and its thread count."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:  # the forkserver holds it at one thread, see there
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        sys.modules["torch"].set_num_threads(int(wanted) if wanted.isdigit() and int(wanted) else cores())


def _explain(launch: Launch, refused: OSError | UsageError) -> str:
    if isinstance(refused, UsageError):
        return f"the view of /opt/ml cannot be made: {refused}"
    argv = launch.program.argv if isinstance(launch.program, Command) else ()
    if argv and os.fsdecode(refused.filename or "").endswith(argv[0]):
        return f"ClientError: the program `{argv[0]}` cannot be started: {refused.strerror}"
    where = f" ({os.fsdecode(refused.filename)})" if refused.filename else ""
    return f"the view of /opt/ml cannot be made: {refused.strerror or refused}{where}"
