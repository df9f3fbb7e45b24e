"""What the trial component of a training job says: hyperparameters under their own names, channels as artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.control.jobs import channels
from clary.control.jobs.component import Members, artifact, component_members, machine_parameters, parameter

__all__ = ["training_component"]


def training_component(body: Mapping[str, Any]) -> Members:
    """``body`` is a training job's, perhaps of an older version's."""
    status = body["TrainingJobStatus"]
    secondary, reason = body.get("SecondaryStatus", ""), body.get("FailureReason", "")
    message = f"Status: {status}, secondary status: {secondary}, failure reason: {reason}."
    times = {"StartTime": body.get("TrainingStartTime"), "EndTime": body.get("TrainingEndTime")}
    return component_members(status, message, times, _parameters(body), _inputs(body), _outputs(body))


def _parameters(body: Mapping[str, Any]) -> Members:
    resources = body.get("ResourceConfig") or {}
    machine = (resources.get("InstanceGroups") or [resources])[0]
    given = {name: parameter(value) for name, value in (body.get("HyperParameters") or {}).items()}
    image = body["AlgorithmSpecification"].get("TrainingImage")
    return given | machine_parameters(image, machine, resources.get("VolumeSizeInGB"))


def _inputs(body: Mapping[str, Any]) -> Members:
    found = {}
    for channel in body.get("InputDataConfig") or ():
        files = channel["DataSource"].get("FileSystemDataSource") or {}
        place = channels.source_of(channel).get("S3Uri") or f"{files.get('FileSystemId')}:{files.get('DirectoryPath')}"
        found[channel["ChannelName"]] = artifact(place, channel.get("ContentType") or "")
    return found


def _outputs(body: Mapping[str, Any]) -> Members:
    found = {}
    if model := (body.get("ModelArtifacts") or {}).get("S3ModelArtifacts"):
        found["SageMaker.ModelArtifact"] = artifact(model)
    for name, member in (
        ("SageMaker.DebugHookOutput", "DebugHookConfig"),
        ("SageMaker.Checkpoints", "CheckpointConfig"),
    ):
        config = body.get(member) or {}
        if uri := config.get("S3OutputPath") or config.get("S3Uri"):
            found[name] = artifact(uri)
    return found
