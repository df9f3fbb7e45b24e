"""A platform's operations over HTTP, asked by real boto3 clients; jobs and endpoints do not run."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from botocore.config import Config

from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.platform import Platform
from clary.control.resources import load
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.app import create_app


class Door:
    """One server for all tests of a session; each test sets the application behind it."""

    url = ""
    app: Callable[..., Awaitable[None]] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    load()
    door, ready = Door(), threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            ready.set()

    quiet: Any = {"log_level": "critical", "access_log": False, "lifespan": "off", "timeout_graceful_shutdown": 1}
    server = Server(uvicorn.Config(door, port=0, **quiet))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(10)
    door.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield door
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def clients(door: Door) -> Callable[[str], Any]:
    """``clients("logs")``: a boto3 client of the server."""
    session = boto3.session.Session("x", "y", region_name="eu-west-1")
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
            made[service] = session.client(service, endpoint_url=door.url, config=config)
        return made[service]

    return client


@pytest.fixture
def platform(tmp_path: Path, door: Door) -> Iterator[Platform]:
    """The platform behind the server, with the bucket ``bucket``."""
    settings = Settings(home=tmp_path / "home")
    store, objects = Store(settings.database), LocalStore(settings.s3_root)
    objects.create_bucket("bucket", settings.region)
    nobody: Any = None  # runs jobs and endpoints
    platform = Platform(settings, store, objects, LogStore(settings.logs_root), nobody, nobody)
    door.app = create_app(platform, region=settings.region, account=settings.account, s3=_no_s3)
    yield platform
    store.close()


async def _no_s3(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("no test here speaks to S3")


@pytest.fixture
def put_object(platform: Platform, tmp_path: Path) -> Callable[[str], str]:
    """``put_object("a/model.tar.gz")``: an object of the bucket; returns its URI."""

    def put(key: str) -> str:
        path = tmp_path / "object"
        path.write_bytes(os.urandom(8))
        platform.objects.put("bucket", key, path)
        return f"s3://bucket/{key}"

    return put


@pytest.fixture
def sagemaker(platform: Platform, clients: Callable[[str], Any]) -> Any:
    return clients("sagemaker")


@pytest.fixture
def logs(platform: Platform, clients: Callable[[str], Any]) -> Any:
    return clients("logs")


@pytest.fixture
def cloudwatch(platform: Platform, clients: Callable[[str], Any]) -> Any:
    return clients("cloudwatch")


@pytest.fixture
def refusal() -> Callable[..., tuple[str, str]]:
    """``refusal(client.describe_model, ModelName="x")``: code and message of the error the call gets."""
    from botocore.exceptions import ClientError

    def refusal(call: Callable[..., Any], **members: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as caught:
            call(**members)
        error = caught.value.response["Error"]
        return error["Code"], error["Message"]

    return refusal
