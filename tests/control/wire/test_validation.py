"""AWS's words for what is wrong with a request."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from clary.control.wire.errors import ServiceError
from clary.control.wire.patterns import compiled
from clary.control.wire.services import describe
from clary.control.wire.validation import PATTERN_LIMIT, Validator, validation_code

JOB: dict[str, Any] = {
    "TrainingJobName": "a",
    "RoleArn": "arn:aws:iam::000000000000:role/ClaryRole",
    "AlgorithmSpecification": {"TrainingInputMode": "File", "TrainingImage": "image-classification:1"},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.p3.2xlarge", "VolumeSizeInGB": 50},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def mistakes(name: str, request: dict[str, Any], service: str = "sagemaker") -> list[str]:
    """What is wrong, one a mistake."""
    description = describe(service)
    try:
        Validator(description).check(description.operations[name], request)
    except ServiceError as error:
        count, _, text = error.message.partition(" detected: ")
        found = text.split("; ")
        assert count == f"{len(found)} validation error{'s' if len(found) > 1 else ''}"
        return found
    return []


def said(value: str, where: str, constraint: str) -> str:
    return f"{value} at '{where}' failed to satisfy constraint: {constraint}"


def test_a_right_request_passes():
    assert mistakes("CreateTrainingJob", JOB) == []
    tags = [{"Key": "Größe", "Value": "10 µm"}]
    more = {"HyperParameters": {"epochs": "3"}, "Tags": tags, "Environment": {"A": "b\nc"}, "Unknown": [1]}
    assert mistakes("CreateTrainingJob", {**JOB, **more}) == []


def test_everything_is_reported_at_once():
    request = {**JOB, "TrainingJobName": "-", "ResourceConfig": {"InstanceCount": -1, "VolumeSizeInGB": 1}}
    del request["RoleArn"]
    assert mistakes("CreateTrainingJob", request) == [
        said("Value null", "roleArn", "Member must not be null"),
        said(
            "Value '-'",
            "trainingJobName",
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        said("Value '-1'", "resourceConfig.instanceCount", "Member must have value greater than or equal to 0"),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"AlgorithmSpecification": {"TrainingInputMode": "Tape"}},
            said(
                "Value 'Tape'",
                "algorithmSpecification.trainingInputMode",
                "Member must satisfy enum value set: [Pipe, File, FastFile]",
            ),
        ),
        (
            {"InputDataConfig": []},
            said("Value '[]'", "inputDataConfig", "Member must have length greater than or equal to 1"),
        ),
        (
            {"InputDataConfig": [{"ChannelName": "a", "DataSource": {"S3DataSource": {"S3Uri": "s3://b"}}}]},
            said(
                "Value null", "inputDataConfig.1.member.dataSource.s3DataSource.s3DataType", "Member must not be null"
            ),
        ),
        (
            {"InputDataConfig": [None]},
            said("Value null", "inputDataConfig.1.member", "Member must not be null"),
        ),
        (
            {"VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["x" * 33]}},
            said(
                f"Value '[{'x' * 33}]'",
                "vpcConfig.subnets",
                "Member must satisfy constraint: [Member must have length less than or equal to 32, "
                "Member must have length greater than or equal to 0, "
                "Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]",
            ),
        ),
        (
            {"TrainingJobName": "a" * 64},
            said(f"Value '{'a' * 64}'", "trainingJobName", "Member must have length less than or equal to 63"),
        ),
    ],
)
def test_wording(change, expected):
    assert expected in mistakes("CreateTrainingJob", {**JOB, **change})


def test_maps_name_their_keys_and_values():
    limit = describe("sagemaker").shapes["HyperParameterValue"]["max"]
    found = mistakes("CreateTrainingJob", {**JOB, "HyperParameters": {"a": "x" * (limit + 1)}})
    assert len(found) == 1
    assert "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [" in found[0]
    assert f"Member must have length less than or equal to {limit}" in found[0]
    assert len(found[0]) < 1_500  # a huge value is cut
    found = mistakes("CreateTrainingJob", {**JOB, "Environment": {"1 a": "b"}})
    assert len(found) == 1
    assert found[0].startswith("Value '{1 a=b}' at 'environment' failed to satisfy constraint: Map keys must satisfy")


def test_secrets_and_bytes_are_not_repeated():
    found = mistakes("InvokeEndpoint", {"EndpointName": "a", "Body": bytes(6_291_457)}, "sagemaker-runtime")
    assert found == [said("Value", "body", "Member must have length less than or equal to 6291456")]


def test_a_shape_may_contain_itself():
    filters = {"Filters": [{"Name": ""}]}
    expression = {"SubExpressions": [{"SubExpressions": [filters]}]}
    found = mistakes("Search", {"Resource": "Model", "SearchExpression": expression})
    where = "searchExpression.subExpressions.1.member.subExpressions.1.member.filters.1.member.name"
    assert said("Value ''", where, "Member must have length greater than or equal to 1") in found


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("sagemaker", "CreateTrainingJob", "ValidationException"),
        ("sagemaker-runtime", "InvokeEndpoint", "ValidationError"),
        ("logs", "GetLogEvents", "InvalidParameterException"),
        ("sts", "AssumeRole", "ValidationError"),
        ("iam", "GetRole", "ValidationError"),
    ],
)
def test_each_service_has_its_own_code(service, operation, code):
    description = describe(service)
    assert validation_code(description, description.operations[operation]) == code


class TooLong(Exception):
    """A pattern was still being matched when its time was over."""


@pytest.mark.slow
def test_no_pattern_can_be_made_to_take_long():
    """Texts that trouble a backtracking matcher, tried on every pattern of the services that are answered."""

    def over(number: int, frame: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, over)
    pieces = ("a", "a-", "-", "a/", "a:", "/", ".", " ", "1", "A", "_", "s3://a/", "arn:aws:")
    endless = []
    for service in ("sagemaker", "sagemaker-runtime", "sagemaker-metrics", "logs", "cloudwatch", "sts", "iam"):
        shapes = [shape for shape in describe(service).shapes.values() if compiled(shape.get("pattern", "("))]
        for pattern, limit in {(shape["pattern"], shape.get("max", PATTERN_LIMIT)) for shape in shapes}:
            signal.setitimer(signal.ITIMER_VIRTUAL, 1)  # seconds of this process
            try:
                for piece in pieces:
                    expression = compiled(pattern)
                    assert expression is not None
                    expression.fullmatch((piece * PATTERN_LIMIT)[: min(limit, PATTERN_LIMIT) - 1] + "\0")
            except TooLong:
                endless.append((service, pattern))
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)
    assert endless == []


def test_local_mode_is_right_beyond_the_description():
    local = JOB | {
        "ResourceConfig": JOB["ResourceConfig"] | {"InstanceType": "local_gpu"},
        "OutputDataConfig": {"S3OutputPath": "file:///out"},
    }
    assert mistakes("CreateTrainingJob", local) == []
    for kind in ("local_tpu", "xlocal"):
        (found,) = mistakes(
            "CreateTrainingJob", JOB | {"ResourceConfig": JOB["ResourceConfig"] | {"InstanceType": kind}}
        )
        assert f"Value '{kind}' at 'resourceConfig.instanceType'" in found
        assert "local_gpu" not in found.partition("enum value set")[2]
    (found,) = mistakes("CreateTrainingJob", local | {"OutputDataConfig": {"S3OutputPath": "file:///" + "a" * 1024}})
    assert "length less than or equal to 1024" in found
