"""Experiments: names under which trials are kept."""

from __future__ import annotations

from typing import Any

from clary.control.jobs.trial_components import EXPERIMENT, TRIAL, entity_arn, existing_entity
from clary.control.platform import Platform
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Query, Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["entity_members", "existing", "experiment_members", "new_entity", "taken", "updated"]


def existing(platform: Platform, kind: str, name: str) -> Record:
    """An experiment, a trial or a trial component by its name or ARN. Raises ServiceError ResourceNotFound."""
    return existing_entity(platform.store, platform.settings, kind, name, call().region)


def taken(what: str, name: str) -> ValidationException:
    """The refusal of a name that is used; SDK v2 and v3 look for "already exists", and then load what is there."""
    return ValidationException(
        f"{what} names must be unique within an AWS account and region. {what} with name ({name}) already exists."
    )


def updated(platform: Platform, kind: str, record: Record, changes: dict[str, Any]) -> Record:
    """``record`` with ``changes`` in its body, whatever others do to it meanwhile. Raises ResourceNotFound."""
    new = platform.store.edit(kind, record.name, lambda found: ({**found.body, **changes}, found.status))
    return new or existing(platform, kind, record.name)


def new_entity(platform: Platform, kind: str, name: str, request: Request, *, refused_as: str) -> str:
    """The ARN of a new experiment or trial component. Raises ValidationException for a name that is used."""
    arn = entity_arn(platform.settings, kind, name, call().region)
    body = {"DisplayName": name, **{key: value for key, value in request.items() if key != "Tags"}}
    with unique(platform.store, kind, name, arn, refusal=taken(refused_as, name)):
        platform.store.create(kind, name, arn=arn, body=body, tags=tags_of(request))
    return arn


def entity_members(record: Record, prefix: str) -> dict[str, Any]:
    """What every entity tells of itself; ``prefix`` begins the members of its name and ARN (`Trial`)."""
    return {
        f"{prefix}Name": record.name,
        f"{prefix}Arn": record.arn,
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        "CreatedBy": {},
        "LastModifiedBy": {},
    }


@operation("sagemaker", "CreateExperiment")
def create_experiment(platform: Platform, request: Request) -> Answer:
    arn = new_entity(platform, EXPERIMENT, request["ExperimentName"], request, refused_as="Experiment")
    return {"ExperimentArn": arn}


@operation("sagemaker", "DescribeExperiment")
def describe_experiment(platform: Platform, request: Request) -> Answer:
    return experiment_members(existing(platform, EXPERIMENT, request["ExperimentName"]))


@operation("sagemaker", "UpdateExperiment")
def update_experiment(platform: Platform, request: Request) -> Answer:
    record = existing(platform, EXPERIMENT, request["ExperimentName"])
    changes: dict[str, Any] = {
        member: request[member] for member in ("DisplayName", "Description") if member in request
    }
    return {"ExperimentArn": updated(platform, EXPERIMENT, record, changes).arn}


@operation("sagemaker", "DeleteExperiment")
def delete_experiment(platform: Platform, request: Request) -> Answer:
    """Raises ValidationException while it has trials, as on AWS."""
    record = existing(platform, EXPERIMENT, request["ExperimentName"])
    if trials := platform.store.page(TRIAL, Query(part_of=record.arn, limit=1)).records:
        text = f"The experiment {record.name} still has trials, {trials[0].name} among them; delete them first."
        raise ValidationException(text)
    platform.store.delete(EXPERIMENT, record.name)
    return {"ExperimentArn": record.arn}


@operation("sagemaker", "ListExperiments")
def list_experiments(platform: Platform, request: Request) -> Answer:
    return listing(
        platform,
        EXPERIMENT,
        request,
        list_member="ExperimentSummaries",
        members=experiment_members,
        descending=True,
    )


def experiment_members(record: Record) -> dict[str, Any]:
    """Those of Describe, of a summary and of Search; what one of them does not know is left out of its answer."""
    return {**record.body, **entity_members(record, "Experiment")}
