"""Endpoint configurations: which models an endpoint serves, and how it divides the calls."""

from __future__ import annotations

import logging
from typing import Any

from clary.control import local_mode
from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.models import existing_model, model_data_of
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["existing_endpoint_config"]

_log = logging.getLogger(__name__)

KIND = "endpoint-config"
SERVERLESS_MEMORY = tuple(range(1024, 6144 + 1, 1024))  # MB; API reference, ProductionVariantServerlessConfig


def existing_endpoint_config(platform: Platform, name: str) -> Record:
    """The record of a configuration. Raises ValidationException in the words the SDK looks for."""
    record = platform.store.get(KIND, name)
    if record is None:
        raise ValidationException(f'Could not find endpoint configuration "{_arn(platform, name)}".')
    return record


@operation("sagemaker", "CreateEndpointConfig")
def create_endpoint_config(platform: Platform, request: Request) -> Answer:
    """Raises ValidationException for what could never serve, and for data capture, which is not done here."""
    name, arn = request["EndpointConfigName"], _arn(platform, request["EndpointConfigName"])
    # Who asks for it relies on the data; a configuration that turns it off asks for nothing.
    if (request.get("DataCaptureConfig") or {}).get("EnableCapture", "DataCaptureConfig" in request):
        raise ValidationException(
            "DataCaptureConfig captures nothing here yet; leave it out or set EnableCapture false"
        )
    # SDK v2 looks for "Cannot create already existing", and then goes on with the one that is there.
    taken = ValidationException(f'Cannot create already existing endpoint configuration "{arn}".')
    with unique(platform.store, KIND, name, arn, refusal=taken):
        body = {
            **request,
            "ProductionVariants": _variants(platform, request["ProductionVariants"], "productionVariants"),
        }
        if "ShadowProductionVariants" in body:
            shadows = _variants(platform, body["ShadowProductionVariants"], "shadowProductionVariants")
            body["ShadowProductionVariants"] = shadows
        # Kept by the ARN; ListTags answers them.
        body.pop("Tags", None)
        platform.store.create(KIND, name, arn=arn, body=body, tags=tags_of(request))
    for variant in body["ProductionVariants"]:
        if "AcceleratorType" in variant:
            text = "AcceleratorType %s of the variant %s is kept without effect: a worker runs on this machine"
            _log.warning(text, variant["AcceleratorType"], variant["VariantName"])
    return {"EndpointConfigArn": arn}


@operation("sagemaker", "DescribeEndpointConfig")
def describe_endpoint_config(platform: Platform, request: Request) -> Answer:
    record = existing_endpoint_config(platform, request["EndpointConfigName"])
    # What was not given stays away: SDK v2 copies the members it finds into the next configuration.
    return {**record.body, **_summary(record)}


@operation("sagemaker", "DeleteEndpointConfig")
def delete_endpoint_config(platform: Platform, request: Request) -> Answer:
    """An endpoint made with the configuration goes on: SDK v2 deletes the configuration first."""
    if not platform.store.delete(KIND, request["EndpointConfigName"]):
        existing_endpoint_config(platform, request["EndpointConfigName"])
    return {}


@operation("sagemaker", "ListEndpointConfigs")
def list_endpoint_configs(platform: Platform, request: Request) -> Answer:
    return listing(platform, KIND, request, list_member="EndpointConfigs", members=_summary, descending=True)


def _summary(record: Record) -> dict[str, Any]:
    return {"EndpointConfigName": record.name, "EndpointConfigArn": record.arn, "CreationTime": record.created}


def _arn(platform: Platform, name: str) -> str:
    return platform.settings.arn(f"endpoint-config/{name.lower()}", region=call().region)


def _variants(platform: Platform, variants: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """Checked, with the weight AWS gives where none is named."""
    names = [variant["VariantName"] for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ValidationException(f'Variant names must be unique within an endpoint config: "{name}" is not')
    for number, variant in enumerate(variants, 1):
        _check_variant(platform, variant)
        _check_serverless(variant, f"{where}.{number}.member.serverlessConfig")
    # The default of AWS; the member is there in the answer of Describe, where SDK v2 copies variants from.
    weighted = [{"InitialVariantWeight": 1.0, **variant} for variant in variants]
    if variants and not any(variant["InitialVariantWeight"] > 0 for variant in weighted):
        raise ValidationException("The weights of the variants add up to 0, so no variant would get a call")
    return weighted


def _check_variant(platform: Platform, variant: dict[str, Any]) -> None:
    name = variant["VariantName"]
    if not variant.get("ModelName"):
        raise ValidationException(f'The variant "{name}" names no model; inference components are not supported here')
    model = existing_model(platform, variant["ModelName"])
    local_mode.check([variant.get("InstanceType", "")], model_data_of(model.body))
    if not (variant.get("ServerlessConfig") or variant.get("InstanceType") or variant.get("InstancePools")):
        raise ValidationException(f'The variant "{name}" needs an InstanceType, or a ServerlessConfig')


def _check_serverless(variant: dict[str, Any], where: str) -> None:
    """What the description of the service does not say of a ServerlessConfig; ``where`` is its place in a message."""
    config = variant.get("ServerlessConfig")
    if not config:
        return
    name = variant["VariantName"]
    if variant.get("InstanceType"):
        raise ValidationException(f'The variant "{name}" has both a ServerlessConfig and an InstanceType; give one')
    memory = config["MemorySizeInMB"]
    if memory not in SERVERLESS_MEMORY:
        sizes = ", ".join(map(str, SERVERLESS_MEMORY))
        raise ValidationException(
            f"1 validation error detected: Value '{memory}' at '{where}.memorySizeInMB' failed to satisfy constraint: "
            f"Member must satisfy enum value set: [{sizes}]"
        )
    if config.get("ProvisionedConcurrency", 0) > config["MaxConcurrency"]:
        raise ValidationException(
            f'ProvisionedConcurrency of the variant "{name}" must not be above its MaxConcurrency'
        )
