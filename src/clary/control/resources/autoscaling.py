"""Application Auto Scaling of endpoints: targets, policies and scheduled actions are kept and described, and nobody
acts on them. How many instances a variant has is changed by UpdateEndpointWeightsAndCapacities alone.
"""

from __future__ import annotations

import logging
from typing import Any

from clary.control.platform import Platform
from clary.control.resources.listing import sliced
from clary.control.resources.tags import LIMIT
from clary.control.store.records import Record
from clary.control.wire.errors import ServiceError, ValidationException
from clary.control.wire.operation import Answer, Request, call, operation

__all__: list[str] = []

SERVICE = "application-autoscaling"
TARGET, POLICY, ACTION = "scalable-target", "scaling-policy", "scheduled-action"
NAMESPACE = "sagemaker"  # the only one that has anything here
PAGE = 50  # where MaxResults is not given, as on AWS
WORDS = {TARGET: "scalable target", POLICY: "scaling policy", ACTION: "scheduled action"}

_log = logging.getLogger(__name__)


@operation(SERVICE, "RegisterScalableTarget")
def register_scalable_target(platform: Platform, request: Request) -> Answer:
    """A second time it changes what is sent again. Raises ValidationException for a variant that is not there."""
    _check_namespace(request)
    name, arn = _target_name(request), _arn(platform, TARGET, _target_name(request))
    known = platform.store.get(TARGET, name)
    body = {**(known.body if known else {}), **{key: value for key, value in request.items() if key != "Tags"}}
    for member in ("MinCapacity", "MaxCapacity"):
        if member not in body:
            raise ValidationException(f"{member} cannot be empty for a scalable target that is registered first")
    if body["MinCapacity"] > body["MaxCapacity"]:
        raise ValidationException("Maximum capacity cannot be less than minimum capacity")
    _check_variant(platform, request["ResourceId"])
    # The API's own defaults.
    role = f"arn:aws:iam::{platform.settings.account}:role/aws-service-role/sagemaker.application-autoscaling"
    body = {
        "RoleARN": role,
        "SuspendedState": dict.fromkeys(
            ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
        ),
        **body,
    }
    tags = request.get("Tags", {})
    if len(tags) > LIMIT:
        raise ValidationException(f"A scalable target can have {LIMIT} tags at most")
    _keep(platform, TARGET, name, arn, body, tags)
    return {"ScalableTargetARN": arn}


@operation(SERVICE, "DescribeScalableTargets")
def describe_scalable_targets(platform: Platform, request: Request) -> Answer:
    wanted = request.get("ResourceIds")
    return _described(platform, TARGET, request, "ScalableTargets", "ScalableTargetARN", "ResourceId", wanted)


@operation(SERVICE, "DeregisterScalableTarget")
def deregister_scalable_target(platform: Platform, request: Request) -> Answer:
    """Its policies and scheduled actions go with it, as on AWS. Raises ObjectNotFoundException."""
    _check_registered(platform, request)
    for kind in (POLICY, ACTION):
        for record in _of(platform, kind, request):
            platform.store.delete(kind, record.name)
    platform.store.delete(TARGET, _target_name(request))
    return {}


@operation(SERVICE, "PutScalingPolicy")
def put_scaling_policy(platform: Platform, request: Request) -> Answer:
    """Made, or changed where there is one of this name. No alarm watches, so none is answered."""
    _check_registered(platform, request)
    name = f"{_target_name(request)}/{request['PolicyName']}"
    known = platform.store.get(POLICY, name)
    arn = _arn(platform, POLICY, f"{name}:policyName/{request['PolicyName']}")
    kept = known.body if known else {"PolicyType": "StepScaling"}
    _keep(platform, POLICY, name, arn, {**kept, **request, "Alarms": []}, {})
    return {"PolicyARN": arn, "Alarms": []}


@operation(SERVICE, "DescribeScalingPolicies")
def describe_scaling_policies(platform: Platform, request: Request) -> Answer:
    wanted = request.get("PolicyNames")
    return _described(platform, POLICY, request, "ScalingPolicies", "PolicyARN", "PolicyName", wanted)


@operation(SERVICE, "DeleteScalingPolicy")
def delete_scaling_policy(platform: Platform, request: Request) -> Answer:
    _delete(platform, POLICY, f"{_target_name(request)}/{request['PolicyName']}", request)
    return {}


@operation(SERVICE, "PutScheduledAction")
def put_scheduled_action(platform: Platform, request: Request) -> Answer:
    """Made, or changed where there is one of this name."""
    _check_registered(platform, request)
    name = f"{_target_name(request)}/{request['ScheduledActionName']}"
    known = platform.store.get(ACTION, name)
    if known is None and "Schedule" not in request:
        raise ValidationException("Schedule cannot be empty for a scheduled action that is put first")
    body = {**(known.body if known else {}), **request}
    _keep(platform, ACTION, name, _arn(platform, ACTION, name), body, {})
    return {}


@operation(SERVICE, "DescribeScheduledActions")
def describe_scheduled_actions(platform: Platform, request: Request) -> Answer:
    wanted = request.get("ScheduledActionNames")
    return _described(
        platform, ACTION, request, "ScheduledActions", "ScheduledActionARN", "ScheduledActionName", wanted
    )


@operation(SERVICE, "DeleteScheduledAction")
def delete_scheduled_action(platform: Platform, request: Request) -> Answer:
    _delete(platform, ACTION, f"{_target_name(request)}/{request['ScheduledActionName']}", request)
    return {}


@operation(SERVICE, "DescribeScalingActivities")
def describe_scaling_activities(platform: Platform, request: Request) -> Answer:
    """None: nothing scales by itself."""
    _check_namespace(request)
    return {"ScalingActivities": []}


def _check_namespace(request: Request) -> None:
    if request["ServiceNamespace"] != NAMESPACE:
        raise ValidationException(
            f"Clary has nothing of {request['ServiceNamespace']} that scales, only endpoints' variants"
        )


def _target_name(request: Request) -> str:
    return f"{request['ResourceId']}/{request['ScalableDimension']}"


def _arn(platform: Platform, kind: str, name: str) -> str:
    return platform.settings.arn(f"{kind}/{name}", service=SERVICE, region=call().region)


def _check_variant(platform: Platform, resource: str) -> None:
    """Raises ValidationException for what is no variant of an endpoint here."""
    match resource.split("/"):
        case ["endpoint", name, "variant", variant]:
            endpoint = platform.store.get("endpoint", name)
            config = platform.store.get("endpoint-config", endpoint.body["EndpointConfigName"]) if endpoint else None
            # A configuration may be deleted while its endpoint goes on; then any name is taken.
            variants = [one["VariantName"] for one in (config.body["ProductionVariants"] if config else ())]
            if endpoint is not None and (config is None or variant in variants):
                return
    raise ValidationException(f"No variant found for resource ID: {resource}")


def _check_registered(platform: Platform, request: Request) -> None:
    _check_namespace(request)
    if platform.store.get(TARGET, _target_name(request)) is None:
        raise ServiceError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {request['ServiceNamespace']}, resource ID: "
            f"{request['ResourceId']}, scalable dimension: {request['ScalableDimension']}",
        )


def _keep(platform: Platform, kind: str, name: str, arn: str, body: dict[str, Any], tags: dict[str, str]) -> None:
    if platform.store.edit(kind, name, lambda found: (body, "")) is None:
        platform.store.create(kind, name, arn=arn, body=body, tags=tags)
    _log.warning("The %s of %s is kept and described, and changes nothing", WORDS[kind], body["ResourceId"])


def _delete(platform: Platform, kind: str, name: str, request: Request) -> None:
    """Raises ObjectNotFoundException."""
    _check_namespace(request)
    if not platform.store.delete(kind, name):
        raise ServiceError("ObjectNotFoundException", f"No {WORDS[kind]} found for {name}")


def _of(platform: Platform, kind: str, request: Request) -> list[Record]:
    """Those that the request's ResourceId and ScalableDimension allow."""
    _check_namespace(request)
    return [
        record
        for record in platform.store.select(kind)
        if all(request.get(name) in (None, record.body[name]) for name in ("ResourceId", "ScalableDimension"))
    ]


def _described(
    platform: Platform, kind: str, request: Request, member: str, arn: str, name: str, wanted: list[str] | None
) -> Answer:
    """A page of those that the request allows, the oldest first; of ``wanted`` only, where names are given.

    ``member``, ``arn`` and ``name`` are what the answer's list, the ARN and the name in it are called.
    """
    found = [
        (
            [record.created, record.name],
            {**record.body, arn: record.arn, "CreationTime": record.created},
        )
        for record in _of(platform, kind, request)
        if not wanted or record.body[name] in wanted
    ]
    filters = {key: value for key, value in request.items() if key not in ("MaxResults", "NextToken")}
    try:
        return sliced(f"{member} {sorted(filters.items())}", found, {"MaxResults": PAGE, **request}, list_member=member)
    except ValidationException as error:
        raise ServiceError("InvalidNextTokenException", error.message) from error
