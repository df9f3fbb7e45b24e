"""A bucket that never had versions has one of each object, with the id ``null``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

Refused = Callable[..., tuple[str, int]]
KEYS = ["a", "b/1", "b/2", "c"]


@pytest.fixture(autouse=True)
def _objects(s3: Any) -> None:
    for key in KEYS:
        s3.put_object(Bucket="box", Key=key, Body=key.encode())


def test_each_is_the_latest(s3: Any) -> None:
    answer = s3.list_object_versions(Bucket="box")
    found = [(each["Key"], each["VersionId"], each["IsLatest"], each["Size"]) for each in answer["Versions"]]
    assert found == [(key, "null", True, len(key)) for key in KEYS]
    assert (answer["IsTruncated"], answer["Name"], answer["MaxKeys"]) == (False, "box", 1000)
    assert answer["Versions"][0]["ETag"] == s3.head_object(Bucket="box", Key="a")["ETag"]
    assert answer["Versions"][0]["Owner"]["ID"] == "clary"
    assert "DeleteMarkers" not in answer


def test_in_pages_and_folders(s3: Any) -> None:
    pages = s3.get_paginator("list_object_versions").paginate(Bucket="box", PaginationConfig={"PageSize": 1})
    assert [each["Key"] for page in pages for each in page.get("Versions", [])] == KEYS
    answer = s3.list_object_versions(Bucket="box", Delimiter="/", MaxKeys=2)
    assert [each["Prefix"] for each in answer["CommonPrefixes"]] == ["b/"]
    rest = s3.list_object_versions(
        Bucket="box", Delimiter="/", KeyMarker=answer["NextKeyMarker"], VersionIdMarker=answer["NextVersionIdMarker"]
    )
    assert [each["Key"] for each in rest["Versions"]] == ["c"]
    assert "CommonPrefixes" not in rest


def test_null_names_it(s3: Any, refused: Refused) -> None:
    here = {"Bucket": "box", "Key": "a"}
    assert s3.get_object(**here, VersionId="null")["Body"].read() == b"a"
    assert s3.head_object(**here, VersionId="null")["ContentLength"] == 1
    assert refused(s3.get_object, **here, VersionId="other") == ("NoSuchVersion", 404)
    s3.copy_object(Bucket="box", Key="d", CopySource={**here, "VersionId": "null"})
    s3.delete_object(**here, VersionId="null")
    assert refused(s3.head_object, **here) == ("404", 404)


def test_of_many_deletes_only_null(s3: Any) -> None:
    objects = [{"Key": "a", "VersionId": "null"}, {"Key": "c", "VersionId": "other"}]
    answer = s3.delete_objects(Bucket="box", Delete={"Objects": objects})
    assert answer["Deleted"] == [{"Key": "a", "VersionId": "null"}]
    assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [("c", "NoSuchVersion")]
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == KEYS[1:]


def test_boto3_empties_a_bucket_by_them(s3: Any, url: str) -> None:
    resource = boto3.resource("s3", "us-east-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y")
    resource.Bucket("box").object_versions.delete()
    assert "Contents" not in s3.list_objects_v2(Bucket="box")
    resource.Bucket("box").delete()


def test_times_have_whole_seconds(s3: Any) -> None:
    head = s3.head_object(Bucket="box", Key="a")["LastModified"]
    copied = s3.copy_object(Bucket="box", Key="a2", CopySource="box/a")["CopyObjectResult"]["LastModified"]
    listed = {each["Key"]: each["LastModified"] for each in s3.list_objects_v2(Bucket="box")["Contents"]}
    # What a list says and what HEAD says is one time: tools compare the two.
    assert listed["a"] == head == s3.list_object_versions(Bucket="box")["Versions"][0]["LastModified"]
    assert listed["a2"] == copied
    assert all(each.microsecond == 0 for each in (*listed.values(), s3.list_buckets()["Buckets"][0]["CreationDate"]))
