"""A process with the training libraries loaded, which forks the monitors of built-in algorithms.

    python -m clary.control.jobs.launchers.local.forkserver SOCKET

Started by the gateway once that is ready, and gone with it: its standard input is a pipe from the gateway, whose end
it notices. Jobs live on. It prints one line when it takes requests. A request is a host's folder and a line end; the
answer is the monitor's process id when the program runs, an empty line when that host is run or over already, no line
at all when it is better started cold.

Nothing here may start a thread or run a parallel region: a forked child cannot use OpenMP threads that its parent
started (libgomp waits for them forever).
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from clary.control.jobs.environment import program_variables
from clary.control.jobs.launch import Algorithm, Launch, Script
from clary.control.jobs.launchers.local import job_monitor
from clary.errors import AlgorithmError, UsageError
from clary.vision.algorithms.catalog import SPECS, train_function
from clary.vision.base import unix_socket
from clary.vision.base.files import private_folder

__all__ = ["ask", "load", "serve"]

REQUEST_LIMIT = 4096 + 1  # bytes: a path and a line end
# Read when a library is loaded: a job that wants other values than this process has needs a process of its own.
READ_AT_LOAD = ("LD_", "MKL_", "KMP_", "GOMP_", "OMP_", "ONEDNN_", "DNNL_", "ATEN_", "TORCH_", "HF_", "PYTHONPATH")
SETTABLE = ("OMP_NUM_THREADS",)
# Libraries set variables of their own.
_STARTED_WITH = dict(os.environ)


def load() -> None:
    """Import everything the built-in algorithms need to train. Raises ImportError when an extra is not installed."""
    import_module("torch")
    for spec in SPECS:
        try:
            train_function(spec)
        except (ImportError, AlgorithmError) as missing:  # its jobs will say so; others can be started
            sys.stderr.write(f"{spec.name}: {missing}\n")
    import_module("clary.vision.algorithms.run")
    # Which start users' scripts, here too.
    import_module("clary.toolkit.train")
    import_module("clary.toolkit.process")
    torch = sys.modules.get("torch")
    if torch is not None:
        # One thread never starts OpenMP's pool, which no child could use.
        torch.set_num_threads(1)
    # Before the freeze, which keeps garbage for ever.
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page


def serve(path: Path) -> None:
    """Fork a monitor for every request at the socket ``path``, until standard input ends."""
    path.unlink(missing_ok=True)
    private_folder(path.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        # Others of the machine must not start programs as this user.
        unix_socket.bind_private(listener, path)
        listener.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            ready, _, _ = select.select([listener.fileno(), 0], [], [])
            # The gateway writes nothing: what can be read is the end of the pipe, and that is its own end.
            if 0 in ready and not os.read(0, 1):
                return
            if listener.fileno() in ready:
                with listener.accept()[0] as connection:
                    _answer(connection)


def ask(path: Path, folder: Path, seconds: float) -> str | None:
    """Let the forkserver at ``path`` start the job in ``folder``: its answer, None when it gives none. Blocks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection, suppress(OSError):
        connection.settimeout(seconds)
        connection.connect(str(path))
        connection.sendall(f"{folder}\n".encode())
        with connection.makefile() as lines:
            line = lines.readline()
        # A line without its end: the forkserver died over it.
        return line.strip() if line.endswith("\n") else None
    return None


def _answer(connection: socket.socket) -> None:
    # One at a time is answered: who says nothing must not keep the others.
    connection.settimeout(5)
    try:
        request = connection.makefile("rb").readline(REQUEST_LIMIT)
        folder = Path(os.fsdecode(request.rstrip(b"\n")))
        launch = Launch.read(folder)
    except (OSError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        return
    if isinstance(launch.program, Algorithm | Script) and _fits(program_variables(launch)):
        job_monitor.start(folder, connection.fileno())


def _fits(wanted: Mapping[str, str]) -> bool:
    """Whether the libraries, as they were loaded here, are as the job's environment wants them."""
    names = {name for name in (*wanted, *_STARTED_WITH) if name.startswith(READ_AT_LOAD) and name not in SETTABLE}
    return all(wanted.get(name) == _STARTED_WITH.get(name) for name in names)


def main() -> None:
    try:
        load()
    except ImportError as missing:
        sys.exit(f"no warm start: {missing}")
    serve(Path(sys.argv[1]))
    # What libraries have to say when they are unloaded is of no use.
    os._exit(0)


if __name__ == "__main__":
    main()
