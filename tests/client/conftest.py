"""A server that answers every AWS call and remembers them, and a process that holds a home as a gateway does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::000000000000:assumed-role/Role/here</Arn><UserId>A:here</UserId><Account>000000000000</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"""


@dataclass
class Listening:
    """``calls`` are pairs: the Host header, and the credential scope of the signature."""

    url: str
    calls: list[tuple[str, str]] = field(default_factory=list)


@pytest.fixture
def listening() -> Iterator[Listening]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            scope = self.headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0]
            heard.calls.append((self.headers["Host"], scope))
            self.send_response(200)
            self.send_header("Content-Length", str(len(IDENTITY)))
            self.end_headers()
            self.wfile.write(IDENTITY)

        do_GET = do_PUT = do_POST

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard = Listening(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield heard
    server.shutdown()
    thread.join()
    server.server_close()


# Holds a home as a gateway does, until SIGTERM; with "deaf" it takes no notice of that.
HOLDER = """
import pathlib, signal, sys, threading
from clary.control import home
folder, url, how = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: None if how == "deaf" else over.set())
with home.hold(folder):
    if how != "starting":
        home.write_server(folder, url, region="eu-west-1", version="0.1.0")
    print("held", flush=True)
    while not over.wait(0.05):
        pass
"""

Hold = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    started: list[subprocess.Popen[str]] = []

    def start(url: str = "http://127.0.0.1:9", how: str = "up") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDER, str(tmp_path), url, how]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
