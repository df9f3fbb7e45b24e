"""CreateProcessingJob's request: what could never run is refused, and what can becomes the record of a job."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from clary.control import local_mode
from clary.control.jobs import channels
from clary.control.jobs.checks import check_target, check_texts
from clary.control.jobs.kinds.processing import programs
from clary.control.jobs.kinds.processing.data import Input, inputs_of, outputs_of
from clary.control.jobs.programs import Rules
from clary.control.objects.base import ObjectStore
from clary.control.wire.errors import ServiceError, ValidationException
from clary.errors import CustomerError

__all__ = ["MOST_HOSTS", "host_count", "instance_type", "new_body"]

DEFAULT_MAX_RUNTIME = 86_400  # seconds; the API's own default
MOST_HOSTS = 8  # of one job on one machine; chosen: the issue's own limit

# Of an input, where the request does not say otherwise.
_S3_INPUT = {"S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}

Request = Mapping[str, Any]


def new_body(request: Request, objects: ObjectStore, *, arn: str, region: str, rules: Rules = ()) -> dict[str, Any]:
    """The record of a new job: the request with the API's defaults. Blocks. ``rules`` are those of clary.toml.

    Raises ValidationException for what could never run: an image, an input or a bucket that is not there;
    ResourceLimitExceeded for more hosts than run here.
    """
    _check_resources(request)
    check_texts(request, ("Environment",))
    _check_data(request)
    try:
        programs.resolve(request["AppSpecification"], rules)
        inputs, outputs = inputs_of(request), outputs_of(request)
        _check_paths(inputs)
    except CustomerError as error:
        raise ValidationException(str(error)) from error
    for given in inputs:
        channels.check(given.channel, "File", objects, role=request["RoleArn"], region=region)
    for wanted in outputs:
        check_target(wanted.uri, wanted.target.join("file"), objects, region)
    # Tags are kept by the ARN, for every resource alike.
    body = {name: value for name, value in request.items() if name != "Tags"}
    body["ProcessingJobArn"] = arn
    body["StoppingCondition"] = request.get("StoppingCondition") or {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME}
    body["ProcessingResources"] = {"ClusterConfig": _cluster(request)}
    if request.get("ProcessingInputs"):
        body["ProcessingInputs"] = [_with_defaults(one) for one in request["ProcessingInputs"]]
    return body | {"CreationTime": time.time(), "_phase": "queued", "_attempt": 0}


def host_count(body: Request) -> int:
    """How many hosts the job runs on."""
    config = body["ProcessingResources"]["ClusterConfig"]
    return int(config.get("InstanceCount") or config.get("SelectedInstanceCount") or 1)


def instance_type(body: Request) -> str:
    config = body["ProcessingResources"]["ClusterConfig"]
    return str(config.get("InstanceType") or config.get("SelectedInstanceType") or "local")


def _cluster(request: Request) -> dict[str, Any]:
    """The ClusterConfig; of several preferences the first is what is had here."""
    config = dict(request["ProcessingResources"]["ClusterConfig"])
    if preferences := config.get("InstancePreferences"):
        config["SelectedInstanceType"] = preferences[0]["InstanceType"]
        config["SelectedInstanceCount"] = preferences[0].get("InstanceCount") or config.get("InstanceCount") or 1
    return config


def _with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"AppManaged": False, **given, "S3Input": {**_S3_INPUT, **given["S3Input"]}}


def _check_resources(request: Request) -> None:
    config = _cluster(request)
    kinds = [config.get("InstanceType") or config.get("SelectedInstanceType") or ""]
    count = config.get("InstanceCount") or config.get("SelectedInstanceCount") or 0
    if not kinds[0] or not count:
        raise ValidationException("ClusterConfig must have InstanceType and an InstanceCount of 1 or more.")
    if count > MOST_HOSTS:
        what = (
            f"InstanceCount {count}: the hosts of a job run on this machine, {MOST_HOSTS} at the most; set it to fewer"
        )
        raise ServiceError("ResourceLimitExceeded", what)
    given = [(one.get("S3Input") or {}).get("S3Uri", "") for one in request.get("ProcessingInputs") or ()]
    wanted = [(one.get("S3Output") or {}).get("S3Uri", "") for one in _outputs(request)]
    local_mode.check(kinds, [*given, *wanted])


def _check_data(request: Request) -> None:
    """Raises ValidationException for a source or a target of data that is none here."""
    given = request.get("ProcessingInputs") or ()
    _check_names("input", [one["InputName"] for one in given])
    _check_names("output", [one["OutputName"] for one in _outputs(request)])
    for one in given:
        name = one["InputName"]
        if "DatasetDefinition" in one:
            raise ValidationException(
                f"The input {name} has a DatasetDefinition, and there is no Athena and no Redshift here; run the query "
                "where its data is, and give its result as S3Input"
            )
        if "S3Input" not in one:
            raise ValidationException(f"The input {name} must have an S3Input.")
        if one["S3Input"].get("S3InputMode") == "Pipe":
            raise ValidationException(f"The input {name} has the S3InputMode Pipe, which is not supported; use File")
        if one["S3Input"].get("S3CompressionType") == "Gzip":
            raise ValidationException(
                f"The input {name} has the S3CompressionType Gzip, which needs the S3InputMode Pipe; leave it out, and "
                "unpack the files in the program"
            )
    for one in _outputs(request):
        if "FeatureStoreOutput" in one:
            raise ValidationException(
                f"The output {one['OutputName']} is for Feature Store, which is not here; give S3Output"
            )
        if "S3Output" not in one:
            raise ValidationException(f"The output {one['OutputName']} must have an S3Output.")


def _outputs(request: Request) -> Iterable[Mapping[str, Any]]:
    found: Iterable[Mapping[str, Any]] = (request.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    return found


def _check_names(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValidationException(f"The {what} name {name} is used twice; {what} names must be unique.")


def _check_paths(inputs: list[Input]) -> None:
    """Raises CustomerError where two inputs need one folder. SageMaker refuses it too, without a word
    (sagemaker-python-sdk issue 4939)."""
    paths = [one.path for one in inputs]
    for path in paths:
        if paths.count(path) > 1:
            names = " and ".join(one.name for one in inputs if one.path == path)
            raise CustomerError(f"the inputs {names} have one LocalPath, `{path}`", hint="give each its own")
