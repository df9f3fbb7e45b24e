"""Endpoints: created and updated in the background, described while that goes on."""

from __future__ import annotations

from typing import Any

from clary.control.platform import Platform
from clary.control.resources.endpoint_configs import existing_endpoint_config
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["existing_endpoint"]

KIND = "endpoint"

_REPEATED = ("AsyncInferenceConfig",)  # of its configuration, in the answer of DescribeEndpoint


def existing_endpoint(platform: Platform, name: str) -> Record:
    """The record of an endpoint. Raises ValidationException in the words the SDK looks for."""
    record = platform.store.get(KIND, name)
    if record is None:
        raise ValidationException(f'Could not find endpoint "{_arn(platform, name)}".')
    return record


@operation("sagemaker", "CreateEndpoint")
def create_endpoint(platform: Platform, request: Request) -> Answer:
    name, arn = request["EndpointName"], _arn(platform, request["EndpointName"])
    # SDK v2 looks for "Cannot create already existing".
    taken = ValidationException(f'Cannot create already existing endpoint "{arn}".')
    with unique(platform.store, KIND, name, arn, refusal=taken):
        config = existing_endpoint_config(platform, request["EndpointConfigName"])
        body = {"EndpointName": name, "EndpointConfigName": config.name, "_target": _target(config)}
        # "Creating" and "Updating" are the only words through which SDK v2 goes on waiting.
        platform.store.create(KIND, name, arn=arn, body=body, status="Creating", tags=tags_of(request))
    # After the record, which clients may ask for at once; and a gateway killed in between finds it Creating.
    platform.hosting.deploy(name)
    return {"EndpointArn": arn}


@operation("sagemaker", "DescribeEndpoint")
def describe_endpoint(platform: Platform, request: Request) -> Answer:
    record = existing_endpoint(platform, request["EndpointName"])
    return {**record.body, **_summary(record)}


@operation("sagemaker", "UpdateEndpoint")
def update_endpoint(platform: Platform, request: Request) -> Answer:
    """The old variants serve until the new ones do; if those fail, the old ones stay and FailureReason tells why."""
    config = existing_endpoint_config(platform, request["EndpointConfigName"])
    target = _target(config, _not_retained(request))

    def change(record: Record) -> tuple[dict[str, Any], str]:
        # In the change itself, so that of two updates at a time one is refused.
        _check_settled(record)
        # What went wrong with an earlier update says nothing of this one.
        body = {name: value for name, value in record.body.items() if name != "FailureReason"}
        return {**body, "_target": target}, "Updating"

    record = platform.store.edit(KIND, request["EndpointName"], change)
    if record is None:
        record = existing_endpoint(platform, request["EndpointName"])
    platform.hosting.deploy(record.name)
    return {"EndpointArn": record.arn}


@operation("sagemaker", "UpdateEndpointWeightsAndCapacities")
def update_weights(platform: Platform, request: Request) -> Answer:
    """Takes effect at once, so the endpoint stays InService."""
    record = existing_endpoint(platform, request["EndpointName"])
    _check_settled(record)
    known = {one["VariantName"] for one in record.body.get("ProductionVariants", ())}
    changes: dict[str, dict[str, float]] = {}
    for wanted in request["DesiredWeightsAndCapacities"]:
        if wanted["VariantName"] not in known:
            raise ValidationException(f'Endpoint "{record.arn}" has no variant "{wanted["VariantName"]}".')
        members = {"weight": wanted.get("DesiredWeight"), "count": wanted.get("DesiredInstanceCount")}
        changes[wanted["VariantName"]] = {name: value for name, value in members.items() if value is not None}
    platform.hosting.reweigh(record.name, changes)
    return {"EndpointArn": record.arn}


@operation("sagemaker", "DeleteEndpoint")
def delete_endpoint(platform: Platform, request: Request) -> Answer:
    """At any time, also while it is being created. It is gone at once; calls inside are still answered."""
    # The record first: from here on no call finds the endpoint, and what it runs on is cleared behind it.
    if not platform.store.delete(KIND, request["EndpointName"]):
        existing_endpoint(platform, request["EndpointName"])
    platform.hosting.remove(request["EndpointName"])
    return {}


@operation("sagemaker", "ListEndpoints")
def list_endpoints(platform: Platform, request: Request) -> Answer:
    return listing(platform, KIND, request, list_member="Endpoints", members=_summary, descending=True)


def _summary(record: Record) -> dict[str, Any]:
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointStatus": record.status,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
    }


def _target(config: Record, retain: list[str] | None = None) -> dict[str, Any]:
    """What an endpoint is to become (``hosting.supervisor``)."""
    members = {name: config.body[name] for name in _REPEATED if config.body.get(name)}
    return {"config": config.name, "retain": retain, "members": members}


def _not_retained(request: Request) -> list[str] | None:
    """Properties of the variants that are not to stay as they are; None: none stays."""
    if not request.get("RetainAllVariantProperties"):
        return None
    return [one["VariantPropertyType"] for one in request.get("ExcludeRetainedVariantProperties") or ()]


def _check_settled(record: Record) -> None:
    if record.status in ("Creating", "Updating"):
        raise ValidationException(f'Cannot update in-progress endpoint "{record.arn}".')


def _arn(platform: Platform, name: str) -> str:
    return platform.settings.arn(f"endpoint/{name.lower()}", region=call().region)
