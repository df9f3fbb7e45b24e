"""Trials: the runs of an experiment, each a set of trial components."""

from __future__ import annotations

from typing import Any

from clary.control.jobs.trial_components import COMPONENT, EXPERIMENT, TRIAL, entity_arn
from clary.control.platform import Platform
from clary.control.resources.experiments import entity_members, existing, taken, updated
from clary.control.resources.listing import listing
from clary.control.resources.tags import tags_of
from clary.control.store.records import Query, Record
from clary.control.store.unique import unique
from clary.control.wire.errors import ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__ = ["trial_members"]


@operation("sagemaker", "CreateTrial")
def create_trial(platform: Platform, request: Request) -> Answer:
    name = request["TrialName"]
    arn = entity_arn(platform.settings, TRIAL, name, call().region)
    body = {"DisplayName": name, **{key: value for key, value in request.items() if key != "Tags"}}
    with unique(platform.store, TRIAL, name, arn, refusal=taken("Trial", name)):
        experiment = existing(platform, EXPERIMENT, request["ExperimentName"])
        body["ExperimentName"] = experiment.name
        platform.store.create(TRIAL, name, arn=arn, body=body, tags=tags_of(request), part_of=[experiment.arn])
    return {"TrialArn": arn}


@operation("sagemaker", "DescribeTrial")
def describe_trial(platform: Platform, request: Request) -> Answer:
    return trial_members(existing(platform, TRIAL, request["TrialName"]))


@operation("sagemaker", "UpdateTrial")
def update_trial(platform: Platform, request: Request) -> Answer:
    record = existing(platform, TRIAL, request["TrialName"])
    changes: dict[str, Any] = {member: request[member] for member in ("DisplayName",) if member in request}
    return {"TrialArn": updated(platform, TRIAL, record, changes).arn}


@operation("sagemaker", "DeleteTrial")
def delete_trial(platform: Platform, request: Request) -> Answer:
    """Raises ValidationException while components belong to it, as on AWS."""
    record = existing(platform, TRIAL, request["TrialName"])
    if components := platform.store.page(COMPONENT, Query(part_of=record.arn, limit=1)).records:
        raise ValidationException(
            f"The trial {record.name} still has trial components, {components[0].name} among them; disassociate them "
            "first."
        )
    platform.store.delete(TRIAL, record.name)
    return {"TrialArn": record.arn}


@operation("sagemaker", "ListTrials")
def list_trials(platform: Platform, request: Request) -> Answer:
    """All trials, those of an experiment, or those that a component belongs to. Raises ResourceNotFound."""
    narrowed: dict[str, Any] = {}
    if experiment := request.get("ExperimentName"):
        narrowed["part_of"] = existing(platform, EXPERIMENT, experiment).arn
    if component := request.get("TrialComponentName"):
        narrowed["whole_of"] = existing(platform, COMPONENT, component).arn
    return listing(
        platform,
        TRIAL,
        request,
        list_member="TrialSummaries",
        members=trial_members,
        descending=True,
        **narrowed,
    )


def trial_members(record: Record) -> dict[str, Any]:
    """Those of Describe, of a summary and of Search; what one of them does not know is left out of its answer."""
    return {**record.body, **entity_members(record, "Trial")}
