"""A process with TensorFlow loaded that makes models and serves them, for tests that have it not.

python host.py ADDRESS      a UNIX socket, on which multiprocessing's Client asks: (function, arguments)
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from clary.toolkit.serving.service import Answer, Request, Service


class Host:
    """What can be asked of the process."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        spec = importlib.util.spec_from_file_location("models", Path(__file__).with_name("models.py"))
        assert spec is not None
        assert spec.loader is not None
        self._models = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._models)

    def make(self, name: str, folder: str) -> None:
        getattr(self._models, name)(Path(folder))

    def load(self, folder: str, variables: Mapping[str, str]) -> int:
        from clary.toolkit.serving.tensorflow import load

        for name in ("inference", "of_lib"):
            sys.modules.pop(name, None)
        self._services[folder] = service = load(Path(folder), variables)
        return service.streams

    def answer(self, folder: str, request: Request) -> Answer:
        return self._services[folder].answer(request)

    def error_of(self, script: str) -> str:
        """The end of what a script prints that fails, empty where it does not."""
        try:
            exec(compile(script, "train.py", "exec"), {"__name__": "__main__"})
        except Exception:  # noqa: BLE001  # what is asked for
            return traceback.format_exc()
        return ""

    def close(self, folder: str) -> None:
        self._services.pop(folder).close()


def serve(connection: Connection) -> None:
    host = Host()
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        function: Callable[..., Any] = getattr(host, name)
        try:
            connection.send((True, function(*arguments)))
        except Exception as error:  # noqa: BLE001  # the test's, whichever it is
            traceback.print_exc()
            connection.send((False, (type(error).__name__, str(error))))


if __name__ == "__main__":
    with Listener(sys.argv[1]) as listener, listener.accept() as accepted:
        serve(accepted)
