"""Operations and services that are not there say what to do instead, to real clients."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config

from clary.control import families
from clary.control.families import FAMILIES
from clary.control.platform import Platform
from clary.control.wire.alternatives import of_operation
from clary.control.wire.operation import OPERATIONS
from clary.control.wire.routing import ANSWERED
from clary.control.wire.services import describe

from .conftest import Door

Refusal = Callable[..., tuple[str, str]]
pytestmark = pytest.mark.usefixtures("platform")


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("create_model_bias_job_definition", "Clarify: look at what a model gets wrong"),
        ("create_hub", "JumpStart: train one of the images"),
        ("create_edge_packaging_job", "Edge Manager: copy model.tar.gz to the device"),
        ("create_transform_job", "call InvokeEndpoint for each object"),
        ("create_hyper_parameter_tuning_job", "call CreateTrainingJob for each choice of hyperparameters"),
        ("list_training_jobs_for_hyper_parameter_tuning_job", "call CreateTrainingJob for each choice"),
        ("create_pipeline", "Pipelines: call the steps from the program itself"),
        ("start_pipeline_execution", "call the steps from the program itself"),
        ("create_labeling_job", "Ground Truth: label with a tool that writes COCO"),
        ("create_auto_ml_job_v2", "`clary train TASK FOLDER`"),
        ("create_domain", "`clary lab` opens notebooks"),
        ("create_presigned_notebook_instance_url", "`clary lab` opens notebooks"),
        ("create_compilation_job", "Neo: deploy the model as it is: it is compiled for this machine"),
        ("create_monitoring_schedule", "Model Monitor: measure the model on pictures of today with `clary evaluate`"),
        ("query_lineage", "call ListAssociations"),
        ("create_inference_experiment", "give the endpoint a shadow variant"),
        ("create_feature_group", "Feature Store: keep the values as objects of S3"),
        ("create_inference_component", "name the model in the variant"),
        ("create_algorithm", "name a TrainingImage"),
    ],
)
def test_an_operation_names_the_way_around_it(sagemaker: Any, refusal: Refusal, operation: str, words: str) -> None:
    code, message = refusal(getattr(sagemaker, operation))
    assert code == "UnknownOperationException"
    name = sagemaker.meta.method_to_api_mapping[operation]
    assert message.startswith(f"Clary does not answer {name} of sagemaker; ")
    assert words in message


def test_every_operation_of_sagemaker_has_its_way_around() -> None:
    description = describe("sagemaker")
    absent = [name for name in description.operations if ("sagemaker", name) not in OPERATIONS]
    assert absent
    assert [name for name in absent if "coverage.md" in of_operation(description, name)] == []


def test_no_advice_is_left_of_what_is_answered_by_now() -> None:
    absent = [name for name in describe("sagemaker").operations if ("sagemaker", name) not in OPERATIONS]
    searched = [one.operations for one in FAMILIES if one.operations]
    # Word by word, but for those with a group of their own.
    words = [word for each in searched for word in ([each] if "(" in each else each.split("|"))]
    used = {family.name for family in map(families.of_operation, absent) if family}
    assert [one.name for one in FAMILIES if one.operations and one.name not in used] == []
    assert [word for word in words if not any(re.search(word, name) for name in absent)] == []
    assert [one.name for one in FAMILIES if ANSWERED.intersection(one.services)] == []


def test_a_name_that_there_is_not_is_told_the_nearest() -> None:
    assert of_operation(describe("sagemaker"), "CreateTraningJob") == "is CreateTrainingJob meant?"
    assert "coverage.md" in of_operation(describe("sagemaker"), "Frobnicate")
    assert "coverage.md" in of_operation(describe("logs"), "CreateDelivery")


@pytest.mark.parametrize(
    ("service", "operation", "members", "words"),
    [
        ("ecr", "describe_repositories", {}, "no image is built, pushed or pulled here"),
        ("lambda", "invoke", {"FunctionName": "f"}, "call the function from the program itself"),
        ("stepfunctions", "list_state_machines", {}, "call the steps from the program itself"),
        ("ec2", "describe_vpcs", {}, "on AWS only: call it from a program outside of `clary run`"),
        ("dynamodb", "list_tables", {}, "on AWS only: call it from a program outside of `clary run`"),
    ],
)
def test_a_service_names_the_way_around_it(
    door: Door, refusal: Refusal, service: str, operation: str, members: dict[str, Any], words: str
) -> None:
    """Whatever protocol it speaks; and no client asks again and again."""
    session = boto3.session.Session("x", "y", region_name="eu-west-1")
    client = session.client(service, endpoint_url=door.url, config=Config(retries={"total_max_attempts": 1}))
    code, message = refusal(getattr(client, operation), **members)
    assert code == "UnknownOperationException"
    assert message.startswith("Clary does not answer calls to ")
    assert words in message


BUCKETS = [
    "jumpstart-cache-prod-us-east-1",
    "sagemaker-sample-files",
    "sagemaker-sample-data-us-west-2",
    "sagemaker-example-files-prod-us-east-1",
    "sagemaker-us-east-1",
    "aws-ml-blog",
    "fast-ai-imageclas",
    "multimedia-commons",
]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_of_awss_samples_says_so_and_how_to_map_it(
    sagemaker: Any, platform: Platform, refusal: Refusal, bucket: str
) -> None:
    container = {"Image": "image-classification:1", "ModelDataUrl": f"s3://{bucket}/a/model.tar.gz"}
    role = "arn:aws:iam::000000000000:role/any"
    request = {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": container}
    _, message = refusal(sagemaker.create_model, **request)
    assert f"there is no bucket {bucket}; it is AWS's own: fetch its files where AWS can be reached" in message
    assert f'add the line "{bucket}" = "FOLDER" under [buckets] in clary.toml' in message
    # Once it is there, it is like any other.
    platform.objects.create_bucket(bucket, "eu-west-1")  # type: ignore[attr-defined]
    assert (
        refusal(sagemaker.create_model, **request)[1] == f"Could not find model data at s3://{bucket}/a/model.tar.gz."
    )


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        ("sagemaker-us-east-2-123456789012", "default bucket of the account 123456789012"),
        ("pets", ""),
        ("my-sagemaker-sample-files", ""),
    ],
)
def test_other_buckets(sagemaker: Any, refusal: Refusal, bucket: str, words: str) -> None:
    container = {"Image": "image-classification:1", "ModelDataUrl": f"s3://{bucket}/m"}
    request = {"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::000000000000:role/any"}
    message = refusal(sagemaker.create_model, **request, PrimaryContainer=container)[1]
    assert words in message
    assert "AWS's own" not in message


def test_a_bucket_of_jumpstarts_names_it(sagemaker: Any, refusal: Refusal) -> None:
    container = {"Image": "image-classification:1", "ModelDataUrl": "s3://jumpstart-cache-prod-eu-west-1/m"}
    request = {"ModelName": "m", "ExecutionRoleArn": "arn:aws:iam::000000000000:role/any"}
    message = refusal(sagemaker.create_model, **request, PrimaryContainer=container)[1]
    assert "; without JumpStart: train one of the images image-classification, " in message
