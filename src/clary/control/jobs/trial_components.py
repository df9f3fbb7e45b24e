"""The trial component that a job makes by itself: what SageMaker Experiments knows of it.

A component is a record of its own, made with its job and named after it. What the job says of itself (parameters,
artifacts, status, times) is not copied into it while the job is there: it is looked up whenever the component is read,
so the two never differ. When the job is deleted the component keeps what it said last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.control.jobs.kind import JobKind
from clary.control.settings import Settings
from clary.control.store.records import PART, AlreadyExists, Point, Record, Store
from clary.control.wire.errors import ServiceError, ValidationException

__all__ = [
    "COMPONENT",
    "EXPERIMENT",
    "METRICS",
    "STEP",
    "TRIAL",
    "begin",
    "check",
    "component_name",
    "dimensions_of",
    "entity_arn",
    "existing_entity",
    "metric_points",
    "seen",
    "settle",
]

# Kinds of records, and what their ARNs begin with.
EXPERIMENT, TRIAL, COMPONENT = "experiment", "experiment-trial", "experiment-trial-component"
# Of the metrics that a program reports itself: each is two series with the same times, the values and the steps.
METRICS = "/aws/sagemaker/TrialComponents"
STEP = {"Axis": "IterationNumber"}
_NO_STEP = -1.0
_NAMES = {EXPERIMENT: "Experiment", TRIAL: "Trial", COMPONENT: "Trial component"}
# Maps of a component: what its job says and what was added by hand stand beside each other.
_MAPS = ("Parameters", "InputArtifacts", "OutputArtifacts")


def component_name(kind: str, job: str) -> str:
    """Of the component of a job, as SageMaker has it."""
    return f"{job}-aws-{kind}"


def dimensions_of(component: str) -> dict[str, str]:
    """Of the values of a component's metrics. SDKs put them under its name in lower case."""
    return {"TrialComponentName": component.lower()}


def metric_points(component: str, name: str, time: float, value: float, step: int | None) -> list[Point]:
    """One value of a metric, at ``time`` in epoch seconds."""
    dimensions = dimensions_of(component)
    # Always both, with or without a step, so that the series have the same length and order.
    return [
        Point(METRICS, name, dimensions, time, value),
        Point(METRICS, name, dimensions | STEP, time, _NO_STEP if step is None else float(step)),
    ]


def entity_arn(settings: Settings, kind: str, name: str, region: str) -> str:
    """Of an experiment, a trial or a component."""
    return settings.arn(f"{kind}/{name.lower()}", region=region)


def existing_entity(store: Store, settings: Settings, kind: str, name: str, region: str) -> Record:
    """An experiment, a trial or a component by its name, in whatever case, or ARN.

    Raises ServiceError ResourceNotFound naming it.
    """
    record = _find(store, settings, kind, name, region)
    if record is None:
        raise ServiceError("ResourceNotFound", f"{_NAMES[kind]} '{name}' does not exist.")
    return record


def check(config: Mapping[str, str], store: Store, settings: Settings, region: str) -> None:
    """Refuse, when a job is created, an ExperimentConfig that leads nowhere.

    Raises ServiceError ResourceNotFound naming what is not there, ValidationException for a trial of another one.
    """
    experiment, trial = config.get("ExperimentName"), config.get("TrialName")
    if experiment:
        experiment = existing_entity(store, settings, EXPERIMENT, experiment, region).name
    if trial:
        of = existing_entity(store, settings, TRIAL, trial, region).body["ExperimentName"]
        if experiment and of != experiment:
            raise ValidationException(f"The trial '{trial}' belongs to the experiment '{of}', not to '{experiment}'.")


def begin(kind: JobKind, job: Record, settings: Settings, store: Store) -> None:
    """Make the component of a job, in the trial that its ExperimentConfig names; nothing for one that has it.

    May be called again for the same job after a gateway was killed.
    """
    if kind.trial_component(job.body) is None:
        return
    name = component_name(kind.name, job.name)
    known = store.get(COMPONENT, name)
    if known is not None and known.body.get("_made") == job.created:
        return
    if known is not None:  # of a deleted job of the same name
        store.delete(COMPONENT, name)
    region = job.arn.split(":")[3]
    config = job.body.get("ExperimentConfig") or {}
    source = {"SourceArn": job.arn, "SourceType": f"SageMaker{kind.name_member.removesuffix('Name')}"}
    body = {
        "DisplayName": config.get("TrialComponentDisplayName") or name,
        "Source": source,
        # Of which job, and which of those that had its name.
        "_kind": kind.name,
        "_job": job.name,
        "_made": job.created,
    }
    arn = entity_arn(settings, COMPONENT, name, region)
    store.create(COMPONENT, name, arn=arn, body=body, part_of=_trials(config, job, settings, store, region))
    if run := config.get("RunName"):
        _add_source(store, run, source)


def seen(record: Record, store: Store, kinds: Mapping[str, JobKind]) -> dict[str, Any]:
    """The body of a component, with what its job says of itself now."""
    body = dict(record.body)
    kind = kinds.get(body.get("_kind", ""))
    job = store.get(kind.name, body["_job"]) if kind is not None and "_made" in body else None
    if kind is None or job is None or job.created != body["_made"]:
        return body
    said = kind.trial_component(job.body) or {}
    # The job's word on how it stands; whoever tracks from within may add parameters and artifacts.
    merged = {name: {**said.get(name, {}), **body.get(name, {})} for name in _MAPS}
    return {**body, **said, **merged}


def settle(kind: JobKind, job: Record, store: Store) -> None:
    """Let the component keep what its job says, which is about to be deleted."""

    def change(record: Record) -> tuple[dict[str, Any], str] | None:
        if record.body.get("_made") != job.created:
            return None
        body = seen(record, store, {kind.name: kind})
        del body["_made"]
        return body, record.status

    store.edit(COMPONENT, component_name(kind.name, job.name), change)


def _find(store: Store, settings: Settings, kind: str, name: str, region: str) -> Record | None:
    if name.startswith("arn:"):
        record = store.by_arn(name)
    else:
        # SDK v2 creates them in lower case, and asks for runs as its caller has written the name.
        record = store.get(kind, name) or store.by_arn(entity_arn(settings, kind, name, region))
    return record if record is not None and record.kind == kind else None


def _trials(config: Mapping[str, str], job: Record, settings: Settings, store: Store, region: str) -> list[str]:
    """The ARN of the trial for a job's component; a new one's where only the experiment is named."""
    if trial := config.get("TrialName"):
        found = _find(store, settings, TRIAL, trial, region)
    elif experiment := _find(store, settings, EXPERIMENT, config.get("ExperimentName", ""), region):
        name = f"{job.name}-aws-trial"
        arn, body = entity_arn(settings, TRIAL, name, region), {"ExperimentName": experiment.name, "DisplayName": name}
        try:
            found = store.create(TRIAL, name, arn=arn, body=body, part_of=[experiment.arn])
        except AlreadyExists:
            found = store.get(TRIAL, name)
            if found is not None:
                store.link(found.arn, experiment.arn, PART)
    else:
        return []
    # Deleted since the request was checked.
    return [found.arn] if found else []


def _add_source(store: Store, run: str, source: Mapping[str, str]) -> None:
    """Tell a run, a component that the SDK made, of a job that works for it."""

    def change(record: Record) -> tuple[dict[str, Any], str] | None:
        sources = record.body.get("Sources", [])
        return None if source in sources else ({**record.body, "Sources": [*sources, source]}, record.status)

    store.edit(COMPONENT, run, change)
