"""Lineage: artifacts, contexts and actions, which associations tie together. Kept as they are told, and by nobody else:
no job makes any by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from clary.control.platform import Platform
from clary.control.resources.experiments import taken
from clary.control.resources.listing import listing, sliced
from clary.control.resources.tags import tags_of
from clary.control.store.records import Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["ENTITIES"]

UPDATED = ("ArtifactName", "Description", "Status")
PROPERTIES = 30  # API reference, LineageEntityParameters


@dataclass(frozen=True, slots=True)
class LineageEntity:
    """A kind of lineage entity: what its operations, its records and its members are called."""

    noun: str
    kind: str
    name: str
    arn: str
    type: str
    listed: str
    described_by: str


ENTITIES = (
    LineageEntity(
        "Artifact", "artifact", "ArtifactName", "ArtifactArn", "ArtifactType", "ArtifactSummaries", "ArtifactArn"
    ),
    LineageEntity("Context", "context", "ContextName", "ContextArn", "ContextType", "ContextSummaries", "ContextName"),
    LineageEntity("Action", "action", "ActionName", "ActionArn", "ActionType", "ActionSummaries", "ActionName"),
)


def create(entity: LineageEntity, platform: Platform, request: Request) -> Answer:
    """An artifact is known by its source: the same once more is the one that is there."""
    is_artifact = entity.kind == "artifact"
    name = _identity(request["Source"]) if is_artifact else request[entity.name]
    arn = platform.settings.arn(f"{entity.kind}/{name.lower()}", region=call().region)
    if is_artifact and platform.store.get(entity.kind, name):
        return {entity.arn: arn}
    body = {key: value for key, value in request.items() if key != "Tags"}
    with unique(platform.store, entity.kind, name, arn, refusal=taken(entity.noun, name)):
        # As its status in the store, by which lists filter.
        status = request[entity.type]
        platform.store.create(entity.kind, name, arn=arn, body=body, status=status, tags=tags_of(request))
    return {entity.arn: arn}


def describe(entity: LineageEntity, platform: Platform, request: Request) -> Answer:
    return _members(entity, _existing(entity, platform, request[entity.described_by]))


def update(entity: LineageEntity, platform: Platform, request: Request) -> Answer:
    record = _existing(entity, platform, request[entity.described_by])

    def change(found: Record) -> tuple[dict[str, Any], str]:
        new = {**found.body, **{member: request[member] for member in UPDATED if member in request}}
        removed = set(request.get("PropertiesToRemove", ()))
        properties = {**found.body.get("Properties", {}), **request.get("Properties", {})}
        new["Properties"] = {key: value for key, value in properties.items() if key not in removed}
        if len(new["Properties"]) > PROPERTIES:
            raise ValidationException(f"Properties: {PROPERTIES} are allowed at most")
        return new, found.status

    platform.store.edit(entity.kind, record.name, change)
    return {entity.arn: record.arn}


def delete(entity: LineageEntity, platform: Platform, request: Request) -> Answer:
    """Raises ValidationException while associations lead to it or from it."""
    if entity.kind == "artifact" and not request.get("ArtifactArn"):
        if "Source" not in request:
            raise ValidationException("Give ArtifactArn or Source")
        record = _existing(entity, platform, _identity(request["Source"]))
    else:
        record = _existing(entity, platform, request[entity.described_by])
    links = platform.store.links(source=record.arn) or platform.store.links(destination=record.arn)
    if links:
        raise ValidationException(
            f"The {entity.kind} {record.arn} still has associations, that from {links[0].source} to "
            f"{links[0].destination} among them; delete them first."
        )
    platform.store.delete(entity.kind, record.name)
    return {entity.arn: record.arn}


def entities(entity: LineageEntity, platform: Platform, request: Request) -> Answer:
    """A page of them, the newest first unless asked otherwise."""
    uri = request.get("SourceUri")
    if uri is None:
        return listing(
            platform,
            entity.kind,
            request,
            list_member=entity.listed,
            members=partial(_members, entity),
            descending=True,
            status_member=entity.type,
        )
    wanted, after, before = request.get(entity.type), request.get("CreatedAfter"), request.get("CreatedBefore")
    found = [
        ([record.name] if request.get("SortBy") == "Name" else [record.created, record.name], _members(entity, record))
        for record in platform.store.select(entity.kind, None if wanted is None else [wanted])
        if record.body["Source"]["SourceUri"] == uri
        and (after is None or record.created >= after.timestamp())
        and (before is None or record.created < before.timestamp())
    ]
    name = f"{entity.listed} of {uri} {wanted} {after} {before}"
    return sliced(name, found, request, list_member=entity.listed, descending=True)


def _existing(entity: LineageEntity, platform: Platform, name: str) -> Record:
    store = platform.store
    record = store.by_arn(name) if name.startswith("arn:") else store.get(entity.kind, name)
    if record is None or record.kind != entity.kind:
        raise ServiceError("ResourceNotFound", f"{entity.noun} '{name}' does not exist.")
    return record


def _identity(source: Mapping[str, Any]) -> str:
    """What tells an artifact from others: where it is, and the ids that name its version there."""
    ids = sorted((one["SourceIdType"], one["Value"]) for one in source.get("SourceTypes", ()))
    return hashlib.sha256(json.dumps([source["SourceUri"], ids]).encode()).hexdigest()[:32]


def _members(entity: LineageEntity, record: Record) -> dict[str, Any]:
    name = {} if entity.kind == "artifact" else {entity.name: record.name}
    return {
        **record.body,
        **name,
        entity.arn: record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


for _entity in ENTITIES:
    for _verb, _function in (("Create", create), ("Describe", describe), ("Update", update), ("Delete", delete)):
        operation("sagemaker", f"{_verb}{_entity.noun}")(partial(_function, _entity))
    operation("sagemaker", f"List{_entity.noun}s")(partial(entities, _entity))
