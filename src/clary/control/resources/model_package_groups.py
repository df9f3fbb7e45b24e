"""Model package groups: a name under which the versions of a model are kept."""

from __future__ import annotations

from typing import Any

from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Query, Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["KIND", "existing_group"]

KIND = "model-package-group"


def existing_group(platform: Platform, name: str) -> Record:
    """The record of a group, by name or ARN. Raises ValidationException naming it."""
    store = platform.store
    record = store.by_arn(name) if name.startswith("arn:") else store.get(KIND, name)
    if record is None or record.kind != KIND:
        arn = name if name.startswith("arn:") else _arn(platform, name)
        raise ValidationException(f"ModelPackageGroup {arn} does not exist.")
    return record


@operation("sagemaker", "CreateModelPackageGroup")
def create_model_package_group(platform: Platform, request: Request) -> Answer:
    name = request["ModelPackageGroupName"]
    arn = _arn(platform, name)
    body = {key: value for key, value in request.items() if key != "Tags"}
    taken = ValidationException(f"Model Package Group already exists: {arn}")
    with unique(platform.store, KIND, name, arn, refusal=taken):
        platform.store.create(KIND, name, arn=arn, body=body, status="Completed", tags=tags_of(request))
    return {"ModelPackageGroupArn": arn}


@operation("sagemaker", "DescribeModelPackageGroup")
def describe_model_package_group(platform: Platform, request: Request) -> Answer:
    return _members(existing_group(platform, request["ModelPackageGroupName"]))


@operation("sagemaker", "ListModelPackageGroups")
def list_model_package_groups(platform: Platform, request: Request) -> Answer:
    return listing(platform, KIND, request, list_member="ModelPackageGroupSummaryList", members=_members)


@operation("sagemaker", "DeleteModelPackageGroup")
def delete_model_package_group(platform: Platform, request: Request) -> Answer:
    group = existing_group(platform, request["ModelPackageGroupName"])
    # One is enough to refuse.
    packages = platform.store.page("model-package", Query(name_prefix=f"{group.name}/", limit=1)).records
    if packages:
        text = f"Model Package Group cannot be deleted because it still contains Model Package: {packages[0].arn}"
        raise ServiceError("ConflictException", text)
    platform.store.delete(KIND, group.name)
    return {}


def _members(record: Record) -> dict[str, Any]:
    return {
        **record.body,
        "ModelPackageGroupName": record.name,
        "ModelPackageGroupArn": record.arn,
        "ModelPackageGroupStatus": record.status,
        "CreationTime": record.created,
        "CreatedBy": {},
    }


def _arn(platform: Platform, name: str) -> str:
    return platform.settings.arn(f"model-package-group/{name.lower()}", region=call().region)
