"""The REST API at an address: bodies come whole, however requests sends them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import requests

from clary.toolkit.serving.tensorflow.loopback import Loopback


@pytest.fixture
def address() -> Iterator[str]:
    server = Loopback(SimpleNamespace(ask=lambda method, path, body: (200, method.encode() + body)))  # type: ignore[arg-type]
    yield f"http://127.0.0.1:{server.port}/v1/models/m:predict"
    server.close()


def test_one_after_another_on_one_connection(address: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(2):
            assert session.post(address, data=b"whole").content == b"POSTwhole"
            assert session.post(address, data=iter([b"in ", b"pieces" * 1000])).content == b"POSTin " + b"pieces" * 1000
            assert session.post(address, data=iter([])).content == b"POST"
            assert session.get(address).content == b"GET"
