"""Training jobs: create, describe, list, stop, update, delete.

What a job does is ``control.jobs``' business; here requests become records and records become answers.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clary.control.jobs import channels, directory, programs, status
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import AlreadyExists, Record
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation
from clary.errors import CustomerError
from clary.vision.base.spec import AnySpec

__all__ = ["create_training_job", "delete_training_job", "describe_training_job", "list_training_jobs"]

KIND = "training-job"
DEFAULT_MAX_RUNTIME = 86_400  # seconds; the API's own default

# Of a new job, where the request does not say otherwise: what SDK v2 reads by plain indexing, and the API's defaults.
_DEFAULTS = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}


@operation("sagemaker", "CreateTrainingJob")
async def create_training_job(platform: Platform, request: Request) -> Answer:
    """Check the request, keep the job and hand it to the runner.

    Raises ValidationException for what could never run (an image, a channel or a bucket that is not there) and
    ResourceInUse for a name that was used. Hyperparameters are the algorithm's: wrong ones fail the job, as on AWS.
    """
    name = request["TrainingJobName"]
    arn = platform.settings.arn(f"training-job/{name.lower()}", region=call().region)
    if platform.store.get(KIND, name) or platform.store.by_arn(arn):
        raise _in_use(arn)
    tags = tags_of(request)
    spec = await asyncio.to_thread(_checked, platform, request, call().region)
    body = _new_body(request, arn, spec)
    try:
        platform.store.create(KIND, name, arn=arn, body=body, status=body["TrainingJobStatus"], tags=tags)
    except AlreadyExists:
        raise _in_use(arn) from None
    platform.jobs.submit(name)
    return {"TrainingJobArn": arn}


@operation("sagemaker", "DescribeTrainingJob")
def describe_training_job(platform: Platform, request: Request) -> Answer:
    """The request as it was sent, and what has become of it."""
    record = _existing(platform, request["TrainingJobName"])
    return {**record.body, **_times(record)}


@operation("sagemaker", "ListTrainingJobs")
def list_training_jobs(platform: Platform, request: Request) -> Answer:
    """A page of summaries, the oldest first unless asked otherwise."""
    return listing(platform, KIND, request, members=_summary, list_member="TrainingJobSummaries")


@operation("sagemaker", "StopTrainingJob")
def stop_training_job(platform: Platform, request: Request) -> Answer:
    """Ask the job to stop: it gets SIGTERM and time to save what it has. Raises ValidationException when it is over."""
    record = _existing(platform, request["TrainingJobName"])
    _refuse_ended(record)
    platform.jobs.stop(record.name)
    return None


@operation("sagemaker", "UpdateTrainingJob")
def update_training_job(platform: Platform, request: Request) -> Answer:
    """Keep what is sent with the job: none of it changes a program that runs on this machine."""
    record = _existing(platform, request["TrainingJobName"])
    _refuse_ended(record)

    def change(found: Record) -> tuple[dict[str, Any], str] | None:
        return _updated(found.body, request), found.status

    platform.store.edit(KIND, record.name, change)
    return {"TrainingJobArn": record.arn}


@operation("sagemaker", "DeleteTrainingJob")
async def delete_training_job(platform: Platform, request: Request) -> Answer:
    """Forget a job that is over, with its folder; objects and logs stay. Raises ResourceNotFound, ResourceInUse."""
    record = platform.store.get(KIND, request["TrainingJobName"])
    if record is None:
        raise ServiceError("ResourceNotFound", "Requested resource not found.")
    if record.status not in status.ENDED:
        raise ServiceError(
            "ResourceInUse", f"The training job {record.arn} is in status {record.status}; stop it first."
        )
    await asyncio.to_thread(directory.remove_tree, directory.job_folder(platform.settings, record.name))
    platform.store.delete(KIND, record.name)
    return None


def _existing(platform: Platform, name: str) -> Record:
    record = platform.store.get(KIND, name)
    if record is None:
        raise ValidationException("Requested resource not found.")
    return record


def _refuse_ended(record: Record) -> None:
    if record.status in status.ENDED:
        raise ValidationException(f"The request was rejected because the training job is in status {record.status}.")


def _in_use(arn: str) -> ServiceError:
    return ServiceError(
        "ResourceInUse",
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})",
    )


def _checked(platform: Platform, request: Request, region: str) -> AnySpec | None:
    """The built-in algorithm asked for. Raises ValidationException for a request that could never run. Blocks."""
    _check_resources(request)
    _check_texts(request)
    _check_names(request.get("InputDataConfig") or ())
    _check_metrics(request.get("AlgorithmSpecification", {}).get("MetricDefinitions") or ())
    try:
        spec = programs.spec_of(request.get("AlgorithmSpecification") or {})
        directory.checkpoint_folder(request, Path())
    except CustomerError as error:
        raise ValidationException(str(error)) from error
    _check_data(platform.objects, request, region)
    if spec is not None:
        _check_channels(spec, request)
    return spec


def _check_resources(request: Request) -> None:
    if request.get("ServerlessJobConfig"):
        raise ValidationException("ServerlessJobConfig is not supported here; give AlgorithmSpecification")
    config = request.get("ResourceConfig") or {}
    groups = config.get("InstanceGroups") or [config]
    if not all(group.get("InstanceType") and group.get("InstanceCount") for group in groups):
        raise ValidationException("ResourceConfig must have InstanceType and an InstanceCount of 1 or more.")
    stopping = request.get("StoppingCondition") or {}
    longest = stopping.get("MaxRuntimeInSeconds") or DEFAULT_MAX_RUNTIME
    if request.get("EnableManagedSpotTraining") and stopping.get("MaxWaitTimeInSeconds", 0) < longest:
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_texts(request: Request) -> None:
    """Raises ValidationException for characters that no file or environment can hold."""
    for member in ("HyperParameters", "Environment"):
        for name, value in (request.get(member) or {}).items():
            if "\0" in name + value or any("\ud800" <= letter <= "\udfff" for letter in name + value):
                raise ValidationException(f"{member}: the value of `{name!a}` holds a character that cannot be stored.")


def _check_names(given: Iterable[Mapping[str, Any]]) -> None:
    names = [channel["ChannelName"] for channel in given]
    for name in names:
        if name.startswith("."):
            raise ValidationException(f"The channel name {name} cannot be used; it begins with a dot.")
        if names.count(name) > 1:
            raise ValidationException(f"The channel name {name} is used twice; channel names must be unique.")


def _check_pipes(given: Iterable[Mapping[str, Any]], mode: str) -> None:
    """The pipes of a channel are called <channel>_<epoch>, so no other channel may be."""
    modes = {channel["ChannelName"]: channels.input_mode(channel, mode) for channel in given}
    for name in modes:
        rival, _, epoch = name.rpartition("_")
        if modes.get(rival) == "Pipe" and epoch.isdecimal():
            raise ValidationException(f"The channel name {name} is that of a pipe of the channel {rival}; use another.")


def _check_metrics(definitions: Iterable[Mapping[str, str]]) -> None:
    for definition in definitions:
        try:
            re.compile(definition["Regex"])
        except (re.error, RecursionError, OverflowError) as error:
            what = f'The regex "{definition["Regex"]}" of the metric {definition["Name"]} cannot be used: {error}'
            raise ValidationException(what) from error


def _check_data(objects: ObjectStore, request: Request, region: str) -> None:
    """Raises ValidationException for a channel without data and for a bucket that is not there."""
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    _check_pipes(request.get("InputDataConfig") or (), mode)
    for channel in request.get("InputDataConfig") or ():
        channels.check(channel, mode, objects, role=request["RoleArn"], region=region)
    targets = [request["OutputDataConfig"]["S3OutputPath"]]
    if request.get("CheckpointConfig"):
        targets.append(request["CheckpointConfig"]["S3Uri"])
    for target in targets:
        if not objects.bucket_exists(S3Uri.parse(target).bucket):
            raise ValidationException(
                f'The bucket of the S3 URL "{target}" does not exist. Please ensure that it exists in the selected '
                f"region ({region})."
            )


def _check_channels(spec: AnySpec, request: Request) -> None:
    """Raises ValidationException for channels with which the algorithm could only fail, in the algorithm's words.

    On AWS such a job is created and fails; a request that must fail is better told so at once.
    """
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    given = [channels.described(channel, mode, Path()) for channel in request.get("InputDataConfig") or ()]
    try:
        spec.check_channels({channel.name: channel for channel in given})
    except CustomerError as error:
        raise ValidationException(str(error)) from error


def _new_body(request: Request, arn: str, spec: AnySpec | None) -> dict[str, Any]:
    """The record of a new job: the request with the API's defaults, and where it stands."""
    now = time.time()
    body: dict[str, Any] = {**_DEFAULTS, **{name: value for name, value in request.items() if name != "Tags"}}
    body["TrainingJobArn"] = arn
    body["AlgorithmSpecification"] = _with_metrics(request["AlgorithmSpecification"], spec)
    body["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]}
    body["ResourceConfig"] = {"VolumeSizeInGB": 30, **request["ResourceConfig"]}
    stopping = request.get("StoppingCondition") or {}
    body["StoppingCondition"] = {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME, **stopping}
    body["ModelArtifacts"] = {"S3ModelArtifacts": ""}
    body["CreationTime"] = now
    body |= {"_phase": "queued", "_attempt": 0}
    return status.advance(body, "Starting", now=now)


def _with_metrics(specification: Mapping[str, Any], spec: AnySpec | None) -> dict[str, Any]:
    """The specification with the algorithm's own metrics before those of the request; the SDK reads them."""
    given = specification.get("MetricDefinitions") or []
    own = [{"Name": metric.name, "Regex": metric.pattern} for metric in (spec.metrics if spec else ())]
    names = {definition["Name"] for definition in given}
    merged = [definition for definition in own if definition["Name"] not in names] + list(given)
    return {**specification, **({"MetricDefinitions": merged} if merged else {})}


def _summary(record: Record) -> dict[str, Any]:
    wanted = ("TrainingJobName", "TrainingJobArn", "TrainingEndTime", "SecondaryStatus")
    shown = {name: record.body[name] for name in wanted if name in record.body}
    return {**shown, **_times(record), "TrainingJobStatus": record.status}


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
