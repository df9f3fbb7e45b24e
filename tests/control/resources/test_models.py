"""Models, as boto3 sees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clary.control.platform import Platform

Refusal = Callable[..., tuple[str, str]]
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:model/"
ROLE = "arn:aws:iam::000000000000:role/ClaryRole"
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"


@pytest.fixture
def create(sagemaker: Any, put_object: Callable[[str], str]) -> Callable[..., str]:
    """``create("cat")``: a model whose data exists; returns its ARN."""

    def create(name: str, **more: Any) -> str:
        container = {"Image": IMAGE, "ModelDataUrl": put_object(f"{name}/model.tar.gz"), "Environment": {"A": "b"}}
        request = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
        return str(sagemaker.create_model(**request | more)["ModelArn"])

    return create


Create = Callable[..., str]


class TestCreate:
    def test_a_model_is_described_as_it_was_made(self, sagemaker: Any, create: Create) -> None:
        before = datetime.now(UTC) - timedelta(seconds=1)
        assert create("Cat-1", Tags=[{"Key": "k", "Value": "v"}]) == ARN + "cat-1"
        model = sagemaker.describe_model(ModelName="Cat-1")
        assert model.pop("ResponseMetadata")["HTTPStatusCode"] == 200
        assert before <= model.pop("CreationTime") <= datetime.now(UTC)
        data = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/Cat-1/model.tar.gz", "Environment": {"A": "b"}}
        assert model == {
            "ModelName": "Cat-1",
            "ModelArn": ARN + "cat-1",
            "ExecutionRoleArn": ROLE,
            "PrimaryContainer": data,
            "EnableNetworkIsolation": False,
        }
        assert sagemaker.list_tags(ResourceArn=ARN + "cat-1")["Tags"] == [{"Key": "k", "Value": "v"}]

    @pytest.mark.parametrize("host", ["bucket.s3.amazonaws.com", "s3-eu-west-1.amazonaws.com/bucket"])
    def test_data_by_its_address(
        self, sagemaker: Any, create: Create, put_object: Callable[[str], str], host: str
    ) -> None:
        put_object("a b/model.tar.gz")
        container = {"Image": IMAGE, "ModelDataUrl": f"https://{host}/a%20b/model.tar.gz"}
        create("addressed", PrimaryContainer=container)
        assert sagemaker.describe_model(ModelName="addressed")["PrimaryContainer"] == container

    def test_several_containers(self, sagemaker: Any, create: Create, put_object: Callable[[str], str]) -> None:
        containers = [{"Image": IMAGE, "ModelDataUrl": put_object("b.tar.gz")}, {"Image": IMAGE}]
        create("pipe", Containers=containers, PrimaryContainer={})
        assert sagemaker.describe_model(ModelName="pipe")["Containers"] == containers

    @pytest.mark.parametrize("name", ["cat", "CAT"])
    def test_twice(self, sagemaker: Any, create: Create, refusal: Refusal, name: str) -> None:
        create("cat")
        code, message = refusal(create, name=name)
        assert (code, message) == ("ValidationException", f'Cannot create already existing model "{ARN}cat".')

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ("s3://bucket/none/model.tar.gz", "Could not find model data at s3://bucket/none/model.tar.gz."),
            ("s3://bucket/cat", "Could not find model data at s3://bucket/cat."),
            ("s3://nowhere/model.tar.gz", "there is no bucket nowhere"),
            ("https://example.org/model.tar.gz", '"https://example.org/model.tar.gz" is no S3 URI'),
        ],
    )
    def test_model_data_must_be_there(
        self, sagemaker: Any, create: Create, refusal: Refusal, data: str, message: str
    ) -> None:
        create("cat")
        refused = refusal(create, name="dog", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": data})
        assert refused[0] == "ValidationException"
        assert message in refused[1]
        assert refusal(sagemaker.describe_model, ModelName="dog")[0] == "ValidationException"

    def test_data_given_as_a_prefix(self, sagemaker: Any, create: Create, refusal: Refusal) -> None:
        create("cat")

        def container(uri: str, kind: str = "S3Prefix") -> dict[str, Any]:
            place = {"S3Uri": uri, "S3DataType": kind, "CompressionType": "Gzip"}
            return {"Image": IMAGE, "ModelDataSource": {"S3DataSource": place}}

        create("prefix", PrimaryContainer=container("s3://bucket/cat/"))
        create("object", PrimaryContainer=container("s3://bucket/cat/model.tar.gz", "S3Object"))
        many = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/cat/"}
        create("many", PrimaryContainer=many)
        assert "find model data" in refusal(create, name="x", PrimaryContainer=container("s3://bucket/cats/"))[1]
        whole = container("s3://bucket/cat/model", "S3Object")
        assert "find model data" in refusal(create, name="x", PrimaryContainer=whole)[1]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"PrimaryContainer": {}}, "PrimaryContainer or Containers"),
            ({"Containers": [{"Image": IMAGE}]}, "not both"),
            ({"PrimaryContainer": {"Environment": {"A": "b"}}}, "Image or a ModelPackageName"),
            ({"PrimaryContainer": {"ModelPackageName": "group/7"}}, 'Could not find model package "group/7".'),
            ({"Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}, "Duplicate tag keys"),
        ],
    )
    def test_what_is_no_model(
        self, sagemaker: Any, create: Create, refusal: Refusal, change: dict[str, Any], message: str
    ) -> None:
        code, text = refusal(create, name="cat", **change)
        assert code == "ValidationException"
        assert message in text
        assert sagemaker.list_models()["Models"] == []


class TestDelete:
    def test_it_is_gone_and_its_name_free(self, sagemaker: Any, create: Create, refusal: Refusal) -> None:
        create("cat", Tags=[{"Key": "k", "Value": "v"}])
        sagemaker.delete_model(ModelName="cat")
        gone = ("ValidationException", f'Could not find model "{ARN}cat".')
        assert refusal(sagemaker.describe_model, ModelName="cat") == gone
        assert refusal(sagemaker.delete_model, ModelName="cat") == gone
        create("cat")
        assert sagemaker.list_tags(ResourceArn=ARN + "cat")["Tags"] == []


class TestList:
    def test_newest_first_in_pages_of_ten(self, sagemaker: Any, platform: Platform) -> None:
        names = [f"model-{number:02d}" for number in range(23)]
        for name in names:
            platform.store.create("model", name, arn=ARN + name, body={})
        first = sagemaker.list_models()
        assert len(first["Models"]) == 10
        pages = list(sagemaker.get_paginator("list_models").paginate())
        assert [len(page["Models"]) for page in pages] == [10, 10, 3]
        found = [model["ModelName"] for page in pages for model in page["Models"]]
        assert sorted(found) == names
        times = [model["CreationTime"] for page in pages for model in page["Models"]]
        assert times == sorted(times, reverse=True)
        assert set(first["Models"][0]) == {"ModelName", "ModelArn", "CreationTime"}

    def test_filters(self, sagemaker: Any, create: Create) -> None:
        for name in ("cat-1", "cat-2", "dog"):
            create(name)

        def names(**request: Any) -> list[str]:
            return [model["ModelName"] for model in sagemaker.list_models(SortBy="Name", **request)["Models"]]

        hour = timedelta(hours=1)
        assert names(SortOrder="Ascending") == ["cat-1", "cat-2", "dog"]
        assert names() == ["dog", "cat-2", "cat-1"]
        assert names(NameContains="cat", MaxResults=1) == ["cat-2"]
        assert names(CreationTimeAfter=datetime.now(UTC) + hour) == []
        assert len(names(CreationTimeAfter=datetime.now(UTC) - hour, CreationTimeBefore=datetime.now(UTC) + hour)) == 3

    def test_a_wrong_token(self, sagemaker: Any, create: Create, refusal: Refusal) -> None:
        create("a")
        create("b")
        token = sagemaker.list_models(MaxResults=1)["NextToken"]
        assert refusal(sagemaker.list_models, NextToken="nonsense")[0] == "ValidationException"
        assert "NextToken" in refusal(sagemaker.list_models, NextToken=token, NameContains="a")[1]
        assert refusal(sagemaker.list_endpoint_configs, NextToken=token)[0] == "ValidationException"
