"""Trial components: what a step of a trial was given, and what came of it. Jobs make their own, programs others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clary.control.jobs.folders import TRAINING_JOB
from clary.control.jobs.kinds import KINDS
from clary.control.jobs.metrics import NAMESPACE
from clary.control.jobs.trial_components import (
    COMPONENT,
    EXPERIMENT,
    METRICS,
    TRIAL,
    component_name,
    dimensions_of,
    seen,
)
from clary.control.platform import Platform
from clary.control.resources.experiments import entity_members, existing, new_entity
from clary.control.resources.listing import listing
from clary.control.store.records import PART, NoSuchRecord, Record, Summary
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, operation

__all__ = ["component_entity", "component_members", "component_metrics", "parents_of"]

# The maps of a component, and the members that take out of them.
MAPS = {
    "Parameters": "ParametersToRemove",
    "InputArtifacts": "InputArtifactsToRemove",
    "OutputArtifacts": "OutputArtifactsToRemove",
}
UPDATED = ("DisplayName", "Status", "StartTime", "EndTime")
# Of a map of a component. API reference, UpdateTrialComponent.
LIMITS = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}
_STATISTICS = ("Min", "Max", "Last", "Count", "Avg", "StdDev")


@operation("sagemaker", "CreateTrialComponent")
def create_trial_component(platform: Platform, request: Request) -> Answer:
    arn = new_entity(platform, COMPONENT, request["TrialComponentName"], request, refused_as="Trial component")
    return {"TrialComponentArn": arn}


@operation("sagemaker", "DescribeTrialComponent")
def describe_trial_component(platform: Platform, request: Request) -> Answer:
    record = existing(platform, COMPONENT, request["TrialComponentName"])
    return {**component_members(platform, record), "Metrics": component_metrics(platform, record)}


@operation("sagemaker", "UpdateTrialComponent")
def update_trial_component(platform: Platform, request: Request) -> Answer:
    """Parameters and artifacts are added to those that are there, those of the same name replaced."""
    record = existing(platform, COMPONENT, request["TrialComponentName"])

    def change(found: Record) -> tuple[dict[str, Any], str]:
        return _updated(found.body, request), found.status

    if platform.store.edit(COMPONENT, record.name, change) is None:
        existing(platform, COMPONENT, record.name)
    return {"TrialComponentArn": record.arn}


@operation("sagemaker", "DeleteTrialComponent")
def delete_trial_component(platform: Platform, request: Request) -> Answer:
    """Raises ValidationException while it belongs to a trial, as on AWS."""
    record = existing(platform, COMPONENT, request["TrialComponentName"])
    if trials := platform.store.links(source=record.arn, kind=PART):
        trial = trials[0].destination.rpartition("/")[2]
        raise ValidationException(
            f"The trial component {record.name} belongs to the trial {trial}; disassociate it first."
        )
    platform.store.delete(COMPONENT, record.name)
    # One made later under this name would have them.
    platform.store.forget_metrics(METRICS, dimensions_of(record.name))
    return {"TrialComponentArn": record.arn}


@operation("sagemaker", "ListTrialComponents")
def list_trial_components(platform: Platform, request: Request) -> Answer:
    """All components, or those of an experiment, of a trial, or of a job. Raises ResourceNotFound."""
    given = [name for name in ("ExperimentName", "TrialName", "SourceArn") if request.get(name)]
    if len(given) > 1:
        raise ValidationException(f"Only one filter can be used: {' and '.join(given)} are given")
    narrowed: dict[str, Any] = {}
    if experiment := request.get("ExperimentName"):
        # Of its trials' components: two links away.
        narrowed = {"part_of": existing(platform, EXPERIMENT, experiment).arn, "depth": 2}
    if trial := request.get("TrialName"):
        narrowed = {"part_of": existing(platform, TRIAL, trial).arn}
    if source := request.get("SourceArn"):
        return {"TrialComponentSummaries": _of_source(platform, source)}
    return listing(
        platform,
        COMPONENT,
        request,
        list_member="TrialComponentSummaries",
        members=lambda record: component_members(platform, record),
        descending=True,
        **narrowed,
    )


@operation("sagemaker", "AssociateTrialComponent")
def associate_trial_component(platform: Platform, request: Request) -> Answer:
    """Once more changes nothing. Raises ResourceNotFound."""
    component = existing(platform, COMPONENT, request["TrialComponentName"])
    trial = existing(platform, TRIAL, request["TrialName"])
    try:
        platform.store.link(component.arn, trial.arn, PART)
    except NoSuchRecord as error:
        raise ServiceError("ResourceNotFound", str(error)) from error
    return {"TrialComponentArn": component.arn, "TrialArn": trial.arn}


@operation("sagemaker", "DisassociateTrialComponent")
def disassociate_trial_component(platform: Platform, request: Request) -> Answer:
    """Raises ResourceNotFound, also where the two do not belong together."""
    component = existing(platform, COMPONENT, request["TrialComponentName"])
    trial = existing(platform, TRIAL, request["TrialName"])
    if not platform.store.unlink(component.arn, trial.arn, PART):
        text = f"Trial component '{component.name}' is not associated with the trial '{trial.name}'."
        raise ServiceError("ResourceNotFound", text)
    return {"TrialComponentArn": component.arn, "TrialArn": trial.arn}


def component_members(platform: Platform, record: Record) -> dict[str, Any]:
    """Those of Describe, of a summary and of Search, but for what is looked up elsewhere (metrics, parents, tags)."""
    body = seen(record, platform.store, {kind.name: kind for kind in KINDS})
    source = {"TrialComponentSource": body["Source"]} if "Source" in body else {}
    return {
        # SDK v2 takes them to be there.
        **{name: {} for name in MAPS},
        **body,
        **source,
        **entity_members(record, "TrialComponent"),
        "LastModifiedTime": max(record.modified, body.get("EndTime") or 0.0),
    }


def component_metrics(platform: Platform, record: Record) -> list[dict[str, Any]]:
    """Summaries of what a component's program reported itself, and of what was found in its job's log."""
    found = [(record.arn, one) for one in platform.store.summaries(METRICS, dimensions_of(record.name))]
    if record.body.get("_kind") == TRAINING_JOB:
        dimensions = {"TrainingJobName": record.body["_job"]}
        # Earlier ones are of a deleted job of the same name; the component was made after its job, by less than this.
        since = record.created - 1.0
        source = record.body["Source"]["SourceArn"]
        found += [(source, one) for one in platform.store.summaries(NAMESPACE, dimensions, since)]
    return [_metric(arn, summary) for arn, summary in found]


def parents_of(platform: Platform, components: Sequence[Record]) -> dict[str, list[dict[str, str]]]:
    """The trials of components, by the ARN of each, with their experiments."""
    # Of one by its own links: the SDKs' Run() asks for one, and list_runs() for one after the other.
    links = platform.store.links(source=components[0].arn if len(components) == 1 else None, kind=PART)
    trials: dict[str, Record | None] = {}
    found: dict[str, list[dict[str, str]]] = {}
    for link in links:
        if link.destination not in trials:
            trials[link.destination] = platform.store.by_arn(link.destination)
        trial = trials[link.destination]
        if trial is not None and trial.kind == TRIAL:
            parent = {"TrialName": trial.name, "ExperimentName": trial.body["ExperimentName"]}
            found.setdefault(link.source, []).append(parent)
    return found


def component_entity(platform: Platform, record: Record, parents: dict[str, list[dict[str, str]]]) -> dict[str, Any]:
    """As Search has it: with its trials."""
    return {**component_members(platform, record), "Parents": parents.get(record.arn, [])}


def _updated(body: dict[str, Any], request: Request) -> dict[str, Any]:
    new = {**body, **{member: request[member] for member in UPDATED if member in request}}
    for member, takes_out in MAPS.items():
        removed = set(request.get(takes_out, ()))
        merged = {**body.get(member, {}), **request.get(member, {})}
        new[member] = {name: value for name, value in merged.items() if name not in removed}
        if len(new[member]) > LIMITS[member]:
            text = f"{member}: a trial component can have {LIMITS[member]} at most, and would have {len(new[member])}"
            raise ValidationException(text)
    return new


def _of_source(platform: Platform, arn: str) -> list[dict[str, Any]]:
    """The component of a job, there or deleted. The smexperiments package asks in lower case, which ARNs are in."""
    head, _, job = arn.lower().rpartition("/")
    prefix, _, kind = head.rpartition(":")
    record = platform.store.by_arn(f"{prefix}:{COMPONENT}/{component_name(kind, job)}")
    return [component_members(platform, record)] if record else []


def _metric(arn: str, summary: Summary) -> dict[str, Any]:
    values = (summary.minimum, summary.maximum, summary.last, round(summary.count), summary.mean, summary.deviation)
    named = dict(zip(_STATISTICS, values, strict=True))
    return {"MetricName": summary.name, "SourceArn": arn, "TimeStamp": summary.time, **named}
