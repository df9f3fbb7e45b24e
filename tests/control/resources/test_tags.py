"""Tags, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clary.control.platform import Platform

Refusal = Callable[..., tuple[str, str]]
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model/cat"


@pytest.fixture
def arn(platform: Platform) -> str:
    """The ARN of a model with one tag."""
    return platform.store.create("model", "cat", arn=ARN, body={}, tags={"k": "v"}).arn


def _tags(**values: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def test_add_replace_delete(sagemaker: Any, arn: str) -> None:
    added = sagemaker.add_tags(ResourceArn=arn, Tags=_tags(k="2", l="3"))
    assert added["Tags"] == _tags(k="2", l="3")
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["k", "unknown"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == _tags(l="3")


def test_all_come_at_once(sagemaker: Any, arn: str) -> None:
    sagemaker.add_tags(ResourceArn=arn, Tags=_tags(**{f"t{number:02d}": "x" for number in range(49)}))
    found = sagemaker.list_tags(ResourceArn=arn, MaxResults=50)
    assert len(found["Tags"]) == 50
    assert "NextToken" not in found


def test_there_is_no_second_page(sagemaker: Any, arn: str, refusal: Refusal) -> None:
    code, message = refusal(sagemaker.list_tags, ResourceArn=arn, NextToken="x")
    assert (code, message) == ("ValidationException", "Invalid NextToken: all tags were in the answer before")


def test_no_tags(sagemaker: Any, platform: Platform) -> None:
    platform.store.create("model", "cat", arn=ARN, body={})
    assert sagemaker.list_tags(ResourceArn=ARN)["Tags"] == []


def test_too_many(sagemaker: Any, arn: str, refusal: Refusal) -> None:
    fifty = _tags(**{f"t{number:02d}": "x" for number in range(50)})
    assert refusal(sagemaker.add_tags, ResourceArn=arn, Tags=fifty)[0] == "ResourceLimitExceeded"
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == _tags(k="v")


@pytest.mark.parametrize("tags", [_tags(a="1") + _tags(a="2"), [{"Key": "AWS:x", "Value": "1"}]])
def test_keys_that_are_refused(sagemaker: Any, arn: str, refusal: Refusal, tags: list[dict[str, str]]) -> None:
    assert refusal(sagemaker.add_tags, ResourceArn=arn, Tags=tags)[0] == "ValidationException"


def test_an_unknown_resource(sagemaker: Any, refusal: Refusal) -> None:
    missing = ("ValidationException", f'Could not find resource "{ARN}".')
    assert refusal(sagemaker.add_tags, ResourceArn=ARN, Tags=_tags(a="1")) == missing
    assert refusal(sagemaker.list_tags, ResourceArn=ARN) == missing
    assert refusal(sagemaker.delete_tags, ResourceArn=ARN, TagKeys=["a"]) == missing
