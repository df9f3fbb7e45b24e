"""What the trial component of a training job says: the members of DescribeTrialComponent that its record gives.

Names are SageMaker's: hyperparameters under their own, the machine under ``SageMaker.``; channels are input artifacts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clary.control.jobs import channels

__all__ = ["component_members"]

VALUE_LIMIT = 2_500  # characters of a parameter; API reference, TrialComponentParameterValue
URI_LIMIT = 2_048  # characters; TrialComponentArtifact
MESSAGE_LIMIT = 1_024

Members = dict[str, Any]


def component_members(body: Mapping[str, Any]) -> Members:
    """``body`` is a training job's, perhaps of an older version's. Times are left out until they are known."""
    status = body["TrainingJobStatus"]
    secondary, reason = body.get("SecondaryStatus", ""), body.get("FailureReason", "")
    message = f"Status: {status}, secondary status: {secondary}, failure reason: {reason}."
    members: Members = {
        "Status": {"PrimaryStatus": status, "Message": message[:MESSAGE_LIMIT]},
        "Parameters": _parameters(body),
        "InputArtifacts": _inputs(body),
        "OutputArtifacts": _outputs(body),
    }
    times = {"StartTime": body.get("TrainingStartTime"), "EndTime": body.get("TrainingEndTime")}
    return members | {name: time for name, time in times.items() if time is not None}


def parameter(value: object) -> dict[str, Any]:
    """A value as a parameter: a number where it is one, else the text as it was sent, quotes included."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    # JSON, and so the API, knows no other numbers.
    return {"NumberValue": number} if math.isfinite(number) else {"StringValue": str(value)[:VALUE_LIMIT]}


def _parameters(body: Mapping[str, Any]) -> Members:
    resources = body.get("ResourceConfig") or {}
    machine = (resources.get("InstanceGroups") or [resources])[0]
    own = {
        "SageMaker.ImageUri": body["AlgorithmSpecification"].get("TrainingImage"),
        "SageMaker.InstanceType": machine.get("InstanceType"),
        "SageMaker.InstanceCount": machine.get("InstanceCount"),
        "SageMaker.VolumeSizeInGB": resources.get("VolumeSizeInGB"),
    }
    given = {**(body.get("HyperParameters") or {}), **{name: value for name, value in own.items() if value is not None}}
    return {name: parameter(value) for name, value in given.items()}


def _inputs(body: Mapping[str, Any]) -> Members:
    found = {}
    for channel in body.get("InputDataConfig") or ():
        files = channel["DataSource"].get("FileSystemDataSource") or {}
        place = channels.source_of(channel).get("S3Uri") or f"{files.get('FileSystemId')}:{files.get('DirectoryPath')}"
        found[channel["ChannelName"]] = _artifact(place, channel.get("ContentType") or "")
    return found


def _outputs(body: Mapping[str, Any]) -> Members:
    found = {}
    if model := (body.get("ModelArtifacts") or {}).get("S3ModelArtifacts"):
        found["SageMaker.ModelArtifact"] = _artifact(model)
    for name, member in (
        ("SageMaker.DebugHookOutput", "DebugHookConfig"),
        ("SageMaker.Checkpoints", "CheckpointConfig"),
    ):
        config = body.get(member) or {}
        if uri := config.get("S3OutputPath") or config.get("S3Uri"):
            found[name] = _artifact(uri)
    return found


def _artifact(value: str, media_type: str = "") -> Members:
    return {"Value": value[:URI_LIMIT]} | ({"MediaType": media_type} if media_type else {})
