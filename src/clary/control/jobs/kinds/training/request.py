"""CreateTrainingJob's request: what could never run is refused, and what can becomes the record of a job."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clary.control import local_mode
from clary.control.configuration import Configuration
from clary.control.jobs import channels, metric_search
from clary.control.jobs.checks import check_target, check_texts
from clary.control.jobs.kinds.training import outputs, preparation, programs, scripts, status
from clary.control.jobs.kinds.training.programs import Builtin, Script
from clary.control.objects.base import ObjectStore, S3Uri
from clary.control.wire.errors import ValidationException
from clary.errors import CustomerError
from clary.vision.base.spec import AnySpec

__all__ = ["new_body"]

DEFAULT_MAX_RUNTIME = 86_400  # seconds; the API's own default

# Of a new job, where the request does not say otherwise: what SDK v2 reads by plain indexing, and the API's defaults.
_DEFAULTS = {
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": False,
    "EnableManagedSpotTraining": False,
}

Request = Mapping[str, Any]


def new_body(
    request: Request, objects: ObjectStore, *, arn: str, region: str, configuration: Configuration | None = None
) -> dict[str, Any]:
    """The record of a new job: the request with the API's defaults, and where it stands. Blocks.

    ``configuration`` is clary.toml's.

    Raises ValidationException for what could never run: an image, a channel or a bucket that is not there.
    Hyperparameters are the algorithm's: wrong ones fail the job, as on AWS.
    """
    spec = _checked(request, objects, region, configuration or Configuration())
    now = time.time()
    # Tags are kept by the ARN, for every resource alike; DescribeTrainingJob does not show them.
    body: dict[str, Any] = {**_DEFAULTS, **{name: value for name, value in request.items() if name != "Tags"}}
    body["TrainingJobArn"] = arn
    body["AlgorithmSpecification"] = _with_metrics(request["AlgorithmSpecification"], spec)
    # SDK v2's attach() reads KmsKeyId and VolumeSizeInGB without asking whether they are there.
    body["OutputDataConfig"] = {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]}
    body["ResourceConfig"] = {"VolumeSizeInGB": 30, **request["ResourceConfig"]}
    stopping = request.get("StoppingCondition") or {}
    body["StoppingCondition"] = {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME, **stopping}
    # SDK v3 refuses a ModelArtifacts without this member, also of a job that still runs.
    body["ModelArtifacts"] = {"S3ModelArtifacts": ""}
    body["CreationTime"] = now
    body |= {"_phase": "queued", "_attempt": 0}
    return status.advance(body, "Starting", now=now)


def _checked(request: Request, objects: ObjectStore, region: str, configuration: Configuration) -> AnySpec | None:
    """The built-in algorithm asked for. Raises ValidationException for a request that could never run. Blocks."""
    rules = configuration.images
    _check_resources(request)
    check_texts(request, ("HyperParameters", "Environment"))
    _check_names(request.get("InputDataConfig") or ())
    _check_metrics(request.get("AlgorithmSpecification", {}).get("MetricDefinitions") or ())
    try:
        program = programs.resolve(request.get("AlgorithmSpecification") or {}, rules)
        if isinstance(program, Script):
            scripts.check(program, request)
        followed = preparation.followed_folders(request, Path(), rules)
    except CustomerError as error:
        raise ValidationException(str(error)) from error
    _check_data(objects, request, region, configuration.filesystems, followed.values())
    spec = program.spec if isinstance(program, Builtin) else None
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
    sources = [channels.source_of(channel).get("S3Uri", "") for channel in request.get("InputDataConfig") or ()]
    local_mode.check(
        (group["InstanceType"] for group in groups), [request["OutputDataConfig"]["S3OutputPath"], *sources]
    )
    if request.get("EnableManagedSpotTraining") and stopping.get("MaxWaitTimeInSeconds", 0) < longest:
        raise ValidationException(
            "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
        )


def _check_names(given: Iterable[Mapping[str, Any]]) -> None:
    names = [channel["ChannelName"] for channel in given]
    for name in names:
        # The API's pattern lets `.` and `..` through, which are other folders than a channel's.
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
    """Raises ValidationException for what is no expression, and for one that could stop a log from being read."""
    given = {definition["Name"]: definition["Regex"] for definition in definitions}
    for name, text in given.items():
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValidationException(f'The regex "{text}" of the metric {name} cannot be used: {error}') from error
    for name in metric_search.too_slow(given):
        raise ValidationException(
            f'The regex "{given[name]}" of the metric {name} takes too long on lines that it does not match; write it '
            "without one repetition inside or beside another."
        )


def _check_data(
    objects: ObjectStore,
    request: Request,
    region: str,
    filesystems: Mapping[str, Path],
    followed: Iterable[S3Uri],
) -> None:
    """Raises ValidationException for a channel without data and for a bucket that is not there."""
    mode = request["AlgorithmSpecification"]["TrainingInputMode"]
    _check_pipes(request.get("InputDataConfig") or (), mode)
    for channel in request.get("InputDataConfig") or ():
        try:
            found = channels.resolved(channel, mode, filesystems)
        except CustomerError as error:
            raise ValidationException(str(error)) from error
        channels.check(found, mode, objects, role=request["RoleArn"], region=region)
    _check_outputs(objects, request, region, followed)


def _check_outputs(objects: ObjectStore, request: Request, region: str, followed: Iterable[S3Uri]) -> None:
    """Raises ValidationException for a place that nothing can be put in, StorageFull for a full disk: rather now than
    after hours of training."""
    targets = {request["OutputDataConfig"]["S3OutputPath"]: outputs.results_place(request).join("model.tar.gz")}
    targets |= {str(place): place.join("file") for place in followed}
    for said, target in targets.items():
        check_target(said, target, objects, region)


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


def _with_metrics(specification: Mapping[str, Any], spec: AnySpec | None) -> dict[str, Any]:
    """The specification with the algorithm's own metrics before those of the request; the SDK reads them."""
    given = specification.get("MetricDefinitions") or []
    own = [{"Name": metric.name, "Regex": metric.pattern} for metric in (spec.metrics if spec else ())]
    names = {definition["Name"] for definition in given}
    # The request's wins: who redefines a metric of ours means another line of the log.
    merged = [definition for definition in own if definition["Name"] not in names] + list(given)
    return {**specification, **({"MetricDefinitions": merged} if merged else {})}
