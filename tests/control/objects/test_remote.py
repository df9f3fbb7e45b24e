"""What the stores at S3 endpoints say when something is wrong there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects.remote import RemoteStore
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.wire.errors import ServiceError
from clary.errors import UsageError


def test_keys_that_are_not_those_of_the_server(tmp_path: Path, rclone: Callable[..., Any]) -> None:
    (tmp_path / "root" / "box").mkdir(parents=True)
    with rclone(tmp_path / "root") as url:
        store = RemoteStore(RemoteEndpoint(url, "us-east-1", "key", "wrong"))
        with pytest.raises(ServiceError, match=r"s3://box/x") as caught:
            store.open("box", "x")
        assert caught.value.status == 403
        with pytest.raises(ServiceError):
            store.bucket_exists("box")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = RemoteStore(RemoteEndpoint("http://127.0.0.1:1", "us-east-1"))
    with pytest.raises(ServiceError, match=r"http://127\.0\.0\.1:1") as caught:
        store.list("box")
    assert caught.value.status == 503


class TestElsewhere:
    def test_its_own_keys_come_first(self) -> None:
        own = {"CLARY_S3_ACCESS_KEY_ID": "a", "CLARY_S3_SECRET_ACCESS_KEY": "b", "CLARY_S3_REGION": "eu-west-1"}
        aws = {"AWS_ACCESS_KEY_ID": "c", "AWS_SECRET_ACCESS_KEY": "d", "AWS_SESSION_TOKEN": "e"}
        place = RemoteEndpoint.from_environment("http://host:9000/", "us-east-1", own | aws)
        assert place == RemoteEndpoint("http://host:9000", "eu-west-1", "a", "b")
        assert RemoteEndpoint.from_environment("http://host", "us-east-1", aws).token == "e"
        assert RemoteEndpoint.from_environment("http://host", "us-east-1", {}).access_key == ""

    @pytest.mark.parametrize("url", ["", "host:9000", "s3://bucket", "ftp://host", "http://", "http://host?x=1"])
    def test_what_is_no_address(self, url: str) -> None:
        with pytest.raises(UsageError, match="no address"):
            RemoteEndpoint.from_environment(url, "us-east-1", {})

    @pytest.mark.parametrize(
        ("given", "missing"),
        [("ACCESS_KEY_ID", "CLARY_S3_SECRET_ACCESS_KEY"), ("SECRET_ACCESS_KEY", "CLARY_S3_ACCESS_KEY_ID")],
    )
    def test_half_a_pair(self, given: str, missing: str) -> None:
        with pytest.raises(UsageError, match=missing):
            RemoteEndpoint.from_environment("http://host", "us-east-1", {f"CLARY_S3_{given}": "x"})
