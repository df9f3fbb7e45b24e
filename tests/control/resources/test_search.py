"""Search."""

from __future__ import annotations

from typing import Any

import pytest

RESOURCE = {"Resource": "TrainingJob"}


@pytest.fixture
def names(platform, sagemaker) -> Any:
    """``names(*filters, **request)``: the jobs found. There are five, job-0 to job-4."""
    for number in range(5):
        arn = platform.settings.arn(f"training-job/job-{number}", region="eu-west-1")
        body = {
            "TrainingJobName": f"job-{number}",
            "HyperParameters": {"epochs": str(number)},
            "BillableTimeInSeconds": 10 * number,
            "EnableNetworkIsolation": number == 1,
            "InputDataConfig": [{"ChannelName": "train"}, {"ChannelName": f"extra-{number}"}],
            "CreationTime": 1_700_000_000.0 + number * 60,
            "FailureReason": "AlgorithmError" if number == 2 else None,
            "FinalMetricDataList": [{"MetricName": "validation:accuracy", "Value": number / 5, "Timestamp": 1.7e9}],
            "_phase": "ended",
        }
        status = "Failed" if number == 2 else "Completed"
        tags = {"project": "pets"} if number > 2 else {}
        platform.store.create("training-job", f"job-{number}", arn=arn, body=body, status=status, tags=tags)

    def names(*filters: dict[str, str], **request: Any) -> list[str]:
        if filters:
            request["SearchExpression"] = {"Filters": list(filters), **request.pop("SearchExpression", {})}
        request = {"SortBy": "CreationTime", "SortOrder": "Ascending", **RESOURCE, **request}
        found = sagemaker.search(**request)["Results"]
        return [one["TrainingJob"]["TrainingJobName"].removeprefix("job-") for one in found]

    return names


def where(name: str, operator: str, value: str = "") -> dict[str, str]:
    return {"Name": name, "Operator": operator, **({"Value": value} if value else {})}


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"Name": "TrainingJobName", "Value": "job-3"}, "3"),
        (where("TrainingJobName", "Equals", "job"), ""),
        (where("TrainingJobName", "Contains", "job"), "01234"),
        (where("TrainingJobName", "NotEquals", "job-3"), "0124"),
        (where("TrainingJobName", "In", "job-1, job-4,job-9"), "14"),
        (where("TrainingJobStatus", "Equals", "Failed"), "2"),
        (where("FailureReason", "Exists"), "2"),
        (where("FailureReason", "NotExists"), "0134"),
        (where("BillableTimeInSeconds", "GreaterThan", "20"), "34"),
        (where("BillableTimeInSeconds", "GreaterThanOrEqualTo", "20"), "234"),
        (where("BillableTimeInSeconds", "LessThan", "20"), "01"),
        (where("BillableTimeInSeconds", "LessThanOrEqualTo", "20"), "012"),
        (where("BillableTimeInSeconds", "LessThan", "soon"), ""),
        (where("EnableNetworkIsolation", "Equals", "true"), "1"),
        (where("HyperParameters.epochs", "Equals", "4"), "4"),
        (where("InputDataConfig.ChannelName", "Equals", "extra-0"), "0"),
        (where("CreationTime", "GreaterThan", "2023-11-14T22:14:20"), "234"),
        (where("Tags.project", "Equals", "pets"), "34"),
        (where("HyperParameters.nothing", "Equals", "x"), ""),
        (where("ModelArtifacts.S3ModelArtifacts", "Exists"), ""),
        (where("Metrics.validation:accuracy", "GreaterThan", "0.55"), "34"),
        (where("Metrics.validation:loss", "Exists"), ""),
    ],
)
def test_filters(names, filter, expected):
    assert "".join(names(filter)) == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TrainingJobNam", "; is TrainingJobName meant?"),
        ("Nothing", ""),
        ("trainingJobName", "; is TrainingJobName meant?"),
        ("ResourceConfig.Nothing", ""),
        ("InputDataConfig.ChannelName.x", ""),
        ("_phase", ""),
    ],
)
def test_a_property_that_there_is_not(names, sagemaker, refusal, name, meant):
    """An empty list hid the mistake; AWS refuses the name."""
    inner = {"Filters": [where(name, "Equals", "x")]}
    expression = {"Filters": [where("TrainingJobName", "Contains", "job")], "SubExpressions": [inner]}
    wanted = ("ValidationException", f"TrainingJob has no property {name}{meant}")
    assert refusal(sagemaker.search, **RESOURCE, SearchExpression=expression) == wanted
    assert refusal(sagemaker.search, **RESOURCE, SortBy=name) == wanted


def test_expressions(names):
    first, last = where("TrainingJobName", "Equals", "job-0"), where("TrainingJobName", "Equals", "job-4")
    assert names(first, last) == []
    assert names(first, last, SearchExpression={"Operator": "Or"}) == ["0", "4"]
    inner = {"SubExpressions": [{"Filters": [first, last], "Operator": "Or"}]}
    assert names(where("Tags.project", "Exists"), SearchExpression=inner) == ["4"]
    assert names() == ["0", "1", "2", "3", "4"]


def test_order_and_pages(sagemaker, names):
    assert names(SortBy="BillableTimeInSeconds", SortOrder="Descending") == ["4", "3", "2", "1", "0"]
    assert names(SortBy="FailureReason", SortOrder="Descending")[0] == "2"
    request = {**RESOURCE, "MaxResults": 2, "SortBy": "CreationTime", "SortOrder": "Ascending"}
    pages = list(
        sagemaker.get_paginator("search").paginate(
            **{k: v for k, v in request.items() if k != "MaxResults"}, PaginationConfig={"PageSize": 2}
        )
    )
    assert [len(page["Results"]) for page in pages] == [2, 2, 1]
    found = [one["TrainingJob"]["TrainingJobName"] for page in pages for one in page["Results"]]
    assert found == [f"job-{number}" for number in range(5)]


def test_tags_come_with_what_is_found(sagemaker, names):
    assert names(where("TrainingJobName", "Equals", "job-4")) == ["4"]
    expression = {"Filters": [where("TrainingJobName", "Equals", "job-4")]}
    job = sagemaker.search(**RESOURCE, SearchExpression=expression)["Results"][0]["TrainingJob"]
    assert job["Tags"] == [{"Key": "project", "Value": "pets"}]
    assert "_phase" not in job


def test_the_group_the_sdk_looks_for(sagemaker):
    request = {
        "Resource": "ModelPackageGroup",
        "SearchExpression": {"Filters": [where("ModelPackageGroupName", "Equals", "Pets")]},
    }
    assert sagemaker.search(**request)["Results"] == []
    arn = sagemaker.create_model_package_group(ModelPackageGroupName="Pets")["ModelPackageGroupArn"]
    sagemaker.create_model_package_group(ModelPackageGroupName="Pets-2")
    found = sagemaker.search(**request)["Results"]
    assert [one["ModelPackageGroup"]["ModelPackageGroupArn"] for one in found] == [arn]


def test_what_cannot_be_searched(sagemaker, refusal):
    code, message = refusal(sagemaker.search, Resource="Pipeline")
    assert (code, message.startswith("Clary does not search for Pipeline")) == ("ValidationException", True)
    nested = {"NestedPropertyName": "InputDataConfig", "Filters": [where("InputDataConfig.ChannelName", "Exists")]}
    sagemaker.create_model_package_group(ModelPackageGroupName="Pets")
    code, message = refusal(
        sagemaker.search, Resource="ModelPackageGroup", SearchExpression={"NestedFilters": [nested]}
    )
    assert (code, "NestedFilters" in message) == ("ValidationException", True)
    assert refusal(sagemaker.search, Resource="Endpoint", NextToken="x")[0] == "ValidationException"
