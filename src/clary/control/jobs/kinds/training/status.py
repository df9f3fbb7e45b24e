"""Where a training job is, as DescribeTrainingJob tells it: the two statuses, the transitions, the times.

    Starting -> Pending -> Starting -> Downloading -> Training -> Uploading -> Completed | Failed
                                   any of them -> Stopping -> Uploading -> Stopped | MaxRuntimeExceeded
    Training -> Interrupted -> Restarting -> Training        (the machine or the gateway went away)

A body is the ``body`` of a "training-job" record; nothing here changes the one it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clary.control.jobs.status import JobStatus, Stage

__all__ = ["ENDED", "MESSAGES", "PRIMARY", "TrainingStatus", "advance", "ended", "remarks", "with_substitution"]

Body = dict[str, Any]

# TrainingJobStatus of each SecondaryStatus. Source: the API reference of DescribeTrainingJob.
PRIMARY: Mapping[str, str] = {
    "Starting": "InProgress",
    "Pending": "InProgress",
    "Downloading": "InProgress",
    "Training": "InProgress",
    "Uploading": "InProgress",
    "Interrupted": "InProgress",
    "Restarting": "InProgress",
    "Updating": "InProgress",
    "Stopping": "Stopping",
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "MaxWaitTimeExceeded": "Stopped",
}

ENDED = frozenset({"Completed", "Failed", "Stopped"})

# What SDK v2 prints beside the status; it prints a transition only when its message differs from the one before.
MESSAGES: Mapping[str, str] = {
    "Starting": "Starting the training job",
    "Pending": "Waiting for a free place on this machine",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Interrupted": "Training was interrupted",
    "Restarting": "Restarting the training job",
    "Updating": "Updating the training job",
    "Stopping": "Stopping the training job",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
}

# SageMaker bills from the download on; a job that waited or failed before has no TrainingStartTime.
_BILLED_FROM = frozenset({"Downloading", "Training"})
_SECONDARY = {stage: stage.value for stage in Stage} | {Stage.RUNNING: "Training"}


@dataclass(frozen=True, slots=True)
class TrainingStatus(JobStatus):
    """Besides the status a second, finer one, and the transitions from one to the next."""

    member: str = "TrainingJobStatus"

    def advance(self, body: Mapping[str, Any], stage: Stage, message: str = "", now: float = 0.0) -> Body:
        return advance(body, _SECONDARY[stage], message, now)


def ended(body: Mapping[str, Any]) -> bool:
    """Whether the job is Completed, Failed or Stopped: nothing changes it any more."""
    return body.get("TrainingJobStatus") in ENDED


def advance(body: Mapping[str, Any], secondary: str, message: str = "", now: float = 0.0) -> Body:
    """``body`` with the job in ``secondary``: a transition appended, the one before it ended, both statuses set.

    ``message`` is the transition's, by default that of MESSAGES; ``now`` in epoch seconds, never taken as earlier
    than what the body already says. A job that has ended stays as it is; the status it is in already only gets the
    new message. TrainingStartTime, TrainingEndTime and the seconds between them are kept. Raises KeyError for a
    status SageMaker does not have.
    """
    primary = PRIMARY[secondary]
    if ended(body):
        return dict(body)
    # Clocks are set back now and then, and clients compare these times.
    now = max(now, body.get("LastModifiedTime", 0.0))
    said = {"SecondaryStatus": secondary, "TrainingJobStatus": primary, "LastModifiedTime": now}
    transitions = _appended(body.get("SecondaryStatusTransitions", ()), secondary, message, now)
    changed: Body = {**body, **said, "SecondaryStatusTransitions": transitions}
    if secondary in _BILLED_FROM:
        changed.setdefault("TrainingStartTime", now)
    if primary in ENDED:
        changed |= _times(changed, now)
    return changed


def with_substitution(body: Mapping[str, Any], asked: str, trained: str) -> Body:
    """``body`` whose newest transition also says that ``trained`` takes the place of ``asked``, unless one does."""
    note = f"{trained} is trained in place of {asked}, whose pretrained weights are not here."
    transitions = [dict(one) for one in body.get("SecondaryStatusTransitions", ())]
    if transitions and not any(note in one.get("StatusMessage", "") for one in transitions):
        said = transitions[-1]["StatusMessage"].removesuffix(".")
        transitions[-1]["StatusMessage"] = f"{said}. {note}"
    return {**body, "SecondaryStatusTransitions": transitions}


def remarks(body: Mapping[str, Any]) -> list[str]:
    """What the transitions say beyond the words that every job's say."""
    transitions = body.get("SecondaryStatusTransitions", ())
    said = [(MESSAGES.get(one["Status"], ""), one.get("StatusMessage", "")) for one in transitions]
    return [text.removeprefix(usual.removesuffix(".")).lstrip(". ") for usual, text in said if text != usual]


def _appended(transitions: Any, secondary: str, message: str, now: float) -> list[Body]:
    kept = [dict(one) for one in transitions]
    if kept and kept[-1]["Status"] == secondary:
        kept[-1]["StatusMessage"] = message or kept[-1]["StatusMessage"]
        return kept
    if kept:
        kept[-1].setdefault("EndTime", now)
    new: Body = {"Status": secondary, "StartTime": now, "StatusMessage": message or MESSAGES[secondary]}
    if PRIMARY[secondary] in ENDED:
        new["EndTime"] = now
    return [*kept, new]


def _times(body: Body, now: float) -> Body:
    """TrainingEndTime and, for a job that got as far as its data, the seconds since then."""
    if "TrainingStartTime" not in body:
        return {"TrainingEndTime": now}
    # Of a job that was billed: zero would say that it never ran.
    seconds = max(1, round(now - body["TrainingStartTime"]))
    return {"TrainingEndTime": now, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
