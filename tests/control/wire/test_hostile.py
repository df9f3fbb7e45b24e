"""Whatever is sent, the answer is one: below 500 unless it is meant, in the protocol's own form, and nothing is logged
that a person would have to look into. An hour of the same: ``hostile.hostile`` with other seeds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from clary.control.logs.streams import LogStore
from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.platform import Platform
from clary.control.resources import load
from clary.control.settings import Settings
from clary.control.store.records import Store
from clary.control.wire.app import create_app
from clary.control.wire.errors import ServiceError

from .hostile import Answer, HostileRequest, ask, hostile

# Not implemented, busy, no space: said on purpose.
MEANT = (501, 503, 507)


class Nobody:
    """What runs jobs and endpoints, for requests that come so far."""

    def __getattr__(self, name: str) -> Any:
        raise ServiceError("ServiceUnavailable", f"nobody is here to {name}", status=503)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    load()
    settings = Settings(home=tmp_path / "home")
    store, objects = Store(settings.database), LocalStore(settings.s3_root)
    objects.create_bucket("box", settings.region)
    (tmp_path / "key").write_bytes(b"x" * 100)
    objects.put("box", "kept", tmp_path / "key")
    nobody: Any = Nobody()
    yield Platform(settings, store, objects, LogStore(settings.logs_root), nobody, nobody)
    store.close()


def gateway(platform: Platform, credentials: dict[str, str] | None = None) -> Any:
    objects = platform.objects
    assert isinstance(objects, LocalStore)
    s3 = S3App(objects, account=platform.settings.account, region=platform.settings.region)
    return create_app(platform, region="us-east-1", account="0" * 12, s3=s3, credentials=credentials)


def faults(request: HostileRequest, answer: Answer, log: str) -> str:
    """What is wrong with the answer; empty where it is right."""
    if answer.status >= 500 and answer.status not in MEANT:
        return f"{answer.status} {answer.body[:300]!r}"
    if log:
        return log
    if answer.headers["x-content-type-options"] != "nosniff":
        return "a browser may guess"
    if request.method == "HEAD" or answer.status < 400:
        return ""
    kind = answer.headers.get("content-type", "")
    try:
        ElementTree.fromstring(answer.body) if "xml" in kind else json.loads(answer.body)
    except (ElementTree.ParseError, ValueError):
        return f"no client can read {answer.body[:300]!r}"
    return ""


async def storm(app: Any, requests: Iterator[HostileRequest], caplog: Any) -> list[str]:
    """Every request with a fault, and what it is."""
    found = []
    for request in requests:
        caplog.clear()
        try:
            answer = await ask(app, request)
        except Exception as error:  # noqa: BLE001  # any is a find
            found.append(f"{request}: {error!r}")
            continue
        if fault := faults(request, answer, caplog.text):
            found.append(f"{request}: {fault}")
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("signed", [False, True])
def test_no_request_is_more_than_refused(platform, caplog, seed, signed):
    caplog.set_level(logging.WARNING)
    app = gateway(platform, {"AKID": "secret"} if signed else None)
    requests = hostile(seed, stamp=datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"))
    found = asyncio.run(storm(app, itertools.islice(requests, 150), caplog))
    assert not found, "\n".join(found)


def test_nor_over_a_real_connection(platform, serving, caplog):
    caplog.set_level(logging.WARNING)
    place = urlsplit(serving(gateway(platform)))
    broken = [b"Content-Length: -5", b"Content-Length: 1\r\nContent-Length: 2", b"Content-Length: " + b"9" * 5000]
    broken += [
        b"Content-Length: 1, 2",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3",
        b"X\xff: \xff",
        b": x",
        b"Host: a",
    ]
    raw = [b"PUT /box/x HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\nabc" for line in broken]
    raw += [
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ]
    raw += [request.raw() for request in itertools.islice(hostile(99), 60)]
    for data in raw:
        with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                answer = connection.makefile("rb").read(20)
            except ConnectionError:  # closed on what it did not want to read
                continue
        assert not answer or re.match(rb"HTTP/1.1 ([234]\d\d|501|503|507) ", answer), (data[:500], answer)
    # What uvicorn's parser refuses it says in one line, without a traceback.
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
