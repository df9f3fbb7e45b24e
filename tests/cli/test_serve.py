"""``clary serve``: a real server in its own process, real requests over loopback."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from clary.vision.inference.predictor import load

JPEG = {"Content-Type": "image/jpeg"}


class Served:
    """A running ``clary serve``. ``lines`` is what it printed until it was ready."""

    def __init__(self, *words: object, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clary", "serve", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        )
        assert self.process.stdout is not None
        self.lines = [line for _, line in zip(range(3), self.process.stdout, strict=False)]
        assert len(self.lines) == 3, self.process.communicate()[1]
        (self.url,) = re.findall(r"serving at (\S+)", self.lines[1])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and what went to standard error."""
        self.process.send_signal(number)
        err = self.process.communicate(timeout=30)[1]
        return self.process.returncode, err


@pytest.fixture
def serve(model_archive: Path) -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*words: object, **environment: str) -> Served:
        started.append(Served(model_archive, *(words or ("--port", 0)), **environment))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_the_contract(serve, model_archive, jpeg):
    server = serve("--port", 0, "--allowed-host", "models.lan")
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", server.url)
    assert f"curl -H 'Content-Type: image/jpeg' --data-binary @picture.jpg {server.url}/invocations" in server.lines[2]
    with load(model_archive) as model:
        expected = model.predict(jpeg())[0].scores
    with httpx.Client(base_url=server.url) as client:
        ping = client.get("/ping")
        assert (ping.status_code, ping.content) == (200, b"")
        answer = client.post("/invocations", content=jpeg(), headers=JPEG)
        np.testing.assert_allclose(answer.json(), expected, atol=0.01)
        assert "server" not in answer.headers
        assert client.get("/execution-parameters").json()["MaxPayloadInMB"] == 6
        rebound = client.get("/ping", headers={"Host": "evil.example"})
        assert (rebound.status_code, rebound.text.endswith("--allowed-host evil.example\n")) == (421, True)
        assert client.get("/ping", headers={"Host": "models.lan"}).status_code == 200
        assert "What is in the picture?" in client.get("/").text
    assert server.stop() == (0, "")


def test_many_clients_at_once_each_get_their_own(serve, model_archive, jpeg):
    images = [jpeg(seed=seed) for seed in range(12)]
    with load(model_archive) as model:
        expected = [model.predict(one)[0].scores for one in images]
    server = serve()

    def ask(place: int) -> list[float]:
        answer = httpx.post(f"{server.url}/invocations", content=images[place % 12], headers=JPEG, timeout=60)
        scores: list[float] = answer.json()
        return scores

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(96)))
    for place, scores in enumerate(answers):
        np.testing.assert_allclose(scores, expected[place % 12], atol=0.02)
    assert np.ptp(expected, axis=0).max() > 0.2


def test_no_tensor_library_is_loaded(serve, jpeg):
    server = serve()
    httpx.post(f"{server.url}/invocations", content=jpeg(), headers=JPEG)
    maps = Path(f"/proc/{server.process.pid}/maps")
    if not maps.exists():
        pytest.skip("no /proc here")
    assert "libtorch" not in maps.read_text()
    assert "libopenvino" in maps.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_request_is_answered_before_it_stops(serve, jpeg, number):
    server = serve()
    host, port = server.url.removeprefix("http://").split(":")
    body = jpeg()
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:100])
        httpx.get(f"{server.url}/ping")  # once this is answered, the half request has been taken up as well
        server.process.send_signal(number)
        connection.sendall(body[100:])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert server.stop(signal.SIGTERM) == (0, "")


def test_all_that_were_taken_up_are_answered_before_it_stops(serve, jpeg):
    server = serve()
    host, port = server.url.removeprefix("http://").split(":")
    body = jpeg(1600, 1200)
    head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(100)]
        for connection in connections:
            connection.sendall(head.encode() + body)
        httpx.get(f"{server.url}/ping")  # once this is answered, all have been taken up
        server.process.send_signal(signal.SIGTERM)
        assert {connection.recv(15) for connection in connections} == {b"HTTP/1.1 200 OK"}
    assert server.stop(signal.SIGTERM) == (0, "")


def test_clients_that_send_no_more_hold_no_place(serve, jpeg):
    server = serve()
    host, port = server.url.removeprefix("http://").split(":")
    head = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\n"
    with ExitStack() as stack, ThreadPoolExecutor(100) as pool:
        for _ in range(70):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(head.encode() + b"x")
        client = stack.enter_context(httpx.Client(limits=httpx.Limits(max_connections=100), timeout=60))

        def post(_: int) -> int:
            return client.post(f"{server.url}/invocations", content=jpeg(), headers=JPEG).status_code

        assert list(pool.map(post, range(200))) == [200] * 200
    assert server.stop() == (0, "")


def test_the_port_of_the_environment(serve):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = serve("--engine", "onnxruntime", SAGEMAKER_BIND_TO_PORT=str(port))
    assert server.url == f"http://127.0.0.1:{port}"
    assert "onnxruntime in fp32" in server.lines[0]
    assert "openvino in fp32" in serve("--port", 0, "--precision", "fp32").lines[0]


def test_a_taken_port(cli, model_archive):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = cli("serve", model_archive, "--port", port)
    assert (code, out) == (2, "")
    assert (
        err == f"clary: 127.0.0.1:{port}: the port is taken; stop what listens there, or use --port 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--host", "256.0.0.1"), "256.0.0.1:0: is no address of this machine"),
        (("--host", "192.0.2.1"), "192.0.2.1:0: cannot listen there"),
        (("--engine", "none"), "unknown engines `none`"),
    ],
)
def test_what_cannot_be_used(cli, model_archive, words, said):
    code, _, err = cli("serve", model_archive, "--port", 0, *words)
    assert code == 2
    assert err.startswith(f"clary: {said}")
    assert len(err.splitlines()) == 1


def test_no_model(cli, tmp_path):
    code, _, err = cli("serve", tmp_path / "none.tar.gz", "--port", 0)
    assert (code, len(err.splitlines())) == (2, 1)


@pytest.mark.parametrize("name", ["box_model", "pixel_model"])
def test_other_tasks(name, request, rectangle_image):
    image, true = rectangle_image(1, 120, 90)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    served = Served(request.getfixturevalue(name), "--port", 0)
    try:
        assert httpx.get(f"{served.url}/ping").status_code == 200
        answer = httpx.post(
            f"{served.url}/invocations", content=stream.getvalue(), headers={"Content-Type": "image/png"}
        )
    finally:
        code, err = served.stop()
    assert (code, err) == (0, "")
    if name == "box_model":
        assert {int(row[0]) for row in answer.json()["prediction"]} == {colour for colour, *_ in true}
    else:
        mask = np.array(Image.open(io.BytesIO(answer.content)))
        assert mask.shape == (90, 120)
        assert set(np.unique(mask)) == {0} | {colour + 1 for colour, *_ in true}
