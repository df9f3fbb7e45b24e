"""What the trial component of a processing job says: inputs and outputs are artifacts, under their own names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.control.jobs.component import Members, artifact, component_members, machine_parameters

__all__ = ["processing_component"]


def processing_component(body: Mapping[str, Any]) -> Members:
    """``body`` is a processing job's."""
    status = body["ProcessingJobStatus"]
    machine = (body.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    outputs = (body.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    return component_members(
        status,
        f"Status: {status}, exit message: {body.get('ExitMessage', '')}, "
        f"failure reason: {body.get('FailureReason', '')}.",
        {"StartTime": body.get("ProcessingStartTime"), "EndTime": body.get("ProcessingEndTime")},
        machine_parameters(body["AppSpecification"]["ImageUri"], machine, machine.get("VolumeSizeInGB")),
        _artifacts(body.get("ProcessingInputs") or (), "InputName", "S3Input"),
        _artifacts(outputs, "OutputName", "S3Output"),
    )


def _artifacts(places: Any, name: str, member: str) -> Members:
    return {place[name]: artifact(place[member]["S3Uri"]) for place in places if place.get(member, {}).get("S3Uri")}
