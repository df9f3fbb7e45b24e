"""The program ``clary``: nothing is imported before a Ctrl-C gets one line instead of a traceback."""

import atexit
import os
import sys
from typing import NoReturn

UNWRITTEN = 120  # what Python ends with where it cannot write what is left of the output


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
    libraries that are still being loaded for a training that was refused.
    """
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    # Nobody reads any more: cli.main has chosen the code for that.
    except BrokenPipeError:
        pass
    except (OSError, ValueError) as error:
        code = code or UNWRITTEN
        if not sys.stderr.closed:
            sys.stderr.write(f"clary: the output cannot be written ({getattr(error, 'strerror', error)})\n")
    if not sys.stderr.closed:
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
