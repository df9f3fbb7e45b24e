"""What a job's trial component says of any kind of job: the members of DescribeTrialComponent, made of its record.

Names are SageMaker's: what the request calls a thing under its own name, the machine under ``SageMaker.``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["Members", "artifact", "component_members", "machine_parameters", "parameter"]

VALUE_LIMIT = 2_500  # characters of a parameter; API reference, TrialComponentParameterValue
URI_LIMIT = 2_048  # characters; TrialComponentArtifact
MESSAGE_LIMIT = 1_024

Members = dict[str, Any]


def component_members(
    status: str, message: str, times: Mapping[str, float | None], parameters: Members, inputs: Members, outputs: Members
) -> Members:
    """``times`` are StartTime and EndTime, in epoch seconds; what is not known yet is left out."""
    members: Members = {
        "Status": {"PrimaryStatus": status, "Message": message[:MESSAGE_LIMIT]},
        "Parameters": parameters,
        "InputArtifacts": inputs,
        "OutputArtifacts": outputs,
    }
    return members | {name: time for name, time in times.items() if time is not None}


def machine_parameters(image: str | None, machine: Mapping[str, Any], volume: int | None) -> Members:
    """The image and the instances of a job; ``machine`` has InstanceType and InstanceCount."""
    own = {
        "SageMaker.ImageUri": image,
        "SageMaker.InstanceType": machine.get("InstanceType"),
        "SageMaker.InstanceCount": machine.get("InstanceCount"),
        "SageMaker.VolumeSizeInGB": volume,
    }
    return {name: parameter(value) for name, value in own.items() if value is not None}


def parameter(value: object) -> Members:
    """A value as a parameter: a number where it is one, else the text as it was sent, quotes included."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    # JSON, and so the API, knows no other numbers.
    return {"NumberValue": number} if math.isfinite(number) else {"StringValue": str(value)[:VALUE_LIMIT]}


def artifact(uri: str, media_type: str = "") -> Members:
    return {"Value": uri[:URI_LIMIT]} | ({"MediaType": media_type} if media_type else {})
