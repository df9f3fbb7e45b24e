"""The process in which a user's serving code runs: it loads their service and serves it on an open socket.

    python -m clary.toolkit.serving.process LISTENER FRAMEWORK MODEL NOTE

LISTENER is the number of the socket, MODEL the folder of the model data as the code is to see it. Why it could not be
loaded is written to the file NOTE, and in one line to standard error, the last of it. Ends with 0 where it was told to
stop, with 2 where the service could not be loaded.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from clary.errors import ClaryError
from clary.toolkit.serving import service
from clary.toolkit.serving.failure import explain
from clary.toolkit.serving.parent import stop_with_input
from clary.toolkit.serving.processes import Processes, WorkerFailed
from clary.toolkit.serving.server import Server
from clary.toolkit.serving.settings import ServingSettings

__all__ = ["main", "serve"]


def serve(listener: int, framework: str, model_dir: Path, note: Path) -> int:
    """Load the service of ``framework`` for a model, and serve it; the exit code. Needs the main thread."""
    # As the model servers' workers do: what a script logs at INFO is in the endpoint's log.
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    variables: Mapping[str, str] = dict(os.environ)
    reason = partial(explain, model_dir=model_dir, variables=variables)
    load = partial(service.load, framework, model_dir, variables)
    with socket.socket(fileno=listener) as connected:
        try:
            settings = ServingSettings.of(variables)
            if settings.without_effect:
                _say(f"{', '.join(settings.without_effect)} set in the model's env: no model server batches calls here")
            loaded = load() if settings.workers == 1 else Processes(settings.workers, load, reason)
        except WorkerFailed as failed:
            return _failed(str(failed), note)
        # SystemExit as well: a script that leaves while it is imported serves nothing.
        except BaseException as error:  # noqa: BLE001  # the user's code may raise anything
            if not isinstance(error, ClaryError):
                traceback.print_exception(error)
            return _failed(reason(error), note)
        stop_with_input()
        Server(connected, loaded, settings).run()
    return 0


def _failed(reason: str, note: Path) -> int:
    sys.stdout.flush()
    note.write_text(reason, errors="replace")
    sys.stderr.write(f"error: {reason.partition(os.linesep)[0]}\n")
    sys.stderr.flush()
    return 2


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(words: list[str]) -> int:
    return serve(int(words[0]), words[1], Path(words[2]), Path(words[3]))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads and handlers of users' code would keep the process, or crash it at its end.
    os._exit(code)
