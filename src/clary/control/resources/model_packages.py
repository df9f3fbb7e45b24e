"""Model packages: a version of a group (named ``<group>/<version>`` in the store), or a package by itself."""

from __future__ import annotations

from typing import Any

from clary.control.platform import Platform
from clary.control.resources import marketplace
from clary.control.resources.listing import listing
from clary.control.resources.model_package_groups import KIND as GROUP
from clary.control.resources.model_package_groups import existing_group
from clary.control.resources.models import containers_of
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["existing_package"]

KIND = "model-package"
REMEMBERED = 100  # client tokens of one group
NOT_KEPT = ("Tags", "ClientToken", "ModelPackageGroupName")
UPDATED = (
    *("ModelApprovalStatus", "ApprovalDescription", "InferenceSpecification", "SourceUri", "ModelCard"),
    *("ModelLifeCycle", "ModelPackageRegistrationType"),
)


def existing_package(platform: Platform, name: str) -> Record:
    """The record of a package by ARN, ``group/version``, or name. Raises ValidationException naming it."""
    store = platform.store
    record = store.by_arn(name) if name.startswith("arn:") else store.get(KIND, name)
    if record is None or record.kind != KIND:
        arn = name if name.startswith("arn:") else _arn(platform, name)
        raise ValidationException(f"ModelPackage {arn} does not exist{marketplace.remark(arn, platform.settings)}.")
    return record


@operation("sagemaker", "CreateModelPackage")
def create_model_package(platform: Platform, request: Request) -> Answer:
    """Nothing is validated by running it, so a package is complete at once; a version waits for approval."""
    group_name, name = request.get("ModelPackageGroupName"), request.get("ModelPackageName")
    if group_name is None and name is None:
        raise ValidationException("Missing ARN. Give ModelPackageGroupName, for a version, or ModelPackageName.")
    if group_name is not None and name is not None:
        raise ValidationException(
            "Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to "
            "use."
        )
    body = {**_copied(platform, request), **{key: value for key, value in request.items() if key not in NOT_KEPT}}
    _refuse_algorithms(body)
    if name is not None:
        return _create(platform, name, body, request)
    group = existing_group(platform, group_name or "")
    if request.get("Tags"):
        raise ValidationException("Tags cannot be given for a version; tag its model package group instead")
    # The number is taken before the record is made: a gateway killed in between leaves a gap, never one number twice.
    version = _claim_version(platform, group, request.get("ClientToken", ""))
    numbered = f"{group.name}/{version}"
    known = platform.store.get(KIND, numbered)
    # The same request a second time.
    if known is not None:
        return {"ModelPackageArn": known.arn}
    body = {"ModelApprovalStatus": "PendingManualApproval", **body}
    body |= {"ModelPackageGroupName": group.name, "ModelPackageVersion": version, "ModelPackageName": group.name}
    return _create(platform, numbered, body, request)


@operation("sagemaker", "DescribeModelPackage")
def describe_model_package(platform: Platform, request: Request) -> Answer:
    return _members(existing_package(platform, request["ModelPackageName"]))


@operation("sagemaker", "UpdateModelPackage")
def update_model_package(platform: Platform, request: Request) -> Answer:
    record = existing_package(platform, request["ModelPackageArn"])

    def change(current: Record) -> tuple[dict[str, Any], str]:
        body = _updated(current.body, request)
        return body, body.get("ModelApprovalStatus", current.status)

    if platform.store.edit(KIND, record.name, change) is None:
        existing_package(platform, request["ModelPackageArn"])
    return {"ModelPackageArn": record.arn}


@operation("sagemaker", "ListModelPackages")
def list_model_packages(platform: Platform, request: Request) -> Answer:
    """Without a group and a type: packages by themselves only. A page may then hold fewer than were asked for."""
    group = request.get("ModelPackageGroupName")
    try:
        prefix = f"{existing_group(platform, group).name}/" if group else ""
    except ValidationException:  # nothing is in a group that is not there
        return {"ModelPackageSummaryList": []}
    answer = listing(
        platform,
        KIND,
        request,
        list_member="ModelPackageSummaryList",
        members=_members,
        status_member="ModelApprovalStatus",
        name_prefix=prefix,
    )
    wanted = request.get("ModelPackageType", "Both" if group else "Unversioned")
    if answer and wanted != "Both":
        packages = answer["ModelPackageSummaryList"]
        # After the page is cut, hence pages of fewer; the store does not know the types.
        versioned = wanted == "Versioned"
        answer["ModelPackageSummaryList"] = [one for one in packages if ("ModelPackageVersion" in one) == versioned]
    return answer


@operation("sagemaker", "DeleteModelPackage")
def delete_model_package(platform: Platform, request: Request) -> Answer:
    platform.store.delete(KIND, existing_package(platform, request["ModelPackageName"]).name)
    return {}


def _create(platform: Platform, name: str, body: dict[str, Any], request: Request) -> Answer:
    arn = _arn(platform, name)
    body = {"CertifyForMarketplace": False, **body}
    taken = ValidationException(f"ModelPackage already exists: {arn}")
    with unique(platform.store, KIND, name, arn, refusal=taken):
        status = body.get("ModelApprovalStatus", "")
        platform.store.create(KIND, name, arn=arn, body=body, status=status, tags=tags_of(request))
    return {"ModelPackageArn": arn}


def _copied(platform: Platform, request: Request) -> dict[str, Any]:
    """The inference specification of the package or the model whose ARN is SourceUri, where the request has none.

    A source that is no ARN of this service is only kept, as on AWS. Raises ValidationException for one that is absent.
    """
    source = request.get("SourceUri", "")
    kind = source.rpartition(":")[2].partition("/")[0]
    if not source.startswith("arn:") or kind not in (KIND, "model") or "InferenceSpecification" in request:
        return {}
    if kind == KIND:
        found = existing_package(platform, source).body
        return {name: found[name] for name in ("InferenceSpecification",) if name in found}
    record = platform.store.by_arn(source)
    if record is None:
        raise ValidationException(f'Could not find model "{source}".')
    wanted = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "Environment")
    containers = [{member: one[member] for member in wanted if member in one} for one in containers_of(record.body)]
    return {"InferenceSpecification": {"Containers": containers}}


def _refuse_algorithms(body: dict[str, Any]) -> None:
    """Raises ValidationException for a package that could never be served: there are no algorithm resources here whose
    inference specification it could have."""
    sources = (body.get("SourceAlgorithmSpecification") or {}).get("SourceAlgorithms") or ()
    for source in sources if "InferenceSpecification" not in body else ():
        raise ValidationException(
            f"The algorithm {source['AlgorithmName']} of SourceAlgorithmSpecification is not here; those of AWS "
            "Marketplace run on AWS only. Give the containers in InferenceSpecification"
        )


def _claim_version(platform: Platform, group: Record, token: str) -> int:
    """The number of the next version, given out once; the same number again for the same client token."""

    def change(current: Record) -> tuple[dict[str, Any], str] | None:
        # botocore adds a token to each call and sends it again with a retry: a lost answer must not make two versions.
        tokens: dict[str, int] = current.body.get("_tokens", {})
        if token and token in tokens:
            return None
        version = current.body.get("_version", 0) + 1
        # The newest only: a retry follows within seconds.
        tokens = dict([*tokens.items(), (token, version)][-REMEMBERED:])
        return {**current.body, "_version": version, "_tokens": tokens}, current.status

    record = platform.store.edit(GROUP, group.name, change)
    if record is None:
        raise ValidationException(f"ModelPackageGroup {group.arn} does not exist.")
    return int(record.body["_tokens"][token])


def _updated(body: dict[str, Any], request: Request) -> dict[str, Any]:
    new = {**body, **{member: request[member] for member in UPDATED if member in request}}
    # Of a card and a life cycle the members that are not sent stay: new content leaves the status as it is.
    for member in ("ModelCard", "ModelLifeCycle"):
        if member in request:
            new[member] = {**body.get(member, {}), **request[member]}
    properties = {**body.get("CustomerMetadataProperties", {}), **request.get("CustomerMetadataProperties", {})}
    for key in request.get("CustomerMetadataPropertiesToRemove", ()):
        properties.pop(key, None)
    if properties or "CustomerMetadataProperties" in body:
        new["CustomerMetadataProperties"] = properties
    added = request.get("AdditionalInferenceSpecificationsToAdd", [])
    if added:
        new["AdditionalInferenceSpecifications"] = [*body.get("AdditionalInferenceSpecifications", []), *added]
    return new


def _members(record: Record) -> dict[str, Any]:
    return {
        # Before the body: a version's has the name of its group there, as AWS answers.
        "ModelPackageName": record.name,
        **record.body,
        "ModelPackageArn": record.arn,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "CreatedBy": {},
    }


def _arn(platform: Platform, name: str) -> str:
    return platform.settings.arn(f"model-package/{name.lower()}", region=call().region)
