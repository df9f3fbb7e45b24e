"""Model package groups, their versions, and packages by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:"
ROLE = "arn:aws:iam::000000000000:role/any"
INFERENCE = {
    "Containers": [{"Image": "image-classification:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
    "SupportedContentTypes": ["image/jpeg"],
    "SupportedResponseMIMETypes": ["application/json"],
}
STAGE = {"Stage": "Development", "StageStatus": "begun", "StageDescription": "as before"}


@pytest.fixture
def group(sagemaker) -> str:
    """The ARN of the group ``Pets``."""
    tags = [{"Key": "team", "Value": "cats"}]
    arn: str = sagemaker.create_model_package_group(
        ModelPackageGroupName="Pets", ModelPackageGroupDescription="cats and dogs", Tags=tags
    )["ModelPackageGroupArn"]
    return arn


def _version(sagemaker: Any, **more: Any) -> str:
    request = {"ModelPackageGroupName": "Pets", "InferenceSpecification": INFERENCE, **more}
    arn: str = sagemaker.create_model_package(**request)["ModelPackageArn"]
    return arn


def test_groups(sagemaker, group, refusal):
    assert group == f"{ARN}model-package-group/pets"
    for name in ("Pets", group):
        described = sagemaker.describe_model_package_group(ModelPackageGroupName=name)
        assert described["ModelPackageGroupName"] == "Pets"
        assert described["ModelPackageGroupDescription"] == "cats and dogs"
        assert described["ModelPackageGroupStatus"] == "Completed"
    assert sagemaker.list_tags(ResourceArn=group)["Tags"] == [{"Key": "team", "Value": "cats"}]
    listed = sagemaker.list_model_package_groups(NameContains="et")["ModelPackageGroupSummaryList"]
    assert [one["ModelPackageGroupArn"] for one in listed] == [group]
    assert sagemaker.list_model_package_groups(NameContains="x")["ModelPackageGroupSummaryList"] == []
    for name in ("Pets", "PETS"):
        code, message = refusal(sagemaker.create_model_package_group, ModelPackageGroupName=name)
        assert (code, message) == ("ValidationException", f"Model Package Group already exists: {group}")
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    code, message = refusal(sagemaker.describe_model_package_group, ModelPackageGroupName="Pets")
    assert (code, message) == ("ValidationException", f"ModelPackageGroup {group} does not exist.")


def test_versions_count_up_and_wait_for_approval(sagemaker, group):
    first = _version(sagemaker, ModelApprovalStatus="Approved", CustomerMetadataProperties={"a": "1"})
    second = _version(sagemaker)
    assert (first, second) == (f"{ARN}model-package/pets/1", f"{ARN}model-package/pets/2")
    described = sagemaker.describe_model_package(ModelPackageName=second)
    assert described["ModelPackageVersion"] == 2
    assert described["ModelPackageGroupName"] == "Pets"
    assert described["ModelPackageStatus"] == "Completed"
    assert described["ModelApprovalStatus"] == "PendingManualApproval"
    assert described["InferenceSpecification"] == INFERENCE
    assert described["ModelPackageStatusDetails"]["ValidationStatuses"] == []
    assert "ClientToken" not in described
    assert sagemaker.describe_model_package(ModelPackageName="Pets/1")["ModelPackageArn"] == first
    sagemaker.delete_model_package(ModelPackageName=second)
    assert _version(sagemaker) == f"{ARN}model-package/pets/3"  # a number is never given twice


def test_the_same_request_twice_is_one_version(sagemaker, group):
    arns = {_version(sagemaker, ClientToken="t" * 36) for _ in range(3)}
    assert arns == {f"{ARN}model-package/pets/1"}
    assert _version(sagemaker, ClientToken="u" * 36) == f"{ARN}model-package/pets/2"


def test_versions_made_at_once_are_all_different(sagemaker, group):
    with ThreadPoolExecutor(6) as pool:
        arns = list(pool.map(lambda _: _version(sagemaker), range(18)))
    assert sorted(int(arn.rpartition("/")[2]) for arn in arns) == list(range(1, 19))


def test_update(sagemaker, group):
    arn = _version(sagemaker, CustomerMetadataProperties={"a": "1", "b": "2"})
    extra = {"Name": "edge", "Containers": [{"Image": "image-classification:1"}]}
    sagemaker.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus="Approved",
        ApprovalDescription="good",
        CustomerMetadataProperties={"c": "3"},
        CustomerMetadataPropertiesToRemove=["a"],
        AdditionalInferenceSpecificationsToAdd=[extra],
    )
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == ("Approved", "good")
    assert described["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert described["AdditionalInferenceSpecifications"] == [extra]
    assert described["InferenceSpecification"] == INFERENCE


def test_new_content_of_a_card_leaves_its_status_and_the_approval(sagemaker, group):
    card = {"ModelCardContent": "{}", "ModelCardStatus": "PendingReview"}
    arn = _version(sagemaker, ModelCard=card, ModelApprovalStatus="Approved", ModelLifeCycle=STAGE)
    sagemaker.update_model_package(ModelPackageArn=arn, ModelCard={"ModelCardContent": '{"a": 1}'})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelLifeCycle={"Stage": "Development", "StageStatus": "done"})
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["ModelCard"] == {"ModelCardContent": '{"a": 1}', "ModelCardStatus": "PendingReview"}
    assert described["ModelLifeCycle"] == {**STAGE, "StageStatus": "done", "StageDescription": "as before"}
    assert described["ModelApprovalStatus"] == "Approved"
    sagemaker.update_model_package(ModelPackageArn=arn, ModelCard={"ModelCardStatus": "Approved"})
    described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert described["ModelCard"] == {"ModelCardContent": '{"a": 1}', "ModelCardStatus": "Approved"}


def test_a_source_gives_its_inference_specification(sagemaker, group, put_object):
    source = _version(sagemaker)
    copy = sagemaker.create_model_package(ModelPackageName="copy", SourceUri=source)["ModelPackageArn"]
    described = sagemaker.describe_model_package(ModelPackageName=copy)
    assert (described["InferenceSpecification"], described["SourceUri"]) == (INFERENCE, source)
    # What the request brings itself counts.
    own = {"Containers": [{"Image": "object-detection:1"}]}
    named = {"ModelPackageName": "own", "SourceUri": source, "InferenceSpecification": own}
    arn = sagemaker.create_model_package(**named)["ModelPackageArn"]
    assert sagemaker.describe_model_package(ModelPackageName=arn)["InferenceSpecification"] == own
    # A model is registered by its ARN; any other address is only kept.
    container = {"Image": "image-classification:1", "ModelDataUrl": put_object("m.tar.gz"), "Environment": {"A": "b"}}
    role = "arn:aws:iam::000000000000:role/any"
    model = sagemaker.create_model(ModelName="cat", PrimaryContainer=container, ExecutionRoleArn=role)["ModelArn"]
    registered = sagemaker.create_model_package(ModelPackageGroupName="Pets", SourceUri=model)["ModelPackageArn"]
    described = sagemaker.describe_model_package(ModelPackageName=registered)
    assert described["InferenceSpecification"]["Containers"] == [container]
    kept = sagemaker.create_model_package(ModelPackageName="kept", SourceUri="s3://bucket/x")["ModelPackageArn"]
    assert "InferenceSpecification" not in sagemaker.describe_model_package(ModelPackageName=kept)


def test_nothing_is_in_a_group_that_is_not_there(sagemaker, group):
    for name in ("Birds", f"{ARN}model-package-group/birds"):
        assert sagemaker.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"] == []


def test_lists(sagemaker, group):
    for status in ("Approved", "Rejected", "Approved"):
        _version(sagemaker, ModelApprovalStatus=status)
    sagemaker.create_model_package(ModelPackageName="alone", InferenceSpecification=INFERENCE)

    def listed(**request: Any) -> list[str]:
        packages = sagemaker.list_model_packages(**request)["ModelPackageSummaryList"]
        return [one["ModelPackageArn"].removeprefix(f"{ARN}model-package/") for one in packages]

    assert listed() == ["alone"]
    assert listed(ModelPackageGroupName="Pets") == ["pets/1", "pets/2", "pets/3"]
    assert listed(ModelPackageGroupName=group, ModelApprovalStatus="Approved") == ["pets/1", "pets/3"]
    newest = listed(ModelPackageGroupName="Pets", SortBy="CreationTime", SortOrder="Descending", MaxResults=1)
    assert newest == ["pets/3"]
    assert listed(ModelPackageType="Versioned") == ["pets/1", "pets/2", "pets/3"]
    assert len(listed(ModelPackageType="Both")) == 4


def test_packages_by_themselves(sagemaker, refusal):
    arn = sagemaker.create_model_package(ModelPackageName="Alone", CertifyForMarketplace=False)["ModelPackageArn"]
    assert arn == f"{ARN}model-package/alone"
    described = sagemaker.describe_model_package(ModelPackageName="Alone")
    assert described["ModelPackageName"] == "Alone"
    assert "ModelPackageVersion" not in described
    code, message = refusal(sagemaker.create_model_package, ModelPackageName="alone")
    assert code == "ValidationException"
    assert "ModelPackage already exists" in message


def test_wrong_requests_are_refused_by_name(sagemaker, group, refusal):
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (sagemaker.create_model_package, {}, "Missing ARN."),
        (
            sagemaker.create_model_package,
            {"ModelPackageName": "a", "ModelPackageGroupName": "Pets"},
            "Both ModelPackageName and ModelPackageGroupName are provided in the input.",
        ),
        (
            sagemaker.create_model_package,
            {"ModelPackageName": "a", "SourceUri": f"{ARN}model-package/none/1"},
            "model-package/none/1 does not exist",
        ),
        (
            sagemaker.create_model_package,
            {"ModelPackageName": "a", "SourceUri": f"{ARN}model/none"},
            f'Could not find model "{ARN}model/none"',
        ),
        (
            sagemaker.create_model_package,
            {"ModelPackageGroupName": "Birds"},
            "model-package-group/birds does not exist",
        ),
        (
            sagemaker.create_model_package,
            {"ModelPackageGroupName": "Pets", "Tags": [{"Key": "a", "Value": "b"}]},
            "tag its model package group",
        ),
        (sagemaker.describe_model_package, {"ModelPackageName": "Pets/7"}, "model-package/pets/7 does not exist"),
        (sagemaker.describe_model_package, {"ModelPackageName": group}, "pets does not exist"),
        (sagemaker.update_model_package, {"ModelPackageArn": f"{ARN}model-package/x/1"}, "x/1 does not exist"),
        (sagemaker.delete_model_package, {"ModelPackageName": "nothing"}, "model-package/nothing does not exist"),
        (sagemaker.list_model_packages, {"NextToken": "nonsense"}, "oken"),
    ]
    for call, request, words in cases:
        code, message = refusal(call, **request)
        assert code == "ValidationException"
        assert words in message


def test_a_group_with_versions_stays(sagemaker, group, refusal):
    arn = _version(sagemaker)
    code, message = refusal(sagemaker.delete_model_package_group, ModelPackageGroupName="Pets")
    assert code == "ConflictException"
    assert arn in message
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName="Pets")


def test_what_is_aws_marketplaces_is_refused_by_name(sagemaker, group, refusal):
    arn = "arn:aws:sagemaker:us-east-1:865070037744:model-package/gluoncv-ssd-resnet5-1234"
    for call, member in ((sagemaker.describe_model_package, "ModelPackageName"), (sagemaker.create_model, "")):
        container = {"PrimaryContainer": {"ModelPackageName": arn}, "ModelName": "m", "ExecutionRoleArn": ROLE}
        code, message = refusal(call, **({member: arn} if member else container))
        assert code == "ValidationException"
        assert arn in message
        assert "it belongs to the account 865070037744, as what AWS Marketplace sells does" in message
    algorithm = "arn:aws:sagemaker:us-east-1:865070037744:algorithm/some"
    sources = {"SourceAlgorithms": [{"AlgorithmName": algorithm, "ModelDataUrl": "s3://bucket/m.tar.gz"}]}
    request = {"ModelPackageName": "bought", "SourceAlgorithmSpecification": sources}
    code, message = refusal(sagemaker.create_model_package, **request)
    assert (code, f"The algorithm {algorithm} of SourceAlgorithmSpecification is not here" in message) == (
        "ValidationException",
        True,
    )
    # With its containers it is one of one's own.
    sagemaker.create_model_package(**request, InferenceSpecification=INFERENCE)
