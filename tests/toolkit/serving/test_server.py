"""The server, over a socket of its own: a thread in this process, or a process where it ends itself."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SERVER = """
import os, socket, sys, threading, time
from clary.toolkit.serving.server import Server
from clary.toolkit.serving.service import Answer
from clary.toolkit.serving.settings import ServingSettings

class Service:
    streams = 1
    def answer(self, request):
        return Answer(200, request.body, request.content_type or "none", request.custom_attributes)
    def close(self):
        print("closed", flush=True)
{service}
with socket.socket(fileno=int(sys.argv[1])) as listener:
    Server(listener, Service(), ServingSettings({settings})).run()
"""


class Client(http.client.HTTPConnection):
    """A connection to a UNIX socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("worker", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))

    def ask(self, body: bytes = b"", method: str = "POST", path: str = "/invocations", **headers: str):
        self.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = self.getresponse()
        return answer.status, answer.read(), answer

    def begin(self, body: bytes, size: int | None = None) -> None:
        """Send a request, or the beginning of it."""
        if self.sock is None:
            self.connect()
        head = f"POST /invocations HTTP/1.1\r\nContent-Length: {len(body) if size is None else size}\r\n\r\n"
        self.sock.sendall(head.encode() + body)


class Running:
    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self.process, self._path = process, path
        self.clients: list[Client] = []

    def client(self) -> Client:
        self.clients.append(Client(self._path))
        return self.clients[-1]

    def ended(self) -> tuple[int, str]:
        output, _ = self.process.communicate(timeout=30)
        return self.process.returncode, output


@contextmanager
def server(folder: Path, service: str = "", options: str = "") -> Iterator[Running]:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        text = SERVER.format(service=dedent(service), settings=options)
        process = subprocess.Popen(
            [sys.executable, "-c", text, str(listener.fileno())],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[listener.fileno()],
        )
    running = Running(process, path)
    try:
        yield running
    finally:
        for client in running.clients:
            client.close()
        process.kill()
        process.communicate()
        path.unlink()


@pytest.fixture
def serving(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """``with serving(text_of_the_service, options) as running``. Paths of sockets are short."""
    return lambda *words: server(tmp_path_factory.mktemp("s"), *words)


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with server(tmp_path_factory.mktemp("s"), options="most=1 << 20") as running:
        yield running


class TestTheContract:
    def test_ping(self, echo):
        status, body, _ = echo.client().ask(method="GET", path="/ping")
        assert (status, body) == (200, b"")

    def test_anything_else(self, echo):
        client = echo.client()
        assert client.ask(method="GET", path="/models")[0] == 404
        assert client.ask(method="GET", path="/invocations")[0] == 404
        assert client.ask(method="POST", path="/ping")[0] == 404

    def test_headers(self, echo):
        _, body, answer = echo.client().ask(b"a", Content_Type="text/csv", X_Amzn_SageMaker_Custom_Attributes="t=1")
        assert (body, answer.headers["content-type"]) == (b"a", "text/csv")
        assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "t=1"

    @settings(max_examples=20)
    @given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4))
    def test_one_request_after_another_on_one_connection(self, echo, bodies):
        client = echo.client()
        for body in bodies:
            assert client.ask(body)[1] == body

    def test_a_body_in_pieces(self, echo):
        client = echo.client()
        client.begin(b"a" * 5, 10)
        assert echo.client().ask(b"other")[1] == b"other"  # by then the half one has been read
        client.sock.sendall(b"b" * 5)
        assert client.sock.recv(1000).endswith(b"aaaaabbbbb")

    def test_a_large_answer(self, serving):
        large = """
        class Service(Service):
            def answer(self, request):
                return Answer(200, b"x" * (8 << 20), "text/plain")
        """
        with serving(large) as running:
            assert len(running.client().ask()[1]) == 8 << 20

    def test_a_body_that_is_too_large(self, echo):
        client = echo.client()
        status, body, _ = client.ask(b"x" * (3 << 20))
        assert (status, body.startswith(b"the body is larger than 1 MB; send less or raise SAGEMAKER_MAX_PAY")) == (
            413,
            True,
        )
        assert client.ask(b"a")[1] == b"a", "the connection is as good as before"

    @pytest.mark.parametrize(
        "sent",
        [b"POST /invocations HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"a" * 70_000, b"GET\r\n\r\n"],
    )
    def test_what_no_client_of_ours_sends(self, echo, sent):
        client = echo.client()
        client.connect()
        client.sock.sendall(sent)
        client.sock.shutdown(socket.SHUT_WR)
        answer = client.sock.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 404")
        assert echo.client().ask(b"a")[1] == b"a"

    def test_header_values_of_users_code_stay_in_their_line(self, serving):
        script = r"""
        class Service(Service):
            def answer(self, request):
                return Answer(200, b"", "text/plain\r\nX-Own: 1", "a\nb")
        """
        with serving(script) as running:
            _, _, answer = running.client().ask()
            assert answer.headers["content-type"] == "text/plain X-Own: 1"
            assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "a b"
            assert answer.headers["x-own"] is None


SLOW = """
class Service(Service):
    def answer(self, request):
        if request.body == b"slow":
            print("in it", flush=True)
            open(os.environ["GATE"]).read()
        return Answer(200, threading.current_thread().name.encode(), "text/plain")
"""


class TestCalls:
    @pytest.fixture
    def gate(self, tmp_path, monkeypatch):
        """A named pipe that a slow call reads to its end."""
        path = tmp_path / "gate"
        os.mkfifo(path)
        monkeypatch.setenv("GATE", str(path))
        return path

    def test_a_ping_is_answered_while_a_call_is_made(self, serving, gate):
        with serving(SLOW) as running:
            client = running.client()
            client.begin(b"slow")
            assert running.process.stdout.readline() == "in it\n"
            assert running.client().ask(method="GET", path="/ping")[0] == 200
            gate.write_text("go on")
            assert client.sock.recv(1000).endswith(b"MainThread"), "the thread that loaded the model"

    def test_who_has_gone_is_not_answered_for(self, serving, gate):
        counting = SLOW + "print('started', flush=True)\n"
        with serving(counting + "Service.count = 0\n") as running:
            assert running.process.stdout.readline() == "started\n"
            busy, gone = running.client(), running.client()
            busy.begin(b"slow")
            assert running.process.stdout.readline() == "in it\n"
            gone.begin(b"slow")
            gone.close()
            assert running.client().ask(method="GET", path="/ping")[0] == 200  # its end has been read by now
            gate.write_text("go on")
            assert busy.sock.recv(1000).startswith(b"HTTP/1.1 200")
            assert running.client().ask(b"next")[0] == 200, "a second slow call would wait for the gate"

    def test_what_has_come_is_answered_before_it_stops(self, serving, gate):
        with serving(SLOW) as running:
            client, half = running.client(), running.client()
            client.begin(b"slow")
            half.begin(b"ha", 4)
            assert running.process.stdout.readline() == "in it\n"
            assert running.client().ask(method="GET", path="/ping")[0] == 200
            running.process.send_signal(signal.SIGTERM)
            gate.write_text("go on")
            assert client.sock.recv(1000).startswith(b"HTTP/1.1 200")
            half.sock.sendall(b"lf")
            assert half.sock.recv(1000).startswith(b"HTTP/1.1 200")
            assert running.ended() == (0, "closed\n")

    def test_streams_side_by_side(self, serving):
        meeting = """
        both = threading.Barrier(2)
        class Service(Service):
            streams = 2
            def answer(self, request):
                both.wait(20)
                return Answer(200, b"met", "text/plain")
        """
        with serving(meeting) as running:
            first, second = running.client(), running.client()
            first.begin(b"")
            second.begin(b"")
            assert first.sock.recv(1000).endswith(b"met")
            assert second.sock.recv(1000).endswith(b"met")

    def test_one_that_takes_too_long_ends_the_process(self, serving, gate):
        with serving(SLOW, "timeout=0.2") as running:
            status, body, _ = running.client().ask(b"slow")
            assert status == 500
            assert body.startswith(
                b"a call took longer than 0.2 seconds (SAGEMAKER_MODEL_SERVER_TIMEOUT), and its worke"
            )
            code, output = running.ended()
            assert code == 70
            assert output.endswith("its worker is ended\n")

    @pytest.mark.parametrize("streams", [1, 2])
    def test_what_makes_a_worker_useless_ends_it(self, serving, streams):
        script = f"""
        class Service(Service):
            streams = {streams}
            def answer(self, request):
                raise EOFError("the process has gone")
        """
        with serving(script) as running:
            client = running.client()
            client.begin(b"")
            assert client.sock.recv(1000) == b""
            code, output = running.ended()
            assert code != 0
            assert "EOFError: the process has gone" in output

    def test_leaving_in_a_call_ends_it_whatever_else_runs(self, serving):
        """Users' code may start threads that are no daemons: an interpreter waits for them before it ends."""
        script = """
        threading.Thread(target=threading.Event().wait).start()
        class Service(Service):
            def answer(self, request):
                sys.exit(3)
        """
        with serving(script) as running:
            client = running.client()
            client.begin(b"")
            assert client.sock.recv(1000) == b""
            code, output = running.ended()
            assert code != 0
            assert "SystemExit: 3" in output


class TestWhatIsNoAnswer:
    """Of HTTP: the platform could not read it, or would take a part of it for the next answer."""

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            ("Answer(0, b'', 'text/plain')", b"the status 0, which is none of an answer (200 to 599)"),
            ("Answer(102, b'', 'text/plain')", b"the status 102"),
            ("Answer(1000, b'', 'text/plain')", b"the status 1000"),
            ("Answer(200, b'', 'x' * 5000)", b"a content type of 5000 characters; 1024 are the most"),
            ("Answer(200, b'', 'a/b', 'x' * 2000)", b"custom attributes of 2000 characters; 1024 are the most"),
        ],
    )
    def test_it_is_said(self, serving, answer, said):
        with serving(f"class Service(Service):\n    def answer(self, request):\n        return {answer}\n") as running:
            status, body, _ = running.client().ask()
            assert status == 500
            assert body.startswith(b"the code answered with " + said)

    def test_one_that_has_no_body_has_none(self, serving):
        script = """
        class Service(Service):
            def answer(self, request):
                return Answer(204, b"which no client reads", "text/plain")
        """
        with serving(script) as running:
            client = running.client()
            client.begin(b"")
            answer = client.sock.recv(1000)
            assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
            assert answer.endswith(b"\r\n\r\n")

    def test_characters_that_no_header_has(self, serving):
        script = r"""
        class Service(Service):
            def answer(self, request):
                return Answer(200, b"", "text/\x00plain\x7f", "\x1bone ü")
        """
        with serving(script) as running:
            _, _, answer = running.client().ask()
            assert answer.headers["content-type"] == "text/plain"
            assert answer.headers["x-amzn-sagemaker-custom-attributes"] == "one ?"
