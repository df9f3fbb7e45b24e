"""CloudWatch Logs: groups, streams and events, in the ways SDK v2, SDK v3 and the AWS CLI read them.

A token of GetLogEvents is a place in the whole stream: ``f/<index of the first event to give>``, ``b/<index of the
event after the last one to give>``. Version 2 of the SDK pages until it gets an empty page and comes back with a time;
version 3 keeps its token and comes back later. Both find exactly what was appended since.
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice
from typing import Any
from zlib import crc32

from clary.control.logs.patterns import compile_pattern
from clary.control.logs.streams import Event, LogStore, Stream, milliseconds
from clary.control.platform import Platform
from clary.control.wire import paging
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__: list[str] = []

# Limits of the API reference: GetLogEvents, PutLogEvents (which counts 26 bytes beside each message).
PAGE_EVENTS = 10_000
PAGE_BYTES = 1_048_576  # of the messages of a page, and of a batch that is put
EVENT_BYTES = 26  # each event counts so many bytes more
GROUPS = 50  # a page of DescribeLogGroups
STREAMS = 50  # and of DescribeLogStreams
SCANNED = 100_000  # events FilterLogEvents looks at before it answers with what it has
OLDEST, NEWEST = -14 * 86_400_000, 2 * 3_600_000  # milliseconds from now that an event put may have

_TOKEN = re.compile(r"([fb])/([0-9]{1,18})")
_ARN = re.compile(r"arn:[^:]*:logs:[^:]*:[^:]*:log-group:([^:]+)")


@operation("logs", "CreateLogGroup")
def create_log_group(platform: Platform, request: Request) -> Answer:
    if platform.logs.has_group(request["logGroupName"]):
        raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
    platform.logs.create_group(request["logGroupName"])
    return {}


@operation("logs", "CreateLogStream")
def create_log_stream(platform: Platform, request: Request) -> Answer:
    group, stream = request["logGroupName"], request["logStreamName"]
    if platform.logs.has_stream(group, stream):
        raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
    platform.logs.create_stream(group, stream)
    return {}


@operation("logs", "PutLogEvents")
def put_log_events(platform: Platform, request: Request) -> Answer:
    """A message of several lines becomes as many events. Events too old or too new are left out, as on AWS."""
    group, stream = request["logGroupName"], request["logStreamName"]
    platform.logs.count(group, stream)  # raises for a stream nobody made
    events = request["logEvents"]
    times = [event["timestamp"] for event in events]
    # The store finds events by time, for which a stream must be in order.
    if times != sorted(times):
        raise _invalid("Log events in a single PutLogEvents request must be in chronological order.")
    size = sum(len(event["message"].encode(errors="replace")) + EVENT_BYTES for event in events)
    if size > PAGE_BYTES:
        raise _invalid(f"Upload too large: {size} bytes exceeds limit of {PAGE_BYTES}")
    now = milliseconds()
    first = sum(time < now + OLDEST for time in times)
    last = sum(time <= now + NEWEST for time in times)
    with closing(platform.logs.writer(group, stream)) as writer:
        writer.append((event["timestamp"], event["message"]) for event in events[first:last])
    rejected = ({"tooOldLogEventEndIndex": first} if first else {}) | (
        {"tooNewLogEventStartIndex": last} if last < len(events) else {}
    )
    answer: dict[str, Any] = {"nextSequenceToken": str(platform.logs.count(group, stream))}
    return answer | ({"rejectedLogEventsInfo": rejected} if rejected else {})


@operation("logs", "DescribeLogGroups")
async def describe_log_groups(platform: Platform, request: Request) -> Answer:
    """A page of groups in the order of their names."""
    return await asyncio.to_thread(_groups, platform, request)


@operation("logs", "DescribeLogStreams")
async def describe_log_streams(platform: Platform, request: Request) -> Answer:
    """A page of streams. A token is the place of the last one, so that new streams neither repeat nor hide others."""
    return await asyncio.to_thread(_streams, platform, _group(request), request)


@operation("logs", "GetLogEvents")
async def get_log_events(platform: Platform, request: Request) -> Answer:
    """Events of one stream with startTime <= time < endTime; backward from the end unless startFromHead or a token."""
    return await asyncio.to_thread(_events, platform.logs, _group(request), request["logStreamName"], request)


@operation("logs", "FilterLogEvents")
async def filter_log_events(platform: Platform, request: Request) -> Answer:
    """Events of many streams that match a pattern, startTime <= time <= endTime, in the order of time."""
    if not request.get("startFromHead", True):
        raise _invalid("FilterLogEvents with startFromHead=false is not supported here")
    if "logStreamNames" in request and "logStreamNamePrefix" in request:
        raise _invalid("Give either logStreamNames or logStreamNamePrefix, not both")
    return await asyncio.to_thread(_filtered, platform.logs, _group(request), request)


def _group(request: Request) -> str:
    """The name of the group, given as such or by ``logGroupIdentifier``, which may be an ARN."""
    given = [request[member] for member in ("logGroupName", "logGroupIdentifier") if member in request]
    if len(given) != 1:
        raise _invalid("Give either logGroupName or logGroupIdentifier")
    return _name(str(given[0]))


def _name(identifier: str) -> str:
    """The name of a group given by it or by its ARN."""
    found = _ARN.fullmatch(identifier)
    return found[1] if found else identifier


def _groups(platform: Platform, request: Request) -> Answer:
    prefix, part = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
    if prefix and part:
        raise _invalid("Give either logGroupNamePrefix or logGroupNamePattern")
    named = {_name(identifier) for identifier in request.get("logGroupIdentifiers") or ()}
    listing = f"groups {prefix} {part} {sorted(named)}"
    after = _groups_place(listing, request["nextToken"]) if "nextToken" in request else ""
    found = [
        group
        for group in platform.logs.groups()
        if group.name > after and group.name.startswith(prefix) and part in group.name
        if not named or group.name in named
    ]
    page = found[: request.get("limit", GROUPS)]
    groups = [
        {
            "logGroupName": group.name,
            "creationTime": group.created,
            "metricFilterCount": 0,
            "arn": _arn(platform, f"{group.name}:*"),
            "logGroupArn": _arn(platform, group.name),
            "logGroupClass": "STANDARD",
        }
        for group in page
    ]
    return {"logGroups": groups} | (
        {"nextToken": paging.encode(listing, page[-1].name)} if len(found) > len(page) else {}
    )


def _streams(platform: Platform, group: str, request: Request) -> Answer:
    prefix = request.get("logStreamNamePrefix", "")
    by_time = request.get("orderBy") == "LastEventTime"
    if by_time and prefix:
        raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    descending = request.get("descending", False)

    def place(stream: Stream) -> list[Any]:
        return [stream.last if by_time else 0, stream.name]

    streams = sorted(platform.logs.streams(group, prefix), key=place, reverse=descending)
    listing = f"streams {group} {prefix} {by_time} {descending}"
    if "nextToken" in request:
        last = _stream_place(listing, request["nextToken"])
        streams = [one for one in streams if (place(one) < last if descending else place(one) > last)]
    page = streams[: request.get("limit", STREAMS)]
    answer: dict[str, Any] = {"logStreams": [_stream(platform, group, one) for one in page]}
    if len(page) == len(streams) or _is_of_version_2(group, request):
        return answer
    return answer | {"nextToken": paging.encode(listing, place(page[-1]))}


def _stream_place(listing: str, token: str) -> list[Any]:
    place = _decoded(listing, token)
    if not (isinstance(place, list) and [type(one) for one in place] == [int, str]):
        raise _invalid("The specified nextToken is invalid.")
    return place


def _groups_place(listing: str, token: str) -> str:
    place = _decoded(listing, token)
    if not isinstance(place, str):
        raise _invalid("The specified nextToken is invalid.")
    return place


def _decoded(listing: str, token: str) -> Any:
    try:
        return paging.decode(listing, token)
    except ValidationException as error:
        raise _invalid("The specified nextToken is invalid.") from error


def _is_of_version_2(group: str, request: Request) -> bool:
    """Whether SDK v2 looks for the streams of a job: a token would have it ask for ever.

    It asks for as many streams as the job has hosts, and while there is a token it asks again without sending it
    (sagemaker/session.py, _flush_log_streams). A job that was deleted and made again under its name has more.
    """
    prefix = request.get("logStreamNamePrefix", "")
    job = prefix.endswith("/") and prefix.count("/") == 1 and group.startswith("/aws/sagemaker/")
    return job and request.get("orderBy") == "LogStreamName" and "limit" in request and "nextToken" not in request


def _stream(platform: Platform, group: str, stream: Stream) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "arn": _arn(platform, f"{group}:log-stream:{stream.name}"),
        "storedBytes": stream.size,
    }
    if stream.last:
        answer |= {"firstEventTimestamp": stream.first, "lastEventTimestamp": stream.last}
        answer |= {"lastIngestionTime": stream.last, "uploadSequenceToken": str(stream.size)}
    return answer


def _arn(platform: Platform, resource: str) -> str:
    return platform.settings.arn(f"log-group:{resource}", service="logs", region=call().region)


def _events(logs: LogStore, group: str, stream: str, request: Request) -> Answer:
    low = logs.index_at(group, stream, request["startTime"]) if "startTime" in request else 0
    high = logs.index_at(group, stream, request["endTime"]) if "endTime" in request else logs.count(group, stream)
    limit, token = request.get("limit", PAGE_EVENTS), request.get("nextToken")
    forward, place = _place(token) if token else (request.get("startFromHead", False), None)
    if forward:
        start = max(low, place or 0)
        events = _fitting(logs.events(group, stream, start, min(limit, high - start)))
        stop = start + len(events)
    else:
        stop = high if place is None else min(high, place)
        start = max(low, stop - limit)
        # Backward: what does not fit the page is cut off at its far end, the oldest.
        events = _fitting(logs.events(group, stream, start, stop - start)[::-1])[::-1]
        start = stop - len(events)
    tokens = {"nextForwardToken": f"f/{stop}", "nextBackwardToken": f"b/{start}"}
    # The end: the same token again says so.
    if token and not events:
        tokens["nextForwardToken" if forward else "nextBackwardToken"] = token
    given = [{"timestamp": e.timestamp, "message": e.message, "ingestionTime": e.timestamp} for e in events]
    return {"events": given, **tokens}


def _place(token: str) -> tuple[bool, int]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise _invalid("The specified nextToken is invalid.")
    return found[1] == "f", int(found[2])


def _fitting(events: list[Event]) -> list[Event]:
    """As many of the first events as fit a page; one at least."""
    room = PAGE_BYTES
    for number, event in enumerate(events):
        room -= len(event.message.encode(errors="replace")) + EVENT_BYTES
        if room < 0 and number:
            return events[:number]
    return events


_Key = tuple[int, str, int]  # an event's place among those of all streams: time, stream, index


def _filtered(logs: LogStore, group: str, request: Request) -> Answer:
    matches = compile_pattern(request.get("filterPattern", ""))
    streams = [one.name for one in logs.streams(group, request.get("logStreamNamePrefix", ""))]
    if "logStreamNames" in request:
        streams = sorted(set(request["logStreamNames"]).intersection(streams))
    after = _after(request.get("nextToken"))
    start = max(request.get("startTime", 0), after[0])
    merged = heapq.merge(*(_scan(logs, group, stream, start, request.get("endTime"), after) for stream in streams))
    found: list[dict[str, Any]] = []
    last: _Key | None = None
    room = PAGE_BYTES
    # A rare pattern in a long log must not keep a request for minutes: an empty page with a token is allowed.
    for key, message in islice(merged, SCANNED):
        if len(found) == request.get("limit", PAGE_EVENTS) or room <= 0:
            break
        last = key
        if matches(message):
            found.append(_filtered_event(key, message))
            room -= len(message) + EVENT_BYTES
    else:
        if next(merged, None) is None:
            last = None
    # searchedLogStreams is empty since 2020 (API reference).
    answer: dict[str, Any] = {"events": found, "searchedLogStreams": []}
    return answer | ({"nextToken": base64.urlsafe_b64encode(json.dumps(last).encode()).decode()} if last else {})


def _scan(
    logs: LogStore, group: str, stream: str, start: int, end: int | None, after: _Key
) -> Iterator[tuple[_Key, str]]:
    """Events of one stream from ``start`` to ``end`` that come after the key ``after``."""
    first = logs.index_at(group, stream, start)
    for begin in count(first, 1000):
        events = logs.events(group, stream, begin, 1000)
        for event in events:
            if end is not None and event.timestamp > end:
                return
            key = (event.timestamp, stream, event.index)
            if key > after:
                yield key, event.message
        if len(events) < 1000:
            return


def _filtered_event(key: _Key, message: str) -> dict[str, Any]:
    timestamp, stream, index = key
    # As long as CloudWatch's, 56 digits, which sort by time; the same event has the same one on every page.
    identity = f"{timestamp:017d}{crc32(stream.encode(errors='replace')):010d}{index:029d}"
    members = {"timestamp": timestamp, "message": message, "ingestionTime": timestamp}
    return {"logStreamName": stream, "eventId": identity, **members}


def _after(token: str | None) -> _Key:
    if token is None:
        return (-1, "", 0)
    try:
        timestamp, stream, index = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError) as error:
        raise _invalid("The specified nextToken is invalid.") from error
    if not (isinstance(timestamp, int) and isinstance(stream, str) and isinstance(index, int)):
        raise _invalid("The specified nextToken is invalid.")
    return timestamp, stream, index


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)
