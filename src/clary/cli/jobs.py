"""``clary jobs``: the platform's jobs, of every kind."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.platform_options import Home, Json, folder
from clary.errors import UsageError
from clary.wording import clock, similar_names

if TYPE_CHECKING:
    from clary.client.connection import Connection

COLUMNS = ("name", "status", "algorithm", "created", "duration", "remarks")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job. ``word`` is its name in operations and members (``TrainingJob``), ``image`` the path of members
    to what it runs."""

    word: str
    image: tuple[str, str]

    @property
    def name(self) -> str:
        return self.word.removesuffix("Job").lower()

    @property
    def log_group(self) -> str:
        return f"/aws/sagemaker/{self.word}s"

    def summaries(self, connection: Connection, **wanted: Any) -> Any:
        """The list's summaries, page by page."""
        return connection.pages("sagemaker", f"List{self.word}s", f"{self.word}Summaries", **wanted)

    def call(self, connection: Connection, verb: str, job: str) -> dict[str, Any]:
        """The answer of the operation ``verb`` (Describe, Stop)."""
        return connection.call("sagemaker", f"{verb}{self.word}", **{f"{self.word}Name": job})

    def time(self, job: Mapping[str, Any], what: str) -> float | None:
        """TrainingStartTime, say, where ``what`` is Start; None where the job has none."""
        found: float | None = job.get(f"{self.word.removesuffix('Job')}{what}Time")
        return found


KINDS = (
    Kind("TrainingJob", ("AlgorithmSpecification", "TrainingImage")),
    Kind("ProcessingJob", ("AppSpecification", "ImageUri")),
)


def register(app: typer.Typer) -> None:
    app.command("jobs")(jobs)


def jobs(
    home: Home = None,
    status: Annotated[str | None, typer.Option(help="InProgress, Completed, Failed, Stopping or Stopped only.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 20,
    json: Json = False,
) -> None:
    """List training and processing jobs, the newest first, with what is to be said of them: why one failed, what was
    substituted."""
    from clary.cli.output import emit, note, table
    from clary.client.connection import connect

    # 100 is the most that the API gives at a time; pages() asks for more.
    wanted = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": min(limit, 100)}
    wanted |= {"StatusEquals": status} if status else {}
    with connect(folder(home)) as connection:
        # Any of a kind's may be among the newest of all.
        listed = [(kind, one) for kind in KINDS for one in islice(kind.summaries(connection, **wanted), limit)]
        listed.sort(key=lambda pair: pair[1]["CreationTime"], reverse=True)
        # Lists have no reason and no image: one more call a job, half a millisecond (docs/benchmarks.md).
        described = [(kind, kind.call(connection, "Describe", one[f"{kind.word}Name"])) for kind, one in listed[:limit]]
    records = [_record(kind, job, time.time()) for kind, job in described]
    if json:
        emit(records)
    else:
        table("", COLUMNS, [_row(record) for record in records], sentences=True)
        if not records:
            note("no jobs" + (f" that are {status}" if status else ""))


def known(connection: Connection, job: str) -> tuple[Kind, dict[str, Any]]:
    """The kind and the description of the job of this name, of several the newest: names are unique in a kind only.

    Raises UsageError naming the nearest to one there is not.
    """
    found = []
    for kind in KINDS:
        try:
            found.append((kind, kind.call(connection, "Describe", job)))
        except UsageError as error:
            if "not found" not in error.what and "Could not find" not in error.what:
                raise
    if found:
        return max(found, key=lambda pair: pair[1]["CreationTime"])
    # The newest 100: who mistypes has seen the name lately.
    wanted = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
    names = [one[f"{kind.word}Name"] for kind in KINDS for one in islice(kind.summaries(connection, **wanted), 100)]
    close = similar_names(job, names, 3)
    hint = f"near it: {', '.join(close)}" if close else "`clary jobs` lists them"
    raise UsageError(f"no job is called `{job}`", hint=hint)


def state(kind: Kind, job: Mapping[str, Any]) -> str:
    """The status of a job in one word: what it is doing while it is in progress, where its kind tells."""
    status, doing = str(job[f"{kind.word}Status"]), str(job.get("SecondaryStatus", ""))
    # "InProgress" is what a job is from the queue to the upload; the secondary status says which.
    return doing if status == "InProgress" and doing else status


def moment(epoch: float) -> str:
    """Epoch seconds as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))


def _record(kind: Kind, job: Mapping[str, Any], now: float) -> dict[str, Any]:
    from clary.control.jobs.kinds.training.status import remarks

    part, member = kind.image
    runs = job.get(part, {})
    began, ended = kind.time(job, "Start"), kind.time(job, "End")
    return {
        "name": job[f"{kind.word}Name"],
        "kind": kind.name,
        "status": state(kind, job),
        "algorithm": _algorithm(runs.get(member) or runs.get("AlgorithmName") or ""),
        "created": job["CreationTime"],
        "seconds": round((ended or now) - began, 1) if began else None,
        "reason": job.get("FailureReason", ""),
        "remarks": remarks(job),
    }


def _algorithm(image: str) -> str:
    """``image-classification:1``: an image without its registry, which says nothing here."""
    return image.rpartition("/")[2]


def _row(record: Mapping[str, Any]) -> list[str]:
    lasted = "" if record["seconds"] is None else clock(record["seconds"])
    # Last, and in full: a failure's reason is a sentence, and what is cut off is what one looks for.
    said = "; ".join(filter(None, [record["reason"], *record["remarks"]]))
    return [record["name"], record["status"], record["algorithm"], moment(record["created"]), lasted, said]
