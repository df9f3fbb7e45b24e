"""Tags of objects: stored, given back, copied, and held to S3's limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from clary.control.objects.local import LocalStore

Raw = Callable[..., Any]
Refused = Callable[..., tuple[str, int]]


def tag_set(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of(s3: Any, key: str = "x") -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in s3.get_object_tagging(Bucket="box", Key=key)["TagSet"]}


WORDS = {"colour": "dark red", "größe": "XL + 1", "empty": "", "a:b/c@d": "=_.-"}


class TestStored:
    def test_by_the_header(self, s3: Any, store: LocalStore) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", Tagging=urlencode(WORDS))
        assert tags_of(s3) == WORDS
        assert s3.head_object(Bucket="box", Key="x")["TagCount"] == 4
        found = s3.get_object(Bucket="box", Key="x")
        assert (found["TagCount"], found["Body"].read()) == (4, b"1")
        # the tags themselves go only to who asks for them
        assert "x-amz-tagging" not in found["ResponseMetadata"]["HTTPHeaders"]

    def test_by_their_operations(self, s3: Any) -> None:
        etag = s3.put_object(Bucket="box", Key="x", Body=b"1", Metadata={"a": "b"}, Tagging="old=1")["ETag"]
        before = s3.head_object(Bucket="box", Key="x")["LastModified"]
        s3.put_object_tagging(Bucket="box", Key="x", Tagging=tag_set(WORDS))
        assert tags_of(s3) == WORDS
        found = s3.head_object(Bucket="box", Key="x")
        assert (found["ETag"], found["Metadata"], found["LastModified"]) == (etag, {"a": "b"}, before)
        s3.delete_object_tagging(Bucket="box", Key="x")
        assert tags_of(s3) == {}
        assert "TagCount" not in s3.head_object(Bucket="box", Key="x")

    def test_by_a_multipart_upload(self, s3: Any) -> None:
        here = {"Bucket": "box", "Key": "x"}
        upload = s3.create_multipart_upload(**here, Tagging=urlencode(WORDS))["UploadId"]
        part = s3.upload_part(**here, UploadId=upload, PartNumber=1, Body=b"1")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        s3.complete_multipart_upload(**here, UploadId=upload, MultipartUpload=parts)
        assert tags_of(s3) == WORDS

    def test_of_a_folder(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="folder/", Tagging="a=1")
        assert tags_of(s3, "folder/") == {"a": "1"}
        s3.put_object_tagging(Bucket="box", Key="folder/", Tagging=tag_set(WORDS))
        assert tags_of(s3, "folder/") == WORDS
        assert s3.head_object(Bucket="box", Key="folder/")["ContentLength"] == 0

    def test_a_new_object_has_none(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", Tagging="a=1")
        s3.put_object(Bucket="box", Key="x", Body=b"2")
        assert tags_of(s3) == {}


class TestCopied:
    @pytest.fixture(autouse=True)
    def _source(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", Tagging="a=1", Metadata={"m": "1"})

    def copy(self, s3: Any, **more: Any) -> tuple[dict[str, str], dict[str, str]]:
        s3.copy_object(Bucket="box", Key="y", CopySource="box/x", **more)
        return tags_of(s3, "y"), s3.head_object(Bucket="box", Key="y")["Metadata"]

    def test_with_the_object(self, s3: Any) -> None:
        assert self.copy(s3) == ({"a": "1"}, {"m": "1"})
        assert self.copy(s3, Tagging="b=2") == ({"a": "1"}, {"m": "1"})

    def test_not_with_a_directive(self, s3: Any) -> None:
        assert self.copy(s3, TaggingDirective="REPLACE", Tagging="b=2") == ({"b": "2"}, {"m": "1"})
        assert self.copy(s3, TaggingDirective="REPLACE") == ({}, {"m": "1"})

    @pytest.mark.parametrize("directive", ["TaggingDirective", "MetadataDirective"])
    def test_not_with_another_word(self, s3: Any, refused: Refused, directive: str) -> None:
        there = {"Bucket": "box", "Key": "y", "CopySource": "box/x", directive: "KEEP"}
        assert refused(s3.copy_object, **there) == ("InvalidArgument", 400)

    def test_apart_from_the_metadata(self, s3: Any) -> None:
        assert self.copy(s3, MetadataDirective="REPLACE", Metadata={"n": "2"}) == ({"a": "1"}, {"n": "2"})


class TestRefused:
    @pytest.mark.parametrize(
        ("tags", "code"),
        [
            ([("k", "v")] * 2, "InvalidTag"),
            ([(f"k{n}", "v") for n in range(11)], "BadRequest"),
            ([("k" * 129, "v")], "InvalidTag"),
            ([("k", "v" * 257)], "InvalidTag"),
            ([("aws:k", "v")], "InvalidTag"),
            ([("k", "<")], "InvalidTag"),
        ],
    )
    def test_in_both_ways(self, s3: Any, refused: Refused, tags: list[tuple[str, str]], code: str) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", Tagging="old=1")
        document = {"TagSet": [{"Key": key, "Value": value} for key, value in tags]}
        assert refused(s3.put_object_tagging, Bucket="box", Key="x", Tagging=document) == (code, 400)
        header = {"Tagging": urlencode(tags)}
        assert refused(s3.put_object, Bucket="box", Key="x", Body=b"2", **header) == (code, 400)
        assert refused(s3.create_multipart_upload, Bucket="box", Key="x", **header) == (code, 400)
        assert tags_of(s3) == {"old": "1"}
        assert s3.get_object(Bucket="box", Key="x")["Body"].read() == b"1"

    def test_at_the_limit_they_are_not(self, s3: Any) -> None:
        tags = {f"{n:0128}": "v" * 256 for n in range(10)}
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        s3.put_object_tagging(Bucket="box", Key="x", Tagging=tag_set(tags))
        assert tags_of(s3) == tags

    @pytest.mark.parametrize("text", ["a=%ff", "=", "a&&b"])
    def test_a_header_that_cannot_be_read(self, s3: Any, url: str, raw: Raw, text: str) -> None:
        answer = raw(url, "PUT", "/box/x", b"1", x_amz_tagging=text)
        assert answer.status == 400
        assert answer.code in ("InvalidArgument", "InvalidTag")

    @pytest.mark.parametrize(
        "document",
        [
            "<Tagging/>",
            "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
            "<Tagging><TagSet><Other/></TagSet></Tagging>",
            "<Tagging><TagSet/><TagSet/></Tagging>",
            "<Other/>",
            "no xml",
        ],
    )
    def test_a_document_that_is_none(self, s3: Any, url: str, raw: Raw, document: str) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        answer = raw(url, "PUT", "/box/x?tagging", document.encode())
        assert (answer.status, answer.code) == (400, "MalformedXML")

    def test_of_nothing(self, s3: Any, refused: Refused) -> None:
        for call in (s3.get_object_tagging, s3.delete_object_tagging):
            assert refused(call, Bucket="box", Key="absent") == ("NoSuchKey", 404)
        assert refused(s3.put_object_tagging, Bucket="box", Key="absent", Tagging=tag_set({})) == ("NoSuchKey", 404)
