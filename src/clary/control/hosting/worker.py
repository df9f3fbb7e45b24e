"""A worker: one model, served on a UNIX socket, in a process of its own.

    python -P -m clary.control.hosting.worker --listener 7

The supervisor hands over a listening socket as an open file. The worker loads the serving libraries, waits for one
line of JSON on standard input (``Assignment``), loads the model and serves SageMaker's inference contract
(``clary.vision.inference.app``). Until the line comes it is a warm worker: a model comes into service as fast as it
loads. Standard output and error are its log.

It ends on SIGTERM, after running requests; when standard input closes, likewise; and at once when its parent dies.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import socket
import sys
from pathlib import Path

from clary.control.hosting.assignment import Assignment
from clary.errors import ClaryError
from clary.toolkit.serving.parent import dies_with, read_line, stop_with_input

__all__ = ["main"]

log = logging.getLogger(__name__)


def main() -> int:
    """Run a worker. Returns the exit code: 0 told to stop, 2 the model cannot be served (errors.py)."""
    arguments = _arguments()
    if not dies_with(arguments.parent):
        return 0
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    _load_libraries()
    line = read_line()
    if not line:
        return 0
    assignment = Assignment.read(line)
    os.environ.update(assignment.environment)
    stop_with_input()
    with socket.socket(fileno=arguments.listener) as listener:
        try:
            _serve(Path(assignment.model), listener)
        except ClaryError as error:
            sys.stderr.write(f"error: {error}\n")
            return error.exit_code
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="worker")
    parser.add_argument("--listener", type=int, required=True, help="number of an open, listening socket")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to die with")
    return parser.parse_args()


def _load_libraries() -> None:
    """Import all that serving needs and start the engine's runtime: the longest part of a start."""
    import httptools  # noqa: F401
    import uvicorn  # noqa: F401

    from clary.vision.inference import app, server  # noqa: F401
    from clary.vision.inference.content_types import REQUESTS
    from clary.vision.inference.engines import installed
    from clary.vision.inference.tasks import MODEL_TASKS

    list(REQUESTS)
    list(MODEL_TASKS)
    for engine in installed()[:1]:
        importlib.import_module(engine.package)


def _serve(model: Path, listener: socket.socket) -> None:
    from clary.vision.base.cores import cores
    from clary.vision.inference import server
    from clary.vision.inference.app import create_app
    from clary.vision.inference.predictor import load
    from clary.vision.inference.server_settings import ServerSettings

    settings = ServerSettings.from_environment()
    with load(model, streams=cores(), precision=settings.precision) as loaded:
        log.info("%d classes, %s", len(loaded.labels), loaded.engine)
        # How long a call may take its caller says, to the gateway (InvokeEndpointAsync: up to an hour).
        server.run(create_app(loaded, settings, limit=None), listener)


if __name__ == "__main__":
    sys.exit(main())
