"""A disk that is full, as clients of the API see it: said once, with a status that no SDK tries again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import event

from clary.control.logs.streams import LogStore, LogWriter, milliseconds
from clary.control.platform import Platform


@pytest.fixture
def full_store(platform: Platform) -> None:
    """The platform's database may not grow any more: SQLite's own limit, and its own error."""

    @event.listens_for(platform.store._engine, "checkout")
    def no_more(connection: Any, *_: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.fixture(autouse=True)
def quiet_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A full disk is no fault of ours: the log says it in a line, which nobody has to look into."""
    yield
    (said,) = (record for record in caplog.get_records("call") if record.levelname in ("WARNING", "ERROR"))
    assert "no space is left" in said.getMessage()
    assert not said.exc_info


def refused(call: Callable[..., Any], **request: Any) -> tuple[int, str, str, int]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    answer = caught.value.response
    told, error = answer["ResponseMetadata"], answer["Error"]
    return told["HTTPStatusCode"], error["Code"], error["Message"], told["RetryAttempts"]


SAID = "No space is left on this machine's disk: nothing was stored; free some space and send it again"


def test_log_events(logs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.create_log_group(logGroupName="group")
    logs.create_log_stream(logGroupName="group", logStreamName="stream")
    # Whose every write is refused as a full disk's is (full(4)).
    monkeypatch.setattr(LogStore, "writer", lambda store, group, stream: LogWriter(Path("/dev/full")))
    events = [{"timestamp": milliseconds(), "message": "x"}]
    found = refused(logs.put_log_events, logGroupName="group", logStreamName="stream", logEvents=events)
    assert found == (507, "StorageFull", SAID, 0)


def test_metric_data(full_store: None, cloudwatch: Any) -> None:
    data = [{"MetricName": f"metric-{n}-{'x' * 200}", "Value": 1.0} for n in range(500)]
    found = refused(cloudwatch.put_metric_data, Namespace="mine", MetricData=data)
    assert found == (507, "StorageFull", SAID, 0)


def test_a_model(platform: Platform, full_store: None, sagemaker: Any, put_object: Callable[[str], str]) -> None:
    names = {f"NAME_{n}": os.urandom(400).hex() for n in range(50)}
    container = {"Image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/image-classification:1", "Environment": names}
    container["ModelDataUrl"] = put_object("model.tar.gz")
    role = "arn:aws:iam::000000000000:role/ClaryRole"
    found = refused(sagemaker.create_model, ModelName="m", ExecutionRoleArn=role, PrimaryContainer=container)
    assert found == (507, "StorageFull", SAID, 0)
    assert platform.store.get("model", "m") is None
