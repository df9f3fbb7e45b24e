"""Application Auto Scaling: kept, described, and without effect."""

from __future__ import annotations

from typing import Any

import pytest

VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/pets/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    "ScaleInCooldown": 600,
}


@pytest.fixture
def scaling(platform, clients) -> Any:
    """A client; the endpoint ``pets`` is there."""
    body = {"ProductionVariants": [{"VariantName": "AllTraffic"}]}
    platform.store.create("endpoint-config", "pets", arn="arn:config", body=body)
    platform.store.create("endpoint", "pets", arn="arn:endpoint", body={"EndpointConfigName": "pets"})
    return clients("application-autoscaling")


@pytest.fixture
def target(scaling) -> str:
    arn: str = scaling.register_scalable_target(**VARIANT, MinCapacity=1, MaxCapacity=4)["ScalableTargetARN"]
    return arn


def test_targets(scaling, target, refusal, caplog):
    assert target.startswith("arn:aws:application-autoscaling:eu-west-1:000000000000:scalable-target/")
    scaling.register_scalable_target(**VARIANT, MaxCapacity=8)
    (found,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"], found["ScalableTargetARN"]) == (1, 8, target)
    assert found["RoleARN"].startswith("arn:aws:iam::000000000000:role/")
    assert found["SuspendedState"]["DynamicScalingInSuspended"] is False
    assert any("changes nothing" in record.getMessage() for record in caplog.records)
    named = {"ServiceNamespace": "sagemaker", "ResourceIds": ["endpoint/none/variant/x"]}
    assert scaling.describe_scalable_targets(**named)["ScalableTargets"] == []
    scaling.deregister_scalable_target(**VARIANT)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert refusal(scaling.deregister_scalable_target, **VARIANT)[0] == "ObjectNotFoundException"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ResourceId": "endpoint/none/variant/AllTraffic"}, "No variant found for resource ID"),
        ({"ResourceId": "endpoint/pets/variant/none"}, "No variant found for resource ID"),
        ({"ResourceId": "pets"}, "No variant found for resource ID"),
        ({"MinCapacity": 5}, "Maximum capacity cannot be less than minimum capacity"),
        ({"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}, "nothing of ecs that scales"),
    ],
)
def test_what_cannot_be_a_target(scaling, refusal, change, message):
    request = {**VARIANT, "MinCapacity": 1, "MaxCapacity": 4, **change}
    code, said = refusal(scaling.register_scalable_target, **request)
    assert (code, message in said) == ("ValidationException", True)


def test_policies(scaling, target, refusal):
    policy = {**VARIANT, "PolicyName": "Invocations", "PolicyType": "TargetTrackingScaling"}
    made = scaling.put_scaling_policy(**policy, TargetTrackingScalingPolicyConfiguration=TRACKING)
    assert made["Alarms"] == []
    scaling.put_scaling_policy(**policy, TargetTrackingScalingPolicyConfiguration={**TRACKING, "TargetValue": 50.0})
    scaling.put_scaling_policy(**{**policy, "PolicyName": "other", "PolicyType": "StepScaling"})
    pages = [
        page["ScalingPolicies"]
        for page in scaling.get_paginator("describe_scaling_policies").paginate(
            ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 1}
        )
    ]
    assert [[one["PolicyName"] for one in page] for page in pages] == [["Invocations"], ["other"]]
    (found,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["Invocations"])[
        "ScalingPolicies"
    ]
    assert found["TargetTrackingScalingPolicyConfiguration"] == {**TRACKING, "TargetValue": 50.0}
    assert found["PolicyARN"] == made["PolicyARN"]
    scaling.delete_scaling_policy(**VARIANT, PolicyName="other")
    assert refusal(scaling.delete_scaling_policy, **VARIANT, PolicyName="other")[0] == "ObjectNotFoundException"
    scaling.deregister_scalable_target(**VARIANT)  # its policies with it
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    code, message = refusal(scaling.put_scaling_policy, **policy)
    assert (code, "No scalable target registered" in message) == ("ObjectNotFoundException", True)


def test_scheduled_actions(scaling, target, refusal):
    action = {**VARIANT, "ScheduledActionName": "night"}
    assert refusal(scaling.put_scheduled_action, **action)[0] == "ValidationException"
    scaling.put_scheduled_action(**action, Schedule="cron(0 22 * * ? *)", ScalableTargetAction={"MaxCapacity": 1})
    (found,) = scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert (found["Schedule"], found["ScalableTargetAction"]) == ("cron(0 22 * * ? *)", {"MaxCapacity": 1})
    assert scaling.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"] == []
    scaling.delete_scheduled_action(**action)
    assert scaling.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"] == []
    wrong = refusal(scaling.describe_scaling_policies, ServiceNamespace="sagemaker", NextToken="x")
    assert wrong[0] == "InvalidNextTokenException"
