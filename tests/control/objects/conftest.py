"""An S3 front on a real socket, and boto3 to talk to it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config
from botocore.exceptions import ClientError

from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App

from .s3_calls import Answer

ACCOUNT = "000000000000"


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    """``app`` behind the gateway's own server on a free port; the address."""
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, server_header=False, lifespan="off")
    server = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    started = threading.Event()

    async def run() -> None:
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_later(0, started.set)
        await server.serve(sockets=sockets)

    def work() -> None:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        started.wait(10)
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def _client(url: str, **config: Any) -> Any:
    settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 20} | config
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=Config(**settings),
    )


@contextmanager
def _rclone(root: Path) -> Iterator[str]:
    """Another S3 server over ``root``: rclone, which checks that requests are signed by key ``key``, ``secret``."""
    binary = Path(sysconfig.get_path("scripts")) / "rclone"
    if not binary.exists():
        pytest.skip("rclone is not installed")
    words = [str(binary), "serve", "s3", str(root), "--auth-key", "key,secret", "--config", ""]
    log = root.parent / "rclone.log"
    with log.open("wb") as writer:
        process = subprocess.Popen([*words, "--addr", "127.0.0.1:0"], stderr=writer, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (url := _announced(log)):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield url
    finally:
        process.kill()
        process.wait()


def _announced(log: Path) -> str:
    """The address in rclone's log once it answers."""
    url = log.read_text().partition("[http://")[2].partition("/]")[0]
    if url:
        host, port = url.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return ""
    return url and f"http://{url}"


@pytest.fixture(scope="session")
def rclone() -> Callable[..., Any]:
    """``with rclone(root) as url``: another S3 server, whose keys are ``key`` and ``secret``."""
    return _rclone


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """``with serving(app) as url``: an ASGI app on a free port of this machine."""
    return _serving


@pytest.fixture(scope="session")
def client() -> Callable[..., Any]:
    """``client(url, **config)``: boto3's S3 client."""
    return _client


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "s3")


class _Switch:
    """An app that hands on to the one of the test that runs."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def _server() -> Iterator[tuple[_Switch, str, Any]]:
    """One server and one client for all tests: starting them takes longer than a test does."""
    switch = _Switch()
    with _serving(switch) as address:
        found = _client(address)
        yield switch, address, found
        found.close()


@pytest.fixture
def url(store: LocalStore, _server: tuple[_Switch, str, Any]) -> str:
    """The address of an S3 front over ``store``."""
    _server[0].app = S3App(store, account=ACCOUNT, region="us-east-1")
    return _server[1]


@pytest.fixture
def s3(url: str, _server: tuple[_Switch, str, Any]) -> Any:
    """boto3 with a bucket called ``box``."""
    _server[2].create_bucket(Bucket="box")
    return _server[2]


def _raw(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body or None, headers=sent)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="session")
def raw() -> Callable[..., Answer]:
    """``raw(url, method, path, body, x_amz_acl="private")``: a request nobody signed, and its answer."""
    return _raw


def _refused(call: Callable[..., Any], **members: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.fixture(scope="session")
def refused() -> Callable[..., tuple[str, int]]:
    """``refused(s3.put_object, Bucket=...)``: code and status of the error."""
    return _refused
