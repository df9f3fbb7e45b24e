"""Models: which program serves which artifact."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from clary.control.objects.aws_buckets import remark
from clary.control.objects.base import NoSuchBucket, ObjectStore, S3Uri
from clary.control.objects.machine_files import place_of
from clary.control.platform import Platform
from clary.control.resources import marketplace
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["containers_of", "existing_model", "model_data_of"]

KIND = "model"


def containers_of(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a CreateModel request or a model's body, whichever of the two ways they were given."""
    primary = model.get("PrimaryContainer")
    return [primary] if primary else list(model.get("Containers") or [])


def model_data_of(model: dict[str, Any]) -> list[str]:
    """The URIs of all model data of a request or a body."""
    return [str(uri) for container in containers_of(model) for uri, _ in _model_data(container)]


def existing_model(platform: Platform, name: str) -> Record:
    """The record of a model. Raises ValidationException in the words the SDK looks for."""
    record = platform.store.get(KIND, name)
    if record is None:
        raise ValidationException(f'Could not find model "{_arn(platform, name)}".')
    return record


@operation("sagemaker", "CreateModel")
async def create_model(platform: Platform, request: Request) -> Answer:
    """Model data must exist by now. Whether it is a usable archive is seen when an endpoint opens it; that also makes a
    model of the weights that a stopped job left where it had no time to (``hosting.model_data``)."""
    name, arn = request["ModelName"], _arn(platform, request["ModelName"])
    # SDK v2 looks for "Cannot create already existing", and then goes on with the model that is there.
    taken = ValidationException(f'Cannot create already existing model "{arn}".')
    with unique(platform.store, KIND, name, arn, refusal=taken):
        tags = tags_of(request)
        _check_containers(platform, request)
        for container in containers_of(request):
            for uri, whole in _model_data(container):
                await asyncio.to_thread(_check_data, platform.objects, uri, whole)
        # Describe answers it always, as AWS does.
        body = {"EnableNetworkIsolation": False, **request}
        body.pop("Tags", None)
        platform.store.create(KIND, name, arn=arn, body=body, tags=tags)
    return {"ModelArn": arn}


@operation("sagemaker", "DescribeModel")
def describe_model(platform: Platform, request: Request) -> Answer:
    record = existing_model(platform, request["ModelName"])
    return {**record.body, **_summary(record)}


@operation("sagemaker", "DeleteModel")
def delete_model(platform: Platform, request: Request) -> Answer:
    """Endpoints that serve the model go on serving it."""
    if not platform.store.delete(KIND, request["ModelName"]):
        existing_model(platform, request["ModelName"])
    return {}


@operation("sagemaker", "ListModels")
def list_models(platform: Platform, request: Request) -> Answer:
    return listing(platform, KIND, request, list_member="Models", members=_summary, descending=True)


def _summary(record: Record) -> dict[str, Any]:
    return {"ModelName": record.name, "ModelArn": record.arn, "CreationTime": record.created}


def _arn(platform: Platform, name: str) -> str:
    return platform.settings.arn(f"model/{name.lower()}", region=call().region)


def _check_containers(platform: Platform, request: Request) -> None:
    if request.get("PrimaryContainer") and request.get("Containers"):
        raise ValidationException("Give either PrimaryContainer or Containers, not both")
    containers = containers_of(request)
    if not containers:
        raise ValidationException("Give the model's container: PrimaryContainer or Containers")
    for container in containers:
        package = container.get("ModelPackageName")
        if package and not (platform.store.by_arn(package) or platform.store.get("model-package", package)):
            remarked = marketplace.remark(package, platform.settings)
            raise ValidationException(f'Could not find model package "{package}"{remarked}.')
        if not package and not container.get("Image"):
            raise ValidationException("A container needs an Image or a ModelPackageName")


def _model_data(container: dict[str, Any]) -> Iterator[tuple[S3Uri, bool]]:
    """Where the container's data lies, and whether that is one object (else a prefix)."""
    if url := container.get("ModelDataUrl"):
        # A multi-model container names the folder its archives are in.
        yield place_of(url), container.get("Mode") != "MultiModel"
    for source in [container.get("ModelDataSource"), *(container.get("AdditionalModelDataSources") or [])]:
        if place := (source or {}).get("S3DataSource"):
            yield place_of(place["S3Uri"]), place.get("S3DataType") == "S3Object"


def _check_data(objects: ObjectStore, uri: S3Uri, whole: bool) -> None:
    """Raises ValidationException when there is nothing at ``uri``; of a prefix any object will do."""
    try:
        first = next(iter(objects.list(uri.bucket, uri.key)), None)
    except NoSuchBucket as error:
        text = f"Could not find model data at {uri}: there is no bucket {uri.bucket}{remark(uri.bucket)}"
        raise ValidationException(text) from error
    if first is None or (whole and first.key != uri.key):
        raise ValidationException(f"Could not find model data at {uri}.")
