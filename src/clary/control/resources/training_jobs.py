"""Training jobs: create, describe, list, stop, update, delete.

What a job does is ``control.jobs``' business; here requests go there and records become answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from clary.control.jobs import creation, folders, trial_components
from clary.control.jobs.kinds.training.kind import KIND
from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["create_training_job", "delete_training_job", "describe_training_job", "list_training_jobs"]


@operation("sagemaker", "CreateTrainingJob")
async def create_training_job(platform: Platform, request: Request) -> Answer:
    """Check the request, keep the job and hand it to the queue.

    Raises ValidationException for what could never run (an image, a channel or a bucket that is not there) and
    ResourceInUse for a name that was used. Hyperparameters are the algorithm's: wrong ones fail the job, as on AWS.
    """
    record = await creation.create(KIND, request, platform, region=call().region, tags=tags_of(request))
    return {"TrainingJobArn": record.arn}


@operation("sagemaker", "DescribeTrainingJob")
def describe_training_job(platform: Platform, request: Request) -> Answer:
    """The request as it was sent, and what has become of it."""
    record = _existing(platform, request["TrainingJobName"])
    # SDK v2 reads LastModifiedTime without asking whether it is there; the store keeps it beside the body.
    return {**record.body, **_times(record), **_warm_pool(record)}


@operation("sagemaker", "ListTrainingJobs")
def list_training_jobs(platform: Platform, request: Request) -> Answer:
    """A page of summaries, the oldest first unless asked otherwise. A page of jobs by the status of their warm pool may
    hold fewer than were asked for."""
    # No job has a plan: none is found by one.
    if "TrainingPlanArnEquals" in request:
        return {"TrainingJobSummaries": []}
    answer = listing(platform, KIND.name, request, members=_summary, list_member="TrainingJobSummaries")
    if answer and (wanted := request.get("WarmPoolStatusEquals")):
        # After the page is cut, hence pages of fewer; the store does not know it.
        jobs = answer["TrainingJobSummaries"]
        found = [one for one in jobs if one.get("WarmPoolStatus", {}).get("Status") == wanted]
        answer["TrainingJobSummaries"] = found
    return answer


@operation("sagemaker", "StopTrainingJob")
def stop_training_job(platform: Platform, request: Request) -> Answer:
    """Ask the job to stop: it gets SIGTERM and time to save what it has. Raises ValidationException when it is over."""
    record = _existing(platform, request["TrainingJobName"])
    _refuse_ended(record)
    platform.jobs.stop(KIND.name, record.name)
    return None


@operation("sagemaker", "UpdateTrainingJob")
def update_training_job(platform: Platform, request: Request) -> Answer:
    """Keep what is sent with the job: none of it changes a program that runs on this machine."""
    record = _existing(platform, request["TrainingJobName"])
    _refuse_ended(record)

    def change(found: Record) -> tuple[dict[str, Any], str] | None:
        return _updated(found.body, request), found.status

    platform.store.edit(KIND.name, record.name, change)
    return {"TrainingJobArn": record.arn}


@operation("sagemaker", "DeleteTrainingJob")
async def delete_training_job(platform: Platform, request: Request) -> Answer:
    """Forget a job that is over, with its folder; objects and logs stay. Raises ResourceNotFound, ResourceInUse."""
    record = platform.store.get(KIND.name, request["TrainingJobName"])
    if record is None:
        raise ServiceError("ResourceNotFound", "Requested resource not found.")
    # Its programs write into the folder, and its life cycle into the record.
    if not KIND.status.ended(record.body):
        raise ServiceError(
            "ResourceInUse", f"The training job {record.arn} is in status {record.status}; stop it first."
        )
    # The folder first: killed in between, the job is still there to be deleted. The other way round its folder would
    # stay for ever, and nobody would know of it.
    folder = folders.job_folder(platform.settings, KIND.name, record.name)
    await asyncio.to_thread(folders.remove_tree, folder)
    trial_components.settle(KIND, record, platform.store)
    platform.store.delete(KIND.name, record.name)
    return None


def _existing(platform: Platform, name: str) -> Record:
    record = platform.store.get(KIND.name, name)
    if record is None:
        raise ValidationException("Requested resource not found.")
    return record


def _refuse_ended(record: Record) -> None:
    if KIND.status.ended(record.body):
        raise ValidationException(f"The request was rejected because the training job is in status {record.status}.")


def _summary(record: Record) -> dict[str, Any]:
    wanted = ("TrainingJobName", "TrainingJobArn", "TrainingEndTime", "SecondaryStatus")
    shown = {name: record.body[name] for name in wanted if name in record.body}
    return {**shown, **_times(record), **_warm_pool(record), "TrainingJobStatus": record.status}


def _warm_pool(record: Record) -> dict[str, Any]:
    """The status of the pool that the request asked to keep. Nothing is kept, so with the job it has ended."""
    if not (record.body.get("ResourceConfig") or {}).get("KeepAlivePeriodInSeconds"):
        return {}
    if KIND.status.ended(record.body):
        return {"WarmPoolStatus": {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 0}}
    return {"WarmPoolStatus": {"Status": "InUse"}}


def _times(record: Record) -> dict[str, float]:
    """Those that lists are sorted and filtered by."""
    return {"CreationTime": record.created, "LastModifiedTime": record.modified}


def _updated(body: Mapping[str, Any], request: Request) -> dict[str, Any]:
    changed = {**body, "LastModifiedTime": max(time.time(), body.get("LastModifiedTime", 0.0))}
    for member in ("ProfilerConfig", "ResourceConfig", "RemoteDebugConfig"):
        if member in request:
            changed[member] = {**body.get(member, {}), **request[member]}
    if rules := request.get("ProfilerRuleConfigurations"):
        names = {rule["RuleConfigurationName"] for rule in rules}
        kept = body.get("ProfilerRuleConfigurations") or []
        changed["ProfilerRuleConfigurations"] = [r for r in kept if r["RuleConfigurationName"] not in names] + rules
    return changed
