"""``clary jobs``: the platform's training jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clary.cli.platform_options import Home, Json, folder
from clary.errors import UsageError
from clary.wording import clock, similar_names

if TYPE_CHECKING:
    from clary.client.connection import Connection

COLUMNS = ("name", "status", "algorithm", "created", "duration", "remarks")


def register(app: typer.Typer) -> None:
    app.command("jobs")(jobs)


def jobs(
    home: Home = None,
    status: Annotated[str | None, typer.Option(help="InProgress, Completed, Failed, Stopping or Stopped only.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 20,
    json: Json = False,
) -> None:
    """List training jobs, the newest first, with what is to be said of them: why one failed, what was substituted."""
    from clary.cli.output import emit, note, table
    from clary.client.connection import connect

    # 100 is the most that the API gives at a time; pages() asks for more.
    wanted = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": min(limit, 100)}
    wanted |= {"StatusEquals": status} if status else {}
    with connect(folder(home)) as connection:
        names = connection.pages("sagemaker", "ListTrainingJobs", "TrainingJobSummaries", **wanted)
        # Lists have no reason and no image: one more call a job, half a millisecond (docs/benchmarks.md).
        described = [
            connection.call("sagemaker", "DescribeTrainingJob", TrainingJobName=summary["TrainingJobName"])
            for summary in islice(names, limit)
        ]
    records = [_record(job, time.time()) for job in described]
    if json:
        emit(records)
    else:
        table("", COLUMNS, [_row(record) for record in records], sentences=True)
        if not records:
            note("no training jobs" + (f" that are {status}" if status else ""))


def known(connection: Connection, operation: str, job: str) -> dict[str, Any]:
    """The answer of ``operation`` for a training job. Raises UsageError naming the nearest to one there is not."""
    try:
        return connection.call("sagemaker", operation, TrainingJobName=job)
    except UsageError as error:
        if "not found" not in error.what:
            raise
        # The newest 100: who mistypes has seen the name lately.
        wanted = {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": 100}
        summaries = connection.call("sagemaker", "ListTrainingJobs", **wanted)["TrainingJobSummaries"]
        close = similar_names(job, [one["TrainingJobName"] for one in summaries], 3)
        hint = f"near it: {', '.join(close)}" if close else "`clary jobs` lists them"
        raise UsageError(f"no training job is called `{job}`", hint=hint) from error


def state(job: Mapping[str, Any]) -> str:
    """The status of a training job in one word: what it is doing while it is in progress."""
    status, doing = str(job["TrainingJobStatus"]), str(job.get("SecondaryStatus", ""))
    # "InProgress" is what a job is from the queue to the upload; the secondary status says which.
    return doing if status == "InProgress" and doing else status


def moment(epoch: float) -> str:
    """Epoch seconds as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))


def _record(job: Mapping[str, Any], now: float) -> dict[str, Any]:
    from clary.control.jobs.kinds.training.status import remarks

    algorithm = job.get("AlgorithmSpecification", {})
    began, ended = job.get("TrainingStartTime"), job.get("TrainingEndTime")
    return {
        "name": job["TrainingJobName"],
        "status": state(job),
        "algorithm": _algorithm(algorithm.get("TrainingImage") or algorithm.get("AlgorithmName") or ""),
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
