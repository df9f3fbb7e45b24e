"""Users' serving code from a plan to answers: the toolkit in a process of its own, over a socket as the platform's."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from clary.toolkit import mounts, serve
from clary.toolkit.opt_ml import OPT_ML
from clary.toolkit.plan import Plan

# Each test starts a real process.
pytestmark = pytest.mark.slow

TELLING = """
import json, os, sys
def model_fn(model_dir):
    print("loading from", model_dir)
    return model_dir
def transform_fn(model, data, content_type, accept):
    return json.dumps(eval(data))
"""


class Worker:
    def __init__(self, process: subprocess.Popen[str], path: Path, folder: Path) -> None:
        self.process, self._path, self.folder = process, path, folder

    def tell(self, expression: str) -> object:
        """What an expression is to the code that serves."""
        status, body = self.ask(expression.encode(), "text/csv")
        assert status == 200, body
        return json.loads(body)

    def ask(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("worker", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self._path))
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    def ended(self) -> str:
        """Its output, once it has ended by itself."""
        output, _ = self.process.communicate(timeout=60)
        return output

    def stopped(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        output = self.ended()
        assert self.process.returncode == 0, output
        return output

    @property
    def note(self) -> str:
        return (self.folder / serve.NOTE).read_text()


@pytest.fixture
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def serving(tmp_path: Path, sockets: Path):
    """``with serving({"inference.py": text}, variables, **plan) as worker``; ``warm`` gives the plan later."""

    @contextmanager
    def start(
        code: Mapping[str, str], variables: Mapping[str, str] | None = None, *, warm: bool = False, **plan: Any
    ) -> Iterator[Worker]:
        model = tmp_path / serve.TREE / "model"
        model.mkdir(parents=True)
        for name, text in code.items():
            path = model / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        given: dict[str, Any] = {"image": "mine:1", "complete": False, "variables": variables or {}, **plan}
        Plan(layer=tmp_path / "environment", environments=tmp_path / "environments", **given).write(
            tmp_path / "plan.json"
        )
        path = sockets / "w"
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(64)
            process = subprocess.Popen(
                serve.command(listener.fileno(), ahead=warm),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**environment, "PYTHONUNBUFFERED": "1", "AWS_REGION": "eu-west-1", "OMP_NUM_THREADS": "1"},
                pass_fds=[listener.fileno()],
            )
        assert process.stdin
        process.stdin.write(f"{tmp_path / 'plan.json'}\n")
        process.stdin.flush()
        try:
            yield Worker(process, path, tmp_path)
        finally:
            process.kill()
            process.communicate()

    return start


def test_the_whole_way(serving):
    with serving({"inference.py": TELLING, "helper.py": ""}, {"MINE": "1", "SAGEMAKER_REGION": "eu-west-2"}) as worker:
        model = worker.tell("model")
        assert worker.tell("sorted(os.listdir(model))") == ["code"]
        assert worker.tell("os.getcwd()") == model
        assert worker.tell("sys.path[:2]") == [f"{model}/code", f"{model}/code/lib"]
        assert worker.tell("sys.prefix") == str(worker.folder / "environment")
        names = ["SM_MODEL_DIR", "SAGEMAKER_REGION", "SAGEMAKER_CONTAINER_LOG_LEVEL", "MINE", "AWS_REGION"]
        assert worker.tell(f"[os.environ.get(name) for name in {names}]") == [
            model,
            "eu-west-2",
            "20",
            "1",
            "eu-west-1",
        ]
        assert worker.tell("__import__('threading').current_thread().name") == "MainThread"
        assert worker.ask(b"1 / 0", "text/csv")[0] == 500
        output = worker.stopped()
    assert f"loading from {model}\n" in output
    assert "mine:1 was asked for; this is Python 3." in output
    assert "ZeroDivisionError" in output, "what clients are told the log has too"


def test_opt_ml_is_seen_where_the_kernel_can_show_it(serving):
    with serving({"inference.py": TELLING}) as worker:
        model = worker.tell("model")
        if namespaces():
            assert model == str(OPT_ML / "model")
            assert worker.tell("os.environ.get('SAGEMAKER_BASE_DIR')") is None
            assert worker.tell("os.path.exists('/opt/ml/model/code/inference.py')")
        else:
            assert model == str(worker.folder / serve.TREE / "model")
            assert worker.tell("os.environ['SAGEMAKER_BASE_DIR']") == str(worker.folder / serve.TREE)
            assert "the kernel shows no /opt/ml here" in worker.stopped()


def namespaces() -> bool:
    """Tried in a process of its own: it cannot be left again."""
    child = os.fork()
    if child == 0:
        try:
            mounts.enter()
            os._exit(0)
        except OSError:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


class TestWarm:
    def test_it_serves_in_the_process_that_has_loaded_torch(self, serving):
        with serving({"inference.py": TELLING}, warm=True, framework="pytorch") as worker:
            assert worker.tell("'torch' in sys.modules")
            assert worker.tell("os.getpid()") == worker.process.pid
            assert worker.tell("sys.prefix") == str(worker.folder / "environment")
            assert worker.tell("[os.path.basename(sys.path[0]), os.environ['SM_MODEL_DIR'] == model]") == ["code", True]
            assert "was asked for; this is torch" in worker.stopped()

    def test_code_that_brings_what_is_loaded_starts_cold(self, serving):
        code = {"inference.py": TELLING, "numpy.py": "mine = True"}
        with serving(code, {"TORCH_LOGS": ""}, warm=True) as worker:
            assert worker.tell("'torch' not in sys.modules and __import__('numpy').mine")
            assert "the code starts cold: TORCH_LOGS is read when a process starts" in worker.stopped()


class TestRequirements:
    def test_they_are_installed(self, serving, make_wheel, tmp_path):
        make_wheel(tmp_path, "of_mine", "1.0", "VALUE = 7\n")
        code = {"inference.py": TELLING, "requirements.txt": f"--no-index\n--find-links {tmp_path}\nof-mine\n"}
        with serving(code) as worker:
            assert worker.tell("__import__('of_mine').VALUE") == 7
            assert "Installing dependencies from requirements.txt:" in worker.stopped()

    def test_a_line_that_cannot_be_installed(self, serving, tmp_path):
        code = {"inference.py": TELLING, "requirements.txt": "--no-index\nno-such-package-at-all\n"}
        with serving(code) as worker:
            output = worker.ended()
            assert worker.process.returncode == 2
            assert worker.note.startswith("requirements.txt:2: cannot be installed: No matching distribution")
            assert output.splitlines()[-1] == f"error: {worker.note.splitlines()[0]}"


class TestWhatIsNotServed:
    def test_model_fn_that_raises(self, serving):
        with serving({"inference.py": "def model_fn(model_dir):\n    raise OSError('no weights')\n"}) as worker:
            *_, last = worker.ended().splitlines()
            assert worker.process.returncode == 2
            assert last == "error: OSError: no weights"
            assert worker.note.splitlines()[0] == "OSError: no weights"
            assert "in model_fn" in worker.note

    def test_one_of_several_workers(self, serving):
        script = "def model_fn(model_dir):\n    raise OSError('no weights')\n"
        with serving({"inference.py": script}, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as worker:
            assert worker.ended().splitlines()[-1] == "error: OSError: no weights"
            assert "in model_fn" in worker.note

    def test_a_variable_that_is_no_number(self, serving):
        with serving({"inference.py": TELLING}, {"SAGEMAKER_MODEL_SERVER_WORKERS": "many"}) as worker:
            worker.ended()
            assert worker.note.startswith("SAGEMAKER_MODEL_SERVER_WORKERS: is 'many', not a whole number")


def test_several_workers(serving):
    with serving({"inference.py": TELLING}, {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}) as worker:
        assert worker.tell("os.getpid()") != worker.tell("os.getpid()")
        worker.stopped()


def test_it_ends_with_the_platform(serving):
    with serving({"inference.py": TELLING}) as worker:
        worker.tell("1")
        worker.process.stdin.close()
        worker.process.wait(30)
        assert worker.process.returncode == 0
        worker.process.stdin = None


def test_a_python_of_the_users_own(serving, tmp_path):
    """A bare environment: nothing of Clary's is in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    with serving({"inference.py": TELLING}, interpreter=tmp_path / "venv/bin/python") as worker:
        assert worker.tell("__import__('importlib.util', fromlist=['x']).find_spec('starlette') is None")
        worker.stopped()


PROGRAM = """
import http.server, os, signal, sys
assert sys.argv[1:] == ["serve"], sys.argv
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.reply(200, b"", {})
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(203, body, {"Content-Type": self.headers["Accept"], "X-Amzn-SageMaker-Custom-Attributes": "a=1"})
    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("stopped", flush=True)))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


class TestPrograms:
    def test_a_server_of_the_users_own(self, serving, tmp_path):
        (tmp_path / "program.py").write_text(PROGRAM)
        with serving({}, command=(sys.executable, str(tmp_path / "program.py"), "serve")) as worker:
            for _ in range(2):
                assert worker.ask(b"abc", "text/csv") == (203, b"abc")
            assert worker.stopped().endswith("stopped\n")

    @pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's end")
    def test_it_ends_with_a_worker_that_is_killed(self, serving, tmp_path):
        note = tmp_path / "program.pid"
        (tmp_path / "program.py").write_text(f"import os\nopen({str(note)!r}, 'w').write(str(os.getpid()))\n{PROGRAM}")
        with serving({}, command=(sys.executable, str(tmp_path / "program.py"), "serve")) as worker:
            assert worker.ask(b"abc", "text/csv") == (203, b"abc")
            program = os.pidfd_open(int(note.read_text()))
            try:
                worker.process.kill()
                assert select.select([program], [], [], 10)[0], "it lives on"
            finally:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(program, signal.SIGKILL)
                os.close(program)

    def test_one_that_ends(self, serving):
        with serving({}, command=(sys.executable, "-c", "import sys; sys.exit(5)")) as worker:
            output = worker.ended()
            assert worker.note.startswith("the program ended with exit code 5 before it answered a ping")
            assert output.splitlines()[-1].startswith("error: the program ended with exit code 5")

    def test_one_that_is_not_there(self, serving):
        with serving({}, command=("no-such-program", "serve")) as worker:
            worker.ended()
            assert worker.note == "the program `no-such-program` cannot be started: No such file or directory"
