"""Every List operation of SageMaker, as boto3's paginators and waiters use them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from clary.control.platform import Platform

Refusal = Callable[..., tuple[str, str]]
# Operation, kind of record, the list's member, that of a name, and whether the newest come first where nothing is said
# (API reference).
LISTS = [
    ("list_training_jobs", "training-job", "TrainingJobSummaries", "TrainingJobName", False),
    ("list_processing_jobs", "processing-job", "ProcessingJobSummaries", "ProcessingJobName", False),
    ("list_models", "model", "Models", "ModelName", True),
    ("list_endpoint_configs", "endpoint-config", "EndpointConfigs", "EndpointConfigName", True),
    ("list_endpoints", "endpoint", "Endpoints", "EndpointName", True),
    (
        "list_model_package_groups",
        "model-package-group",
        "ModelPackageGroupSummaryList",
        "ModelPackageGroupName",
        False,
    ),
    ("list_model_packages", "model-package", "ModelPackageSummaryList", "ModelPackageName", False),
]
NAMES = [f"{number}{letter}" for number in range(6) for letter in "Yx"]  # in the order they are made, which some share

pytestmark = pytest.mark.parametrize(
    ("operation", "kind", "member", "name", "newest"), LISTS, ids=[o for o, *_ in LISTS]
)


@pytest.fixture(autouse=True)
def records(platform: Platform, kind: str, name: str) -> None:
    for made in NAMES:
        arn = f"arn:aws:sagemaker:eu-west-1:000000000000:{kind}/{made.lower()}"
        platform.store.create(kind, made, arn=arn, body={name: made})


def listed(client: Any, operation: str, member: str, name: str, **wanted: Any) -> list[str]:
    size = {"PageSize": wanted.pop("size", None)}
    pages = client.get_paginator(operation).paginate(**wanted, PaginationConfig=size)
    return [one[name] for page in pages for one in page[member]]


def test_pages_give_each_once_in_the_order_of_aws(
    sagemaker: Any, operation: str, kind: str, member: str, name: str, newest: bool
) -> None:
    ordered = NAMES[::-1] if newest else NAMES
    for size in (1, 5, 12, 100, None):
        assert listed(sagemaker, operation, member, name, size=size) == ordered
    for order, wanted in (("Ascending", sorted(NAMES)), ("Descending", sorted(NAMES, reverse=True))):
        assert listed(sagemaker, operation, member, name, size=5, SortBy="Name", SortOrder=order) == wanted


def test_filters(sagemaker: Any, operation: str, kind: str, member: str, name: str, newest: bool) -> None:
    assert set(listed(sagemaker, operation, member, name, NameContains="3", size=1)) == {"3x", "3Y"}
    assert listed(sagemaker, operation, member, name, NameContains="none") == []
    # By the second page the filters still hold.
    assert len(listed(sagemaker, operation, member, name, NameContains="x", size=4)) == 6
    assert listed(sagemaker, operation, member, name, CreationTimeAfter=datetime(2100, 1, 1)) == []
    assert len(listed(sagemaker, operation, member, name, CreationTimeBefore=datetime(2100, 1, 1))) == len(NAMES)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"MaxResults": 0}, "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater"),
        ({"MaxResults": 101}, "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less"),
        ({"SortBy": "Size"}, "Value 'Size' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value"),
        ({"SortOrder": "Up"}, "Value 'Up' at 'sortOrder' failed to satisfy constraint: Member must satisfy enum value"),
        ({"NameContains": "a b"}, "Value 'a b' at 'nameContains' failed to satisfy constraint: Member must satisfy"),
        ({"NextToken": "x"}, "Invalid NextToken"),
    ],
)
def test_what_is_refused(
    sagemaker: Any,
    refusal: Refusal,
    operation: str,
    kind: str,
    member: str,
    name: str,
    newest: bool,
    wanted: dict[str, Any],
    words: str,
) -> None:
    if kind == "processing-job" and "NameContains" in wanted:  # whose description has no pattern
        assert listed(sagemaker, operation, member, name, **wanted) == []
        return
    code, message = refusal(getattr(sagemaker, operation), **wanted)
    assert code == "ValidationException"
    assert words in message


def test_a_token_is_good_for_its_own_list_alone(
    sagemaker: Any, refusal: Refusal, operation: str, kind: str, member: str, name: str, newest: bool
) -> None:
    call = getattr(sagemaker, operation)
    token = call(MaxResults=2)["NextToken"]
    assert len(call(MaxResults=3, NextToken=token)[member]) == 3
    assert "Invalid NextToken" in refusal(call, NextToken=token, NameContains="x")[1]
    other = sagemaker.list_models if kind != "model" else sagemaker.list_endpoints
    assert "Invalid NextToken" in refusal(other, NextToken=token)[1]
