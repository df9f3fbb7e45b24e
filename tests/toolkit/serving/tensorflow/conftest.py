"""Models served by TensorFlow in one process for a file of tests: its import takes seconds."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import pytest
from tests.toolkit.tensorflow_environment import python_with_tensorflow

from clary.toolkit.serving.service import Answer, Request

HOST = Path(__file__).with_name("host.py")


class LoadFailed(Exception):
    """What the service said: ``kind`` is the name of the error's class."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


class Served:
    """A loaded model folder."""

    def __init__(self, ask: Callable[..., Any], folder: Path, streams: int) -> None:
        self._ask, self._folder, self.streams = ask, folder, streams

    def answer(
        self, body: bytes | str, content_type: str = "application/json", accept: str = "", attributes: str = ""
    ) -> Answer:
        body = body.encode() if isinstance(body, str) else body
        found: Answer = self._ask("answer", str(self._folder), Request(body, content_type, accept, attributes, {}))
        return found

    def json(self, document: Any, *given: str, status: int = 200, **options: str) -> Any:
        found = self.answer(json.dumps(document), *given, **options)
        assert found.status == status, found.body
        return json.loads(found.body)

    def error(self, document: Any, **options: str) -> str:
        """The text of a 400."""
        text: str = self.json(document, status=400, **options)["error"]
        return text


class Host:
    """Makes and loads models in the other process."""

    def __init__(self, connection: Connection, root: Path, log: Path) -> None:
        self._connection, self._root, self._log = connection, root, log
        self._count = 0

    def __call__(self, name: str, *arguments: Any) -> Any:
        self._connection.send((name, arguments))
        done, answer = self._connection.recv()
        if not done:
            raise LoadFailed(*answer)
        return answer

    def model_dir(self, models: Mapping[str, str], code: Mapping[str, str] | None = None) -> Path:
        """A folder of model data: functions of models.py by the path that they write to, and files of code/."""
        self._count += 1
        folder = self._root / f"model-{self._count}"
        folder.mkdir()
        for path, name in models.items():
            self("make", name, str(folder / path))
        for path, text in (code or {}).items():
            file = folder / "code" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return folder

    def serve(
        self,
        models: Mapping[str, str],
        code: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Served:
        folder = self.model_dir(models, code)
        return Served(self, folder, self("load", str(folder), dict(variables or {})))

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def hosted(root: Path, version: str) -> Iterator[Host]:
    """A process with TensorFlow, as scripts that ask for ``version`` get it. Skips where its layers are not made."""
    address, log = root / "socket", root / "log"
    with python_with_tensorflow(root / "layer", version) as python, log.open("wb") as output:
        command = [str(python), str(HOST), str(address)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            with _connected(str(address), process) as connection:
                yield Host(connection, root, log)
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with hosted(tmp_path_factory.mktemp("tensorflow"), "") as found:
        yield found


def _connected(address: str, process: subprocess.Popen[bytes]) -> Connection:
    # The interpreter starts, which takes what it takes; it ends where it cannot.
    while process.poll() is None:
        try:
            return Client(address)
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.02)
    raise RuntimeError("the process with TensorFlow did not start")
