"""The program ``clary``: nothing is imported before a Ctrl-C gets one line instead of a traceback."""

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

UNWRITTEN = 120  # what Python ends with where it cannot write what is left of the output
# Of the thread that loads libraries ahead of a training (vision.algorithms.catalog).
ABANDONED = "libraries"


def main() -> None:
    try:
        from clary.cli.main import main as run

        run()
        _leave(0)
    # While modules are loaded; once a verb runs, cli.main sees to it.
    except KeyboardInterrupt:
        sys.stderr.write("clary: stopped\n")
        _leave(130)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _leave(end.code or 0)
        raise


def _leave(code: int) -> NoReturn:
    """End the process without taking apart what it is made of.

    Python's own end deletes the 400,000 objects of PyTorch's modules one by one, which takes 1.3 s; and it waits for
    libraries that are still being loaded for a training that was refused. All else it does is done.
    """
    # Another Ctrl-C: that is not waited for.
    with suppress(KeyboardInterrupt):
        _wait_for_threads()
    atexit._run_exitfuncs()
    try:
        # None where the program was started with it closed.
        if sys.stdout is not None:
            sys.stdout.flush()
    # Nobody reads any more: cli.main has chosen the code for that.
    except BrokenPipeError:
        pass
    except (OSError, ValueError) as error:
        code = code or UNWRITTEN
        _tell(f"clary: the output cannot be written ({getattr(error, 'strerror', error)})\n")
    _tell("")
    os._exit(code)


def _wait_for_threads() -> None:
    """Of hooks, say, which send what they have: those that Python's own end waits for, but the abandoned one."""
    # Workers of pools wait for work until they are told that there is none.
    if pools := sys.modules.get("concurrent.futures.thread"):
        pools._python_exit()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon and thread.name != ABANDONED:
            thread.join()


def _tell(text: str) -> None:
    # None where the program was started with it closed; nobody is left to be told that it cannot be written.
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


if __name__ == "__main__":
    main()
