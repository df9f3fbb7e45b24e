"""``clary logs NAME``: what a job or an endpoint printed."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.platform_options import Home, folder
from clary.errors import UsageError

if TYPE_CHECKING:
    from clary.cli.jobs import Kind
    from clary.client.connection import Connection

POLL = 0.5  # seconds between looks while a job goes on
_ENDED = ("Completed", "Failed", "Stopped")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


def register(app: typer.Typer) -> None:
    app.command("logs")(logs)


def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the job or the endpoint.")],
    home: Home = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it has ended.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Only what is younger: 90s, 10m, 2h, or a time as 2026-01-31T12:00.")
    ] = None,
    endpoint: Annotated[bool, typer.Option("--endpoint", help="The endpoint, where a job is called so too.")] = False,
) -> None:
    """Print the log of a training or processing job, or of an endpoint; why it failed goes to standard error."""
    from clary.cli.output import note
    from clary.client.connection import connect

    start = _milliseconds(since, time.time()) if since else None
    with connect(folder(home)) as connection:
        log = _log_of(connection, name, endpoint)
        reader = Reader(connection, log, start)
        while True:
            # The status before the lines: all is logged by the time a job is said to have ended, so nothing is missed.
            ended, failure = log.state()
            for message in reader.fresh():
                print(message)
            if ended or not follow:
                break
            time.sleep(POLL)
    if failure:
        note(f"{name} failed: {failure}")


def _log_of(connection: Connection, name: str, endpoint: bool) -> JobLog | EndpointLog:
    """Raises UsageError where neither a job nor an endpoint, of now or before, is called so."""
    from clary.cli.jobs import known

    of_endpoint = EndpointLog(connection, name)
    if endpoint:
        if not of_endpoint.exists():
            raise UsageError(f"no endpoint is called `{name}`", hint="`clary endpoints` lists them")
        return of_endpoint
    try:
        return JobLog(connection, known(connection, name)[0], name)
    except UsageError:
        if of_endpoint.exists():
            return of_endpoint
        raise


@dataclass(frozen=True, slots=True)
class JobLog:
    """The log of a job: one stream for each host."""

    connection: Connection
    kind: Kind
    name: str

    @property
    def group(self) -> str:
        return self.kind.log_group

    def streams(self) -> dict[str, str]:
        """Names of streams, and what stands before the lines of each where there are several."""
        streams = _streams(self.connection, self.group, logStreamNamePrefix=f"{self.name}/", orderBy="LogStreamName")
        return {(name := stream["logStreamName"]): name.partition("/")[2] for stream in streams}

    def state(self) -> tuple[bool, str]:
        """Whether no more lines will come, and why it failed."""
        described = self.kind.call(self.connection, "Describe", self.name)
        return described[f"{self.kind.word}Status"] in _ENDED, described.get("FailureReason", "")


@dataclass(frozen=True, slots=True)
class EndpointLog:
    """The log of an endpoint, which outlives it: a stream for each worker that a variant has had."""

    connection: Connection
    name: str

    @property
    def group(self) -> str:
        return f"/aws/sagemaker/Endpoints/{self.name}"

    def exists(self) -> bool:
        return bool(self.streams()) or self._described() is not None

    def streams(self) -> dict[str, str]:
        """As of a job; the oldest first, for their names are drawn by chance."""
        streams = _streams(self.connection, self.group)
        ordered = sorted(streams, key=lambda stream: float(stream["creationTime"]))
        return {stream["logStreamName"]: stream["logStreamName"] for stream in ordered}

    def state(self) -> tuple[bool, str]:
        """As of a job; an endpoint that was deleted has ended."""
        described = self._described()
        if described is None:
            return True, ""
        return described["EndpointStatus"] == "Failed", described.get("FailureReason", "")

    def _described(self) -> dict[str, Any] | None:
        try:
            return self.connection.call("sagemaker", "DescribeEndpoint", EndpointName=self.name)
        except UsageError as error:
            if "Could not find" not in error.what:
                raise
            return None


def _streams(connection: Connection, group: str, **wanted: str) -> list[dict[str, Any]]:
    """None where there is no such group: nothing was printed yet, or `clary clean` has removed it."""
    try:
        return list(connection.pages("logs", "DescribeLogStreams", "logStreams", logGroupName=group, **wanted))
    except UsageError as error:
        if "does not exist" not in error.what:
            raise
        return []


class Reader:
    """The streams of a log, each from its start or from ``start`` (epoch milliseconds) on, each line once."""

    def __init__(self, connection: Connection, log: JobLog | EndpointLog, start: int | None) -> None:
        self._connection = connection
        self._log = log
        self._first: dict[str, Any] = {"startTime": start} if start is not None else {}
        self._tokens: dict[str, str] = {}

    def fresh(self) -> Iterator[str]:
        """Messages that were not given before; of several streams one after the other, named in front."""
        streams = self._log.streams()
        for stream, label in streams.items():
            for message in self._events(stream):
                yield f"{label}: {message}" if len(streams) > 1 else message

    def _events(self, stream: str) -> Iterator[str]:
        while True:
            token = self._tokens.get(stream)
            place = {"nextToken": token} if token else {}
            page = self._connection.call(
                "logs",
                "GetLogEvents",
                logGroupName=self._log.group,
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
        hint = "use an age as 90s, 10m, 2h, 1d or a time as 2026-01-31T12:00"
        raise UsageError(f"`{since}` is no time", where="--since", hint=hint) from None
    return max(0, round(moment * 1000))
