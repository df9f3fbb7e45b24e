"""Processing jobs: create, describe, list, stop, delete.

What a job does is ``control.jobs``' business; here requests go there and records become answers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from clary.control.jobs import creation, folders, trial_components
from clary.control.jobs.kinds.processing.kind import KIND
from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["create_processing_job", "delete_processing_job", "describe_processing_job", "list_processing_jobs"]


@operation("sagemaker", "CreateProcessingJob")
async def create_processing_job(platform: Platform, request: Request) -> Answer:
    """Check the request, keep the job and hand it to the queue.

    Raises ValidationException for what could never run (an image, an input or a bucket that is not there),
    ResourceInUse for a name that was used and ResourceLimitExceeded for too many hosts.
    """
    record = await creation.create(KIND, request, platform, region=call().region, tags=tags_of(request))
    return {"ProcessingJobArn": record.arn}


@operation("sagemaker", "DescribeProcessingJob")
def describe_processing_job(platform: Platform, request: Request) -> Answer:
    """The request as it was sent, and what has become of it."""
    record = _existing(platform, request["ProcessingJobName"])
    return {**record.body, **_times(record)}


@operation("sagemaker", "ListProcessingJobs")
def list_processing_jobs(platform: Platform, request: Request) -> Answer:
    """A page of summaries, the oldest first unless asked otherwise."""
    return listing(platform, KIND.name, request, members=_summary, list_member="ProcessingJobSummaries")


@operation("sagemaker", "StopProcessingJob")
def stop_processing_job(platform: Platform, request: Request) -> Answer:
    """Ask the job to stop: it gets SIGTERM and time to save what it has. Raises ValidationException when it is over."""
    record = _existing(platform, request["ProcessingJobName"])
    if KIND.status.ended(record.body):
        raise ValidationException(f"The request was rejected because the processing job is in status {record.status}.")
    platform.jobs.stop(KIND.name, record.name)
    return None


@operation("sagemaker", "DeleteProcessingJob")
async def delete_processing_job(platform: Platform, request: Request) -> Answer:
    """Forget a job that is over, with its folder; objects and logs stay. Raises ResourceNotFound, ResourceInUse."""
    record = platform.store.get(KIND.name, request["ProcessingJobName"])
    if record is None:
        raise ServiceError("ResourceNotFound", "Requested resource not found.")
    # Its programs write into the folder, and its life cycle into the record.
    if not KIND.status.ended(record.body):
        what = f"The processing job {record.arn} is in status {record.status}; stop it first."
        raise ServiceError("ResourceInUse", what)
    # The folder first: killed in between, the job is still there to be deleted.
    await asyncio.to_thread(folders.remove_tree, folders.job_folder(platform.settings, KIND.name, record.name))
    trial_components.settle(KIND, record, platform.store)
    platform.store.delete(KIND.name, record.name)
    return None


def _existing(platform: Platform, name: str) -> Record:
    record = platform.store.get(KIND.name, name)
    if record is None:
        raise ValidationException(f"Could not find requested job with name: {name}")
    return record


def _summary(record: Record) -> dict[str, Any]:
    wanted = ("ProcessingJobName", "ProcessingJobArn", "ProcessingEndTime", "FailureReason", "ExitMessage")
    shown = {name: record.body[name] for name in wanted if name in record.body}
    return {**shown, **_times(record), "ProcessingJobStatus": record.status}


def _times(record: Record) -> dict[str, float]:
    """Those that lists are sorted and filtered by."""
    return {"CreationTime": record.created, "LastModifiedTime": record.modified}
