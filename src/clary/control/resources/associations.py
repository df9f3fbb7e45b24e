"""Associations: which lineage entity, or trial component, came from which."""

from __future__ import annotations

from typing import Any

from clary.control.jobs.trial_components import COMPONENT
from clary.control.platform import Platform
from clary.control.resources.lineage import ENTITIES
from clary.control.resources.listing import sliced
from clary.control.store.records import Link, NoSuchRecord, Record
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, operation

__all__: list[str] = []

TYPES = {entity.kind: entity.type for entity in ENTITIES}
NAMES = {"artifact": "ArtifactName"}  # the others are known by the names of their records


@operation("sagemaker", "AddAssociation")
def add_association(platform: Platform, request: Request) -> Answer:
    """Raises ResourceNotFound; ValidationException for one that is there, which SDKs look for and pass over."""
    source, destination = request["SourceArn"], request["DestinationArn"]
    try:
        added = platform.store.link(source, destination, request.get("AssociationType", "AssociatedWith"))
    except NoSuchRecord as error:
        raise ServiceError("ResourceNotFound", str(error)) from error
    if not added:
        raise ValidationException(f"Association from {source} to {destination} already exists.")
    return {"SourceArn": source, "DestinationArn": destination}


@operation("sagemaker", "DeleteAssociation")
def delete_association(platform: Platform, request: Request) -> Answer:
    source, destination = request["SourceArn"], request["DestinationArn"]
    if not platform.store.unlink(source, destination):
        raise ServiceError("ResourceNotFound", f"Association from {source} to {destination} does not exist.")
    return {"SourceArn": source, "DestinationArn": destination}


@operation("sagemaker", "ListAssociations")
def list_associations(platform: Platform, request: Request) -> Answer:
    """A page of them, the newest first unless asked otherwise."""
    ends = {"source": request.get("SourceArn"), "destination": request.get("DestinationArn")}
    found = []
    for link in platform.store.links(**ends, kind=request.get("AssociationType")):
        summary = _summary(platform, link)
        if _is_wanted(summary, request):
            first = summary.get(request.get("SortBy", "CreationTime")) or ""
            found.append(([first, link.source, link.destination, link.kind], summary))
    filters = {name: str(value) for name, value in request.items() if name not in ("MaxResults", "NextToken")}
    name = f"ListAssociations {sorted(filters.items())}"
    return sliced(name, found, request, list_member="AssociationSummaries", descending=True)


def _summary(platform: Platform, link: Link) -> dict[str, Any]:
    source, destination = platform.store.by_arn(link.source), platform.store.by_arn(link.destination)
    return {
        "SourceArn": link.source,
        "DestinationArn": link.destination,
        "AssociationType": link.kind,
        "SourceType": _type(source),
        "DestinationType": _type(destination),
        "SourceName": _name(source),
        "DestinationName": _name(destination),
        "CreationTime": link.created,
        "CreatedBy": {},
    }


def _type(record: Record | None) -> str | None:
    if record is None:
        return None
    if record.kind == COMPONENT:
        return str(record.body.get("Source", {}).get("SourceType", "ExperimentTrialComponent"))
    return str(record.body.get(TYPES.get(record.kind, ""), record.kind))


def _name(record: Record | None) -> str | None:
    return None if record is None else str(record.body.get(NAMES.get(record.kind, ""), record.name))


def _is_wanted(summary: dict[str, Any], request: Request) -> bool:
    after, before = request.get("CreatedAfter"), request.get("CreatedBefore")
    return (
        all(request.get(name) in (None, summary[name]) for name in ("SourceType", "DestinationType"))
        and (after is None or summary["CreationTime"] >= after.timestamp())
        and (before is None or summary["CreationTime"] < before.timestamp())
    )
