"""ListBuckets in pages, by prefix and by region."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refused = Callable[..., tuple[str, int]]


@pytest.fixture(autouse=True)
def _buckets(s3: Any) -> None:
    for name in ("alpha", "beta", "bets"):
        s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket="euro", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def names(answer: dict[str, Any]) -> list[str]:
    return [each["Name"] for each in answer["Buckets"]]


def test_pages(s3: Any) -> None:
    first = s3.list_buckets(MaxBuckets=2)
    assert names(first) == ["alpha", "beta"]
    second = s3.list_buckets(MaxBuckets=2, ContinuationToken=first["ContinuationToken"])
    assert names(second) == ["bets", "box"]
    last = s3.list_buckets(MaxBuckets=2, ContinuationToken=second["ContinuationToken"])
    assert names(last) == ["euro"]
    assert "ContinuationToken" not in last
    pages = s3.get_paginator("list_buckets").paginate(PaginationConfig={"PageSize": 1})
    assert [name for page in pages for name in names(page)] == ["alpha", "beta", "bets", "box", "euro"]


def test_no_page_is_empty(s3: Any) -> None:
    assert "ContinuationToken" not in s3.list_buckets(MaxBuckets=5)
    assert "ContinuationToken" not in s3.list_buckets(MaxBuckets=2, Prefix="bet")


def test_by_prefix_and_region(s3: Any) -> None:
    answer = s3.list_buckets(Prefix="bet")
    assert (names(answer), answer["Prefix"]) == (["beta", "bets"], "bet")
    assert names(s3.list_buckets(BucketRegion="eu-west-1")) == ["euro"]
    assert names(s3.list_buckets(BucketRegion="us-east-1", MaxBuckets=1, Prefix="bo")) == ["box"]
    assert {each["Name"]: each["BucketRegion"] for each in s3.list_buckets()["Buckets"]}["euro"] == "eu-west-1"
    assert s3.list_buckets()["Owner"]["ID"] == "clary"


@pytest.mark.parametrize("query", ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=%3F%3F"])
def test_what_cannot_be_asked(url: str, raw: Callable[..., Any], query: str) -> None:
    answer = raw(url, "GET", f"/?{query}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_a_token_of_no_name(url: str, raw: Callable[..., Any]) -> None:
    assert raw(url, "GET", "/?continuation-token=_w==").code == "InvalidArgument"
