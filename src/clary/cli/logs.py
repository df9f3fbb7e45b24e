"""``clary logs JOB``: what a job printed."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.platform_options import Home, folder

if TYPE_CHECKING:
    from clary.client.connection import Connection

POLL = 0.5  # seconds between looks while a job goes on
_ENDED = ("Completed", "Failed", "Stopped")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Name of the job.")],
    home: Home = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Only what is younger: 90s, 10m, 2h, or a time as 2026-01-31T12:00.")
    ] = None,
) -> None:
    """Print the log of a training or processing job; why it failed goes to standard error."""
    from clary.cli.jobs import known
    from clary.cli.output import note
    from clary.client.connection import connect

    start = _milliseconds(since, time.time()) if since else None
    with connect(folder(home)) as connection:
        kind, described = known(connection, job)
        reader = Reader(connection, kind.log_group, job, start)
        while True:
            for message in reader.fresh():
                print(message)
            if described[f"{kind.word}Status"] in _ENDED or not follow:
                break
            time.sleep(POLL)
            # The status before the lines: all is logged by the time a job is said to have ended, so nothing is missed.
            described = kind.call(connection, "Describe", job)
    if described.get("FailureReason"):
        note(f"{job} failed: {described['FailureReason']}")


class Reader:
    """The log streams of a job, each from its start or from ``start`` (epoch milliseconds) on, each line once."""

    def __init__(self, connection: Connection, group: str, job: str, start: int | None) -> None:
        self._connection = connection
        self._group = group
        self._job = job
        self._first: dict[str, Any] = {"startTime": start} if start is not None else {}
        self._tokens: dict[str, str] = {}

    def fresh(self) -> Iterator[str]:
        """Messages that were not given before; of several streams one after the other, named in front."""
        streams = self._streams()
        for stream in streams:
            for message in self._events(stream):
                yield f"{stream.partition('/')[2]}: {message}" if len(streams) > 1 else message

    def _streams(self) -> list[str]:
        wanted = {"logGroupName": self._group, "logStreamNamePrefix": f"{self._job}/", "orderBy": "LogStreamName"}
        streams = self._connection.pages("logs", "DescribeLogStreams", "logStreams", **wanted)
        return [stream["logStreamName"] for stream in streams]

    def _events(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            place = {"nextToken": token} if token else {}
            page = self._connection.call(
                "logs",
                "GetLogEvents",
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=True,
                **self._first,
                **place,
            )
            yield from (event["message"] for event in page["events"])
            # A place in the whole stream: asked with again, it gives what was appended since.
            self._tokens[stream] = page["nextForwardToken"]
            if not page["events"]:
                return


def _milliseconds(since: str, now: float) -> int:
    """Epoch milliseconds of an age (``10m``) or a local time. Raises UsageError for anything else."""
    age = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", since.strip())
    try:
        moment = now - float(age[1]) * _UNITS[age[2]] if age else datetime.fromisoformat(since).timestamp()
        # A number of days that is large enough is infinite as a float.
        if not math.isfinite(moment):
            raise ValueError
    except (ValueError, OverflowError):
        from clary.errors import UsageError

        hint = "use an age as 90s, 10m, 2h, 1d or a time as 2026-01-31T12:00"
        raise UsageError(f"`{since}` is no time", where="--since", hint=hint) from None
    return max(0, round(moment * 1000))
