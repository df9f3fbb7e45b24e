"""The parts an object came in: by number, and in GetObjectAttributes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from clary.control.objects.local import LocalStore

HERE = {"Bucket": "box", "Key": "x"}
EVERY = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
PART = 5 << 20
Refused = Callable[..., tuple[str, int]]


def upload(s3: Any, parts: list[bytes], numbers: list[int] | None = None) -> str:
    here = HERE | {"UploadId": s3.create_multipart_upload(**HERE)["UploadId"]}
    done = []
    for number, data in zip(numbers or range(1, len(parts) + 1), parts, strict=True):
        done.append({"PartNumber": number, "ETag": s3.upload_part(**here, PartNumber=number, Body=data)["ETag"]})
    return str(s3.complete_multipart_upload(**here, MultipartUpload={"Parts": done})["ETag"])


@pytest.fixture(scope="module")
def parts() -> list[bytes]:
    return [os.urandom(PART), os.urandom(PART + 1), b"the last"]


@pytest.mark.parametrize("numbers", [None, [2, 5, 9]])
def test_one_by_its_place(s3: Any, parts: list[bytes], refused: Refused, numbers: list[int] | None) -> None:
    assert refused(s3.get_object, **HERE, PartNumber=1) == ("NoSuchKey", 404)
    etag = upload(s3, parts, numbers)
    start, size = 0, sum(map(len, parts))
    for number, data in enumerate(parts, 1):
        head = s3.head_object(**HERE, PartNumber=number)
        got = s3.get_object(**HERE, PartNumber=number)
        content_range = f"bytes {start}-{start + len(data) - 1}/{size}"
        for answer in (head, got):
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert (answer["PartsCount"], answer["ETag"]) == (3, etag)
            assert (answer["ContentLength"], answer["ContentRange"]) == (len(data), content_range)
        assert got["Body"].read() == data
        start += len(data)
    assert refused(s3.get_object, **HERE, PartNumber=4) == ("InvalidPart", 400)
    assert "PartsCount" not in s3.head_object(**HERE)


def test_a_last_one_without_bytes(s3: Any, parts: list[bytes]) -> None:
    upload(s3, [parts[0], b""])
    assert s3.get_object(**HERE, PartNumber=1)["Body"].read() == parts[0]
    answer = s3.get_object(**HERE, PartNumber=2)
    assert (answer["ContentLength"], answer["Body"].read(), answer["PartsCount"]) == (0, b"", 2)
    assert s3.head_object(**HERE, PartNumber=2)["ContentLength"] == 0


def test_of_an_object_in_one_piece(s3: Any, refused: Refused) -> None:
    s3.put_object(**HERE, Body=b"body")
    answer = s3.get_object(**HERE, PartNumber=1)
    assert (answer["Body"].read(), answer["ContentRange"]) == (b"body", "bytes 0-3/4")
    assert "PartsCount" not in answer
    assert refused(s3.get_object, **HERE, PartNumber=2) == ("InvalidPartNumber", 416)
    s3.put_object(**HERE, Body=b"")
    assert s3.get_object(**HERE, PartNumber=1)["ContentLength"] == 0


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"PartNumber": 0}, "InvalidArgument"),
        ({"PartNumber": 10_001}, "InvalidArgument"),
        ({"PartNumber": 1, "Range": "bytes=0-1"}, "InvalidRequest"),
    ],
)
def test_numbers_that_are_none(s3: Any, refused: Refused, members: dict[str, Any], code: str) -> None:
    s3.put_object(**HERE, Body=b"body")
    assert refused(s3.get_object, **HERE, **members) == (code, 400)


def test_are_forgotten_with_the_content(s3: Any, store: LocalStore) -> None:
    upload(s3, [b"one"])
    (store.root / "box" / "x").write_bytes(b"longer than before")
    answer = s3.get_object(**HERE, PartNumber=1)
    assert answer["Body"].read() == b"longer than before"
    assert "PartsCount" not in answer


class TestAttributes:
    def test_of_an_object_in_one_piece(self, s3: Any) -> None:
        etag = s3.put_object(**HERE, Body=b"foo")["ETag"].strip('"')
        answer = s3.get_object_attributes(**HERE, ObjectAttributes=EVERY)
        assert (answer["ETag"], answer["ObjectSize"], answer["StorageClass"]) == (etag, 3, "STANDARD")
        assert answer["LastModified"] == s3.head_object(**HERE)["LastModified"]
        assert not {"ObjectParts", "DeleteMarker", "VersionId"} & answer.keys()

    def test_only_those_asked_for(self, s3: Any) -> None:
        s3.put_object(**HERE, Body=b"foo")
        answer = s3.get_object_attributes(**HERE, ObjectAttributes=["ObjectSize"])
        assert answer.keys() - {"ResponseMetadata", "LastModified"} == {"ObjectSize"}

    def test_of_parts(self, s3: Any, parts: list[bytes]) -> None:
        etag = upload(s3, parts).strip('"')
        answer = s3.get_object_attributes(**HERE, ObjectAttributes=EVERY)
        found = answer["ObjectParts"]
        assert (answer["ETag"], answer["ObjectSize"]) == (etag, sum(map(len, parts)))
        assert (found["TotalPartsCount"], found["IsTruncated"]) == (3, False)
        assert found["Parts"] == [{"PartNumber": n, "Size": len(data)} for n, data in enumerate(parts, 1)]

    def test_in_pages(self, s3: Any, parts: list[bytes]) -> None:
        upload(s3, parts)
        asked = HERE | {"ObjectAttributes": ["ObjectParts"]}
        page = s3.get_object_attributes(**asked, MaxParts=1, PartNumberMarker=1)["ObjectParts"]
        assert [part["PartNumber"] for part in page["Parts"]] == [2]
        assert (page["TotalPartsCount"], page["MaxParts"], page["IsTruncated"]) == (3, 1, True)
        assert (page["PartNumberMarker"], page["NextPartNumberMarker"]) == (1, 2)
        rest = s3.get_object_attributes(**asked, MaxParts=10, PartNumberMarker=2)["ObjectParts"]
        assert [part["PartNumber"] for part in rest["Parts"]] == [3]
        assert (rest["MaxParts"], rest["IsTruncated"]) == (10, False)

    def test_of_a_single_part(self, s3: Any) -> None:
        upload(s3, [b"only"])
        found = s3.get_object_attributes(**HERE, ObjectAttributes=["ObjectParts"])["ObjectParts"]
        assert (found["TotalPartsCount"], found["Parts"]) == (1, [{"PartNumber": 1, "Size": 4}])

    def test_of_a_folder(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="folder/")
        answer = s3.get_object_attributes(Bucket="box", Key="folder/", ObjectAttributes=["ObjectSize"])
        assert answer["ObjectSize"] == 0

    def test_what_cannot_be_asked(self, s3: Any, url: str, raw: Callable[..., Any], refused: Refused) -> None:
        assert refused(s3.get_object_attributes, **HERE, ObjectAttributes=EVERY) == ("NoSuchKey", 404)
        s3.put_object(**HERE, Body=b"foo")
        assert raw(url, "GET", "/box/x?attributes").code == "InvalidRequest"
        answer = raw(url, "GET", "/box/x?attributes", x_amz_object_attributes="Colour")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        bad = {"x_amz_object_attributes": "ObjectParts", "x_amz_max_parts": "-1"}
        upload(s3, [b"only"])
        assert raw(url, "GET", "/box/x?attributes", **bad).code == "InvalidArgument"
