"""Endpoint configurations, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clary.control.platform import Platform

Refusal = Callable[..., tuple[str, str]]
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:endpoint-config/"


def _variant(**more: Any) -> dict[str, Any]:
    return {
        "VariantName": "AllTraffic",
        "ModelName": "cat",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
    } | more


@pytest.fixture
def create(sagemaker: Any, platform: Platform) -> Callable[..., str]:
    """``create(_variant(), name="config", ...)``: its ARN. The model ``cat`` exists."""
    platform.store.create("model", "cat", arn="arn:cat", body={})

    def create(*variants: dict[str, Any], name: str = "config", **more: Any) -> str:
        made = sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)
        return str(made["EndpointConfigArn"])

    return create


Create = Callable[..., str]


def test_it_is_described_as_it_was_made(sagemaker: Any, create: Create) -> None:
    weighted = [_variant(InitialVariantWeight=0.25), _variant(VariantName="B", InitialVariantWeight=0)]
    assert create(*weighted, name="Config", Tags=[{"Key": "k", "Value": "v"}]) == ARN + "config"
    found = sagemaker.describe_endpoint_config(EndpointConfigName="Config")
    assert found["ProductionVariants"] == weighted
    assert (found["EndpointConfigName"], found["EndpointConfigArn"]) == ("Config", ARN + "config")
    assert not {"KmsKeyId", "DataCaptureConfig", "AsyncInferenceConfig", "ExplainerConfig"} & set(found)
    assert sagemaker.list_tags(ResourceArn=ARN + "config")["Tags"] == [{"Key": "k", "Value": "v"}]


def test_the_weight_is_one_where_none_is_given(sagemaker: Any, create: Create) -> None:
    create(_variant(), ShadowProductionVariants=[_variant(VariantName="shadow")])
    found = sagemaker.describe_endpoint_config(EndpointConfigName="config")
    assert found["ProductionVariants"][0]["InitialVariantWeight"] == 1
    assert found["ShadowProductionVariants"][0]["InitialVariantWeight"] == 1


def test_a_serverless_variant(create: Create) -> None:
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    assert create({"VariantName": "A", "ModelName": "cat", "ServerlessConfig": serverless})


def test_twice(create: Create, refusal: Refusal) -> None:
    create(_variant())
    taken = ("ValidationException", f'Cannot create already existing endpoint configuration "{ARN}config".')
    assert refusal(lambda **_: create(_variant())) == taken


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ([_variant(ModelName="dog")], 'Could not find model "arn:aws:sagemaker:eu-west-1:000000000000:model/dog".'),
        ([_variant(), _variant()], "Variant names must be unique"),
        ([_variant(InitialVariantWeight=0)], "add up to 0"),
        ([{"VariantName": "A", "ModelName": "cat"}], "needs an InstanceType"),
        ([{"VariantName": "A", "InstanceType": "ml.m5.large"}], "names no model"),
    ],
)
def test_what_is_refused(
    sagemaker: Any, create: Create, refusal: Refusal, variants: list[dict[str, Any]], message: str
) -> None:
    code, text = refusal(lambda **_: create(*variants))
    assert code == "ValidationException"
    assert message in text
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []


@pytest.mark.parametrize("given", [{"EnableCapture": True}, {}])
def test_data_capture_is_refused_since_nothing_would_be_captured(
    sagemaker: Any, create: Create, refusal: Refusal, given: dict[str, Any]
) -> None:
    capture = {
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://bucket/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    code, text = refusal(lambda **_: create(_variant(), DataCaptureConfig=capture | given))
    assert code == "ValidationException"
    assert "DataCaptureConfig captures nothing here yet; leave it out or set EnableCapture false" in text
    assert sagemaker.list_endpoint_configs()["EndpointConfigs"] == []
    create(_variant(), DataCaptureConfig=capture | {"EnableCapture": False})
    assert not sagemaker.describe_endpoint_config(EndpointConfigName="config")["DataCaptureConfig"]["EnableCapture"]


def test_deleting(sagemaker: Any, create: Create, refusal: Refusal) -> None:
    create(_variant())
    sagemaker.delete_endpoint_config(EndpointConfigName="config")
    gone = ("ValidationException", f'Could not find endpoint configuration "{ARN}config".')
    assert refusal(sagemaker.describe_endpoint_config, EndpointConfigName="config") == gone
    assert refusal(sagemaker.delete_endpoint_config, EndpointConfigName="config") == gone


def test_listing(sagemaker: Any, create: Create) -> None:
    for name in ("a", "b"):
        create(_variant(), name=name)
    found = sagemaker.list_endpoint_configs(SortBy="Name", NameContains="a")["EndpointConfigs"]
    assert [set(one) for one in found] == [{"EndpointConfigName", "EndpointConfigArn", "CreationTime"}]
    assert found[0]["EndpointConfigArn"] == ARN + "a"


def _serverless(**more: Any) -> dict[str, Any]:
    return {
        "VariantName": "A",
        "ModelName": "cat",
        "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5} | more,
    }


@pytest.mark.parametrize("memory", [1024, 2048, 3072, 4096, 5120, 6144])
def test_memory_sizes_of_aws(create: Create, memory: int) -> None:
    assert create(_serverless(MemorySizeInMB=memory))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"MemorySizeInMB": 1500},
            "1 validation error detected: Value '1500' at 'productionVariants.1.member.serverlessConfig.memorySizeInMB'"
            " failed to satisfy constraint: Member must satisfy enum value set: [1024, 2048, 3072, 4096, 5120, 6144]",
        ),
        ({"MemorySizeInMB": 512}, "'productionVariants.1.member.serverlessConfig.memorySizeInMB' failed to satisfy"),
        ({"MemorySizeInMB": 7168}, "Member must have value less than or equal to 6144"),
        ({"MaxConcurrency": 0}, "Member must have value greater than or equal to 1"),
        ({"MaxConcurrency": 201}, "Member must have value less than or equal to 200"),
        ({"ProvisionedConcurrency": 6}, 'ProvisionedConcurrency of the variant "A" must not be above'),
    ],
)
def test_serverless_settings_that_aws_refuses(
    create: Create, refusal: Refusal, change: dict[str, Any], message: str
) -> None:
    code, said = refusal(lambda: create(_serverless(**change)))
    assert code == "ValidationException"
    assert message in said


def test_a_variant_is_serverless_or_has_an_instance(create: Create, refusal: Refusal) -> None:
    code, said = refusal(lambda: create(_serverless() | {"InstanceType": "ml.m5.large"}))
    assert (code, "has both a ServerlessConfig and an InstanceType" in said) == ("ValidationException", True)


def test_files_of_this_machine_are_served_in_local_mode_alone(
    create: Create, platform: Platform, refusal: Refusal
) -> None:
    container = {"Image": "image-classification:1", "ModelDataUrl": "file:///out/model.tar.gz"}
    platform.store.create("model", "here", arn="arn:here", body={"PrimaryContainer": container})
    assert create(_variant(ModelName="here", InstanceType="local"))
    code, message = refusal(lambda: create(_variant(ModelName="here"), name="other"))
    assert code == "ValidationException"
    assert message.startswith("file:///out/model.tar.gz is a file of this machine, which only the instance types local")
    assert "CUDA finds no GPU" in refusal(lambda: create(_variant(InstanceType="local_gpu"), name="other"))[1]


def test_elastic_inference_is_kept_and_the_log_says_that_it_does_nothing(
    sagemaker: Any, create: Create, caplog: pytest.LogCaptureFixture
) -> None:
    create(_variant(AcceleratorType="ml.eia2.medium"))
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName="config")["ProductionVariants"]
    assert variant["AcceleratorType"] == "ml.eia2.medium"
    said = [record.getMessage() for record in caplog.records]
    assert ["AcceleratorType ml.eia2.medium of the variant AllTraffic is kept" in one for one in said] == [True]
