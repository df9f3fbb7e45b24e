"""CloudWatch Logs, as boto3, SDK v2 and SDK v3 read them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from clary.control.platform import Platform

Refusal = Callable[..., tuple[str, str]]
GROUP = "/aws/sagemaker/TrainingJobs"
STREAM = "job/algo-1"
ARN = "arn:aws:logs:eu-west-1:000000000000:log-group:"


@pytest.fixture
def put(platform: Platform) -> Callable[..., None]:
    """``put((timestamp, message), ..., stream=STREAM, group=GROUP)``: as a job's monitor writes."""

    def put(*events: tuple[int, str], stream: str = STREAM, group: str = GROUP) -> None:
        with closing(platform.logs.writer(group, stream)) as writer:
            writer.append(events)

    return put


@pytest.fixture
def get(logs: Any) -> Callable[..., dict[str, Any]]:
    """``get(limit=3)``: one page of GetLogEvents of the stream."""
    return lambda **more: dict(logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, **more))


Put = Callable[..., None]
Get = Callable[..., dict[str, Any]]


def _messages(page: dict[str, Any]) -> list[str]:
    return [event["message"] for event in page["events"]]


def _numbered(count: int, start: int = 0) -> list[tuple[int, str]]:
    return [(1000 + number, str(number)) for number in range(start, start + count)]


def _names(numbers: range) -> list[str]:
    return [str(number) for number in numbers]


class TestGetLogEvents:
    def test_an_event(self, put: Put, get: Get) -> None:
        put((1234567890123, "Größe 🐈"))
        page = get()
        stamp = 1234567890123
        assert page["events"] == [{"timestamp": stamp, "message": "Größe 🐈", "ingestionTime": stamp}]
        assert (page["nextForwardToken"], page["nextBackwardToken"]) == ("f/1", "b/0")

    def test_forward_until_an_empty_page(self, put: Put, get: Get) -> None:
        put(*_numbered(7))
        page, found = get(startFromHead=True, limit=3), []
        while page["events"]:
            found += _messages(page)
            token = page["nextForwardToken"]
            page = get(startFromHead=True, limit=3, nextToken=token)
        assert found == _names(range(7))
        assert page["nextForwardToken"] == token
        put(*_numbered(2, 7))
        assert _messages(get(startFromHead=True, nextToken=token)) == ["7", "8"]

    def test_the_latest_first_and_then_backward(self, put: Put, get: Get) -> None:
        put(*_numbered(7))
        page = get(limit=3)
        assert _messages(page) == ["4", "5", "6"]
        assert get(nextToken=page["nextForwardToken"])["events"] == []
        page = get(limit=3, nextToken=page["nextBackwardToken"])
        assert _messages(page) == ["1", "2", "3"]
        assert _messages(get(limit=3, nextToken=page["nextForwardToken"])) == ["4", "5", "6"]
        page = get(limit=3, nextToken=page["nextBackwardToken"])
        assert _messages(page) == ["0"]
        end = get(limit=3, nextToken=page["nextBackwardToken"])
        assert (end["events"], end["nextBackwardToken"]) == ([], page["nextBackwardToken"])

    @pytest.mark.parametrize("head", [False, True])
    def test_times_start_inclusive_end_exclusive(self, put: Put, get: Get, head: bool) -> None:
        put((10, "a"), (20, "b"), (20, "c"), (30, "d"))
        for window, wanted in (
            ({"startTime": 20}, ["b", "c", "d"]),
            ({"startTime": 21}, ["d"]),
            ({"endTime": 20}, ["a"]),
            ({"endTime": 21}, ["a", "b", "c"]),
            ({"startTime": 20, "endTime": 30}, ["b", "c"]),
            ({"startTime": 31}, []),
            ({"startTime": 30, "endTime": 20}, []),
        ):
            assert _messages(get(startFromHead=head, **window)) == wanted
        assert _messages(get(startFromHead=head, startTime=20, limit=1)) == (["b"] if head else ["d"])
        assert _messages(get(startFromHead=head, endTime=30, limit=1)) == (["a"] if head else ["c"])

    def test_a_token_and_a_window(self, put: Put, get: Get) -> None:
        put(*_numbered(6))
        assert _messages(get(nextToken="f/1", startTime=1003)) == ["3", "4", "5"]
        assert _messages(get(nextToken="f/4", endTime=1003)) == []
        assert _messages(get(nextToken="b/5", startTime=1003)) == ["3", "4"]
        end = get(nextToken="f/1", startTime=9999)
        assert (end["events"], end["nextForwardToken"]) == ([], "f/1")

    def test_an_empty_stream(self, platform: Platform, get: Get, put: Put) -> None:
        platform.logs.create_group(GROUP)
        platform.logs.create_stream(GROUP, STREAM)
        for head in (False, True):
            page = get(startFromHead=head)
            assert (page["events"], page["nextForwardToken"]) == ([], "f/0")
        put((5, "first"))
        assert _messages(get(nextToken="f/0")) == ["first"]

    def test_a_page_holds_a_megabyte_at_most(self, put: Put, get: Get) -> None:
        put(*((n, str(n % 10) * 200_000) for n in range(12)))
        page = get(startFromHead=True)
        assert len(page["events"]) == 5
        assert len(get(startFromHead=True, nextToken=page["nextForwardToken"])["events"]) == 5
        last = get()
        assert [message[0] for message in _messages(last)] == ["7", "8", "9", "0", "1"]
        assert [message[0] for message in _messages(get(nextToken=last["nextBackwardToken"]))] == [
            "2",
            "3",
            "4",
            "5",
            "6",
        ]

    @pytest.mark.parametrize("token", ["x", "f/", "f/-1", "g/5", "f/1x", "f/" + "9" * 30, "b/٣"])
    def test_a_wrong_token(self, put: Put, get: Get, refusal: Refusal, token: str) -> None:
        put((1, "x"))
        assert refusal(get, nextToken=token)[0] == "InvalidParameterException"

    def test_a_token_beyond_the_end(self, put: Put, get: Get) -> None:
        put((1, "x"))
        page = get(nextToken="f/99")
        assert (page["events"], page["nextForwardToken"]) == ([], "f/99")

    def test_missing(self, logs: Any, put: Put, refusal: Refusal) -> None:
        put((1, "x"))
        for group, stream in ((GROUP, "other"), ("/other", STREAM)):
            code, _ = refusal(logs.get_log_events, logGroupName=group, logStreamName=stream)
            assert code == "ResourceNotFoundException"

    def test_the_group_by_its_arn(self, logs: Any, put: Put, refusal: Refusal) -> None:
        put((1, "x"))
        for identifier in (GROUP, ARN + GROUP):
            found = logs.get_log_events(logGroupIdentifier=identifier, logStreamName=STREAM)
            assert _messages(found) == ["x"]
        assert refusal(logs.get_log_events, logStreamName=STREAM)[0] == "InvalidParameterException"


class _Version2:
    """SDK v2's loop (sagemaker/session.py and logs.py): a time and a count of what was printed at it."""

    def __init__(self, logs: Any) -> None:
        self.logs = logs
        self.positions: dict[str, tuple[int, int]] = {}
        self.printed: list[str] = []

    def round(self) -> None:
        found = self.logs.describe_log_streams(
            logGroupName=GROUP, logStreamNamePrefix="job/", orderBy="LogStreamName", limit=1
        )
        assert "nextToken" not in found
        for stream in found["logStreams"]:
            name = stream["logStreamName"]
            timestamp, skip = self.positions.get(name, (0, 0))
            for event in list(self._events(name, timestamp, skip)):
                self.printed.append(event["message"])
                last, count = self.positions.get(name, (0, 0))
                at = event["timestamp"]
                self.positions[name] = (last, count + 1) if at == last else (at, 1)

    def _events(self, name: str, start: int, skip: int) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            page = self.logs.get_log_events(
                logGroupName=GROUP, logStreamName=name, startTime=start, startFromHead=True, **token
            )
            token = {"nextToken": page["nextForwardToken"]}
            events = page["events"]
            if not events:
                return
            yield from events[skip:]
            skip = max(0, skip - len(events))


class _Version3:
    """SDK v3's loop (sagemaker/core/utils/logs.py): the last token, never a time."""

    def __init__(self, logs: Any) -> None:
        self.logs = logs
        self.token: dict[str, str] = {}
        self.printed: list[str] = []

    def round(self) -> None:
        pages = self.logs.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP, logStreamNamePrefix="job", orderBy="LogStreamName"
        )
        for stream in [stream for page in pages for stream in page["logStreams"]]:
            while True:
                page = self.logs.get_log_events(
                    logGroupName=GROUP, logStreamName=stream["logStreamName"], startFromHead=True, **self.token
                )
                if self.token.get("nextToken") == page["nextForwardToken"] or not page["events"]:
                    break
                self.token = {"nextToken": page["nextForwardToken"]}
                self.printed += _messages(page)


@pytest.mark.parametrize("version", [_Version2, _Version3])
@pytest.mark.parametrize("seed", range(3))
def test_an_sdk_prints_every_line_once(logs: Any, put: Put, version: Any, seed: int) -> None:
    """Lines come in bursts of one and the same millisecond, between the rounds of the client's loop."""
    chance, client = random.Random(seed), version(logs)
    written: list[str] = []
    now = 1_700_000_000_000
    for _ in range(12):
        for _ in range(chance.choice([0, 1, 2, 40])):
            now += chance.choice([0, 0, 0, 1, 900])
            written.append(f"line {len(written)}")
            put((now, written[-1]))
        if written:
            client.round()
    client.round()
    assert client.printed == written
    client.round()
    assert client.printed == written


class TestDescribeLogStreams:
    def test_members(self, logs: Any, put: Put) -> None:
        put((1000, "a"), (2000, "b"))
        (stream,) = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix="job/")["logStreams"]
        assert stream["logStreamName"] == STREAM
        assert stream["arn"] == f"{ARN}{GROUP}:log-stream:{STREAM}"
        assert (stream["firstEventTimestamp"], stream["lastEventTimestamp"]) == (1000, 2000)

    def test_orders_and_limits(self, logs: Any, put: Put, refusal: Refusal) -> None:
        for name, at in (("b", 30), ("a", 20), ("c", 10), ("b/c", 5)):
            put((at, "x"), stream=name)

        def names(**request: Any) -> list[str]:
            found = logs.describe_log_streams(logGroupName=GROUP, **request)
            return [stream["logStreamName"] for stream in found["logStreams"]]

        assert names() == ["a", "b", "b/c", "c"]
        assert names(descending=True, limit=2) == ["c", "b/c"]
        assert names(orderBy="LastEventTime") == ["b/c", "c", "a", "b"]
        assert names(orderBy="LastEventTime", descending=True, limit=1) == ["b"]
        assert names(logStreamNamePrefix="b") == ["b", "b/c"]
        assert names(logStreamNamePrefix="z") == []
        wrong = ("InvalidParameterException", "The specified nextToken is invalid.")
        assert refusal(logs.describe_log_streams, logGroupName=GROUP, nextToken="whatever") == wrong
        token = logs.describe_log_streams(logGroupName=GROUP, limit=1)["nextToken"]
        assert refusal(logs.describe_log_streams, logGroupName=GROUP, descending=True, nextToken=token) == wrong
        both = {"orderBy": "LastEventTime", "logStreamNamePrefix": "b"}
        assert refusal(logs.describe_log_streams, logGroupName=GROUP, **both)[0] == "InvalidParameterException"

    @pytest.mark.parametrize("order", [{}, {"descending": True}, {"orderBy": "LastEventTime"}])
    @pytest.mark.parametrize("limit", [None, 7])
    def test_pages_give_every_stream_once(self, order: Any, limit: int | None, logs: Any, put: Put) -> None:
        for number in range(60):
            put((1 + number // 3, "x"), stream=f"job/algo-{number:02d}")
        wanted = {"logGroupName": GROUP, **order, **({"logStreamNamePrefix": "job/"} if "orderBy" not in order else {})}
        pages = list(
            logs.get_paginator("describe_log_streams").paginate(**wanted, PaginationConfig={"PageSize": limit})
        )
        names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
        assert names == sorted((f"job/algo-{n:02d}" for n in range(60)), reverse=bool(order.get("descending")))
        assert [len(page["logStreams"]) for page in pages] == ([50, 10] if limit is None else [7] * 8 + [4])

    def test_streams_that_come_between_two_pages(self, logs: Any, put: Put) -> None:
        for name in "bdf":
            put((1, "x"), stream=name)
        first = logs.describe_log_streams(logGroupName=GROUP, limit=2)
        for name in "ce":
            put((1, "x"), stream=name)
        second = logs.describe_log_streams(logGroupName=GROUP, limit=2, nextToken=first["nextToken"])
        assert [[one["logStreamName"] for one in page["logStreams"]] for page in (first, second)] == [
            ["b", "d"],
            ["e", "f"],
        ]
        assert "nextToken" not in second

    def test_version_2_of_the_sdk_gets_no_token(self, logs: Any, put: Put) -> None:
        """It would ask for ever: it looks for a token and does not send it."""
        for number in range(3):
            put((number, "x"), stream=f"job/algo-{number}")
        asked = {"logGroupName": GROUP, "logStreamNamePrefix": "job/", "orderBy": "LogStreamName", "limit": 1}
        found = logs.describe_log_streams(**asked)
        assert [one["logStreamName"] for one in found["logStreams"]] == ["job/algo-0"]
        assert "nextToken" not in found
        # Who asks in any other way gets one.
        for other in ({"logStreamNamePrefix": "job"}, {"orderBy": None}):
            members = {name: value for name, value in {**asked, **other}.items() if value is not None}
            assert "nextToken" in logs.describe_log_streams(**members)

    def test_missing(self, logs: Any, refusal: Refusal) -> None:
        assert refusal(logs.describe_log_streams, logGroupName=GROUP)[0] == "ResourceNotFoundException"


class TestOwnLogs:
    """Groups and streams a program makes for itself."""

    def test_from_a_group_to_its_events(self, logs: Any) -> None:
        now = int(time.time() * 1000)
        logs.create_log_group(logGroupName="mine")
        logs.create_log_stream(logGroupName="mine", logStreamName="a/b")
        events = [{"timestamp": now - 1000, "message": "one"}, {"timestamp": now, "message": "two"}]
        assert "rejectedLogEventsInfo" not in logs.put_log_events(
            logGroupName="mine", logStreamName="a/b", logEvents=events
        )
        found = logs.get_log_events(logGroupName="mine", logStreamName="a/b")["events"]
        assert [(event["timestamp"], event["message"]) for event in found] == [(now - 1000, "one"), (now, "two")]

    def test_twice_and_missing(self, logs: Any, refusal: Refusal) -> None:
        stream = {"logGroupName": "mine", "logStreamName": "s"}
        event = [{"timestamp": int(time.time() * 1000), "message": "x"}]
        assert refusal(logs.create_log_stream, **stream)[0] == "ResourceNotFoundException"
        logs.create_log_group(logGroupName="mine")
        assert refusal(logs.create_log_group, logGroupName="mine")[0] == "ResourceAlreadyExistsException"
        assert refusal(logs.put_log_events, logEvents=event, **stream)[0] == "ResourceNotFoundException"
        logs.create_log_stream(**stream)
        assert refusal(logs.create_log_stream, **stream)[0] == "ResourceAlreadyExistsException"

    def test_events_too_old_or_too_new(self, logs: Any, platform: Platform) -> None:
        platform.logs.create_group("mine")
        platform.logs.create_stream("mine", "s")
        now, day = int(time.time() * 1000), 86_400_000
        times = [now - 20 * day, now - 15 * day, now - day, now, now + day]
        events = [{"timestamp": at, "message": str(number)} for number, at in enumerate(times)]
        answer = logs.put_log_events(logGroupName="mine", logStreamName="s", logEvents=events)
        assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 4}
        assert _messages(logs.get_log_events(logGroupName="mine", logStreamName="s")) == ["2", "3"]

    def test_a_batch_that_is_refused(self, logs: Any, platform: Platform, refusal: Refusal) -> None:
        platform.logs.create_group("mine")
        platform.logs.create_stream("mine", "s")
        now = int(time.time() * 1000)
        for events in (
            [{"timestamp": now, "message": "b"}, {"timestamp": now - 1, "message": "a"}],
            [{"timestamp": now, "message": "x" * 250_000}] * 5,
        ):
            code, _ = refusal(logs.put_log_events, logGroupName="mine", logStreamName="s", logEvents=events)
            assert code == "InvalidParameterException"
        assert platform.logs.count("mine", "s") == 0

    def test_groups_are_listed(self, logs: Any) -> None:
        for number in range(5):
            logs.create_log_group(logGroupName=f"/aws/g{number}")
        logs.create_log_group(logGroupName="other")
        pages = logs.get_paginator("describe_log_groups").paginate(PaginationConfig={"PageSize": 2})
        names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
        assert names == [*(f"/aws/g{number}" for number in range(5)), "other"]
        (group,) = logs.describe_log_groups(logGroupNamePrefix="/aws/g3")["logGroups"]
        assert group["arn"] == f"{ARN}/aws/g3:*"
        assert abs(group["creationTime"] - time.time() * 1000) < 60_000
        assert len(logs.describe_log_groups(logGroupNamePattern="the")["logGroups"]) == 1
        identifiers = ["other", f"{ARN}/aws/g1", "absent"]
        found = logs.describe_log_groups(logGroupIdentifiers=identifiers)["logGroups"]
        assert [group["logGroupName"] for group in found] == ["/aws/g1", "other"]

    def test_groups_that_are_asked_for_wrongly(self, logs: Any, refusal: Refusal) -> None:
        for name in "ab":
            logs.create_log_group(logGroupName=name)
        token = logs.describe_log_groups(limit=1)["nextToken"]
        wrong = ("InvalidParameterException", "The specified nextToken is invalid.")
        assert refusal(logs.describe_log_groups, nextToken="a") == wrong
        assert refusal(logs.describe_log_groups, nextToken=token, logGroupNamePrefix="a") == wrong
        both = {"logGroupNamePrefix": "a", "logGroupNamePattern": "a"}
        assert refusal(logs.describe_log_groups, **both)[0] == "InvalidParameterException"

    def test_what_is_missing_is_named(self, logs: Any, refusal: Refusal) -> None:
        logs.create_log_group(logGroupName="mine")
        group = refusal(logs.get_log_events, logGroupName="absent", logStreamName="s")
        assert group == ("ResourceNotFoundException", "The specified log group does not exist: absent")
        stream = refusal(logs.get_log_events, logGroupName="mine", logStreamName="s")
        assert stream == ("ResourceNotFoundException", "The specified log stream does not exist: s")


class TestFilterLogEvents:
    def _all(self, logs: Any, **request: Any) -> list[str]:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP, **request)
        return [event["message"] for page in pages for event in page["events"]]

    def test_streams_in_the_order_of_time(self, logs: Any, put: Put) -> None:
        put((10, "a1"), (30, "a2"), stream="a")
        put((10, "b1"), (20, "b2"), (40, "b3"), stream="b")
        for limit in (1, 2, 3, 100):
            assert self._all(logs, PaginationConfig={"PageSize": limit}) == ["a1", "b1", "b2", "a2", "b3"]
        (event,) = logs.filter_log_events(logGroupName=GROUP, limit=1)["events"]
        assert (event["logStreamName"], event["timestamp"], event["ingestionTime"]) == ("a", 10, 10)
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP)
        assert len({event["eventId"] for page in pages for event in page["events"]}) == 5

    def test_filters(self, logs: Any, put: Put, refusal: Refusal) -> None:
        put((10, "ERROR a"), (20, "fine"), (30, "ERROR b"), stream="x/1")
        put((15, "ERROR c"), stream="x/2")
        put((15, "ERROR d"), stream="y")
        assert self._all(logs, filterPattern="ERROR") == ["ERROR a", "ERROR c", "ERROR d", "ERROR b"]
        assert self._all(logs, filterPattern='"ERROR b"') == ["ERROR b"]
        assert self._all(logs, logStreamNamePrefix="x/", startTime=15) == ["ERROR c", "fine", "ERROR b"]
        assert self._all(logs, logStreamNames=["y", "x/2", "unknown"]) == ["ERROR c", "ERROR d"]
        assert self._all(logs, startTime=15, endTime=20) == ["ERROR c", "ERROR d", "fine"]
        assert self._all(logs, filterPattern="nothing") == []
        both = {"logStreamNames": ["y"], "logStreamNamePrefix": "x"}
        assert refusal(logs.filter_log_events, logGroupName=GROUP, **both)[0] == "InvalidParameterException"
        wrong = refusal(logs.filter_log_events, logGroupName=GROUP, filterPattern="{ $.a = 1 }")
        assert wrong[0] == "InvalidParameterException"

    def test_what_is_appended_between_pages_is_found(self, logs: Any, put: Put) -> None:
        put(*_numbered(3))
        page = logs.filter_log_events(logGroupName=GROUP, limit=2)
        put(*_numbered(2, 3))
        rest = logs.filter_log_events(logGroupName=GROUP, nextToken=page["nextToken"])
        assert _messages(page) + _messages(rest) == _names(range(5))
        assert "nextToken" not in rest

    def test_a_long_search_comes_in_parts(self, logs: Any, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("clary.control.resources.logs.SCANNED", 1000)
        put(*_numbered(3500), (9999, "needle"), *((10_000, "hay") for _ in range(200)))
        assert "nextToken" in logs.filter_log_events(logGroupName=GROUP, filterPattern="needle")
        assert self._all(logs, filterPattern="needle") == ["needle"]

    @pytest.mark.parametrize("token", ["x", "bnVsbA==", "WzEsMl0=", "WyJhIiwxLDJd"])
    def test_a_wrong_token(self, logs: Any, put: Put, refusal: Refusal, token: str) -> None:
        put((1, "x"))
        code, _ = refusal(logs.filter_log_events, logGroupName=GROUP, nextToken=token)
        assert code == "InvalidParameterException"

    def test_no_group(self, logs: Any, refusal: Refusal) -> None:
        code, _ = refusal(logs.filter_log_events, logGroupName="/aws/sagemaker/Endpoints/x", logStreamNamePrefix="All")
        assert code == "ResourceNotFoundException"
