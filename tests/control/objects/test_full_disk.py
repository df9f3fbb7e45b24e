"""S3 on a full disk: 507 wherever it is met, not an InternalError that SDKs send again."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from clary.control.objects.local import LocalStore


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "Auf dem Gerät ist kein Speicherplatz mehr verfügbar")


@pytest.mark.parametrize("step", ["the body", "the name", "a bucket", "an upload"])
def test_full_disk_is_said(
    step: str,
    s3: Any,
    store: LocalStore,
    refused: Callable[..., tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    s3.create_bucket(Bucket="pets")
    s3.put_object(Bucket="pets", Key="a", Body=b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*{"the body": ("os.write", full), "the name": ("os.rename", full)}.get(step, ("os.mkdir", full)))
        patch.setattr("os.replace", full) if step == "the name" else None
        call = {
            "a bucket": lambda: refused(s3.create_bucket, Bucket="more"),
            "an upload": lambda: refused(s3.create_multipart_upload, Bucket="pets", Key="a"),
        }.get(step, lambda: refused(s3.put_object, Bucket="pets", Key="a", Body=b"new"))
        assert call() == ("StorageFull", 507)
    assert s3.get_object(Bucket="pets", Key="a")["Body"].read() == b"old"
    assert os.listdir(store.staging) == []
    assert "Traceback" not in caplog.text
