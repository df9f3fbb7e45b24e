"""If-Match and If-None-Match of whatever writes or deletes an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError

HERE = {"Bucket": "box", "Key": "x"}
Refused = Callable[..., tuple[str, int]]
MISSING, FAILED = ("NoSuchKey", 404), ("PreconditionFailed", 412)
LONG_AGO = datetime(2015, 1, 1)


def put(s3: Any, content: bytes = b"content", **conditions: str) -> Any:
    return s3.put_object(**HERE, Body=content, **conditions)


def complete(s3: Any, content: bytes = b"content", **conditions: str) -> Any:
    here = HERE | {"UploadId": s3.create_multipart_upload(**HERE)["UploadId"]}
    part = {"PartNumber": 1, "ETag": s3.upload_part(**here, PartNumber=1, Body=content)["ETag"]}
    return s3.complete_multipart_upload(**here, MultipartUpload={"Parts": [part]}, **conditions)


def copy(s3: Any, content: bytes = b"content", **conditions: str) -> Any:
    s3.put_object(Bucket="box", Key="source", Body=content)
    return s3.copy_object(**HERE, CopySource="box/source", **conditions)


@pytest.mark.parametrize("write", [put, complete, copy])
def test_of_a_write(s3: Any, refused: Refused, write: Callable[..., Any]) -> None:
    def etag() -> str:
        return str(s3.head_object(**HERE)["ETag"])

    for wanted in ("*", "badetag"):
        assert refused(write, s3=s3, IfMatch=wanted) == MISSING
    write(s3, IfNoneMatch="*")
    for unwanted in ("*", etag(), etag().strip('"')):
        assert refused(write, s3=s3, IfNoneMatch=unwanted) == FAILED
    assert refused(write, s3=s3, IfMatch="badetag") == FAILED
    write(s3, b"second", IfNoneMatch="badetag")
    write(s3, b"third", IfMatch="*")
    assert refused(write, s3=s3, content=b"fourth", IfMatch='"other"') == FAILED
    assert s3.get_object(**HERE)["Body"].read() == b"third"
    write(s3, b"fourth", IfMatch=etag())
    s3.delete_object(**HERE)
    write(s3, b"fifth", IfNoneMatch='"other"')
    assert s3.get_object(**HERE)["Body"].read() == b"fifth"


def test_of_a_deletion(s3: Any, refused: Refused) -> None:
    etag = put(s3)["ETag"]
    for wrong in ({"IfMatch": "badetag"}, {"IfMatchSize": 9999}, {"IfMatchLastModifiedTime": LONG_AGO}):
        assert refused(s3.delete_object, **HERE, **wrong) == FAILED
    assert refused(s3.delete_object, **HERE, IfMatch=etag, IfMatchSize=1) == FAILED
    for right in ({"IfMatch": etag}, {"IfMatch": "*"}, {"IfMatchSize": 7}, {"IfMatchLastModifiedTime": None}):
        if "IfMatchLastModifiedTime" in right:
            right = {"IfMatchLastModifiedTime": s3.head_object(**HERE)["LastModified"]}
        answer = s3.delete_object(**HERE, **right)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert refused(s3.head_object, **HERE)[1] == 404
        put(s3)


@pytest.mark.parametrize(
    "condition", [{"IfMatch": "*"}, {"IfMatch": "x"}, {"IfMatchSize": 1}, {"IfMatchLastModifiedTime": LONG_AGO}]
)
def test_of_the_deletion_of_nothing(s3: Any, condition: dict[str, Any]) -> None:
    assert s3.delete_object(**HERE, **condition)["ResponseMetadata"]["HTTPStatusCode"] == 204


def test_of_each_of_many_deletions(s3: Any) -> None:
    etag = put(s3)["ETag"]
    s3.put_object(Bucket="box", Key="other", Body=b"")

    def delete(**condition: Any) -> Any:
        return s3.delete_objects(Bucket="box", Delete={"Objects": [{"Key": "other"}, {"Key": "x"} | condition]})

    for wrong in ({"ETag": "badetag"}, {"Size": 9999}, {"LastModifiedTime": LONG_AGO}):
        answer = delete(**wrong)
        assert [(each["Key"], each["Code"]) for each in answer["Errors"]] == [("x", "PreconditionFailed")]
        assert [each["Key"] for each in answer["Deleted"]] == ["other"]
    for right in ({"ETag": etag}, {"Size": 7}, {"LastModifiedTime": None}):
        if "LastModifiedTime" in right:
            right = {"LastModifiedTime": s3.head_object(**HERE)["LastModified"]}
        answer = delete(**right)
        assert [each["Key"] for each in answer["Deleted"]] == ["other", "x"]
        assert "Errors" not in delete(ETag="badetag")
        put(s3)


def test_a_size_that_is_none(s3: Any, url: str, raw: Callable[..., Any]) -> None:
    put(s3)
    assert raw(url, "DELETE", "/box/x", x_amz_if_match_size="many").code == "InvalidArgument"
    assert s3.head_object(**HERE)["ContentLength"] == 7


def test_the_condition_stands_in_the_error(s3: Any) -> None:
    put(s3)
    for condition, header in (("IfMatch", "If-Match"), ("IfNoneMatch", "If-None-Match")):
        wanted = "badetag" if condition == "IfMatch" else "*"
        with pytest.raises(ClientError) as caught:
            s3.put_object(**HERE, **{condition: wanted})
        assert caught.value.response["Error"]["Condition"] == header


@pytest.fixture
def eight() -> Iterator[Callable[..., list[Any]]]:
    """``eight(act)``: what ``act(number)`` gives or raises, of eight threads that begin together."""
    barrier = Barrier(8)

    def run(act: Callable[[int], Any], number: int) -> Any:
        barrier.wait(20)
        try:
            return act(number)
        except ClientError as error:
            return error.response["Error"]["Code"]

    with ThreadPoolExecutor(8) as pool:
        yield lambda act: [each.result() for each in [pool.submit(run, act, number) for number in range(8)]]


@pytest.mark.parametrize("write", [put, complete, copy])
def test_of_writers_at_once_one_wins(s3: Any, eight: Callable[..., list[Any]], write: Callable[..., Any]) -> None:
    for _ in range(3):
        etag = put(s3, b"before")["ETag"]
        if write is copy:
            s3.put_object(Bucket="box", Key="source", Body=b"copied")
            answers = eight(lambda _, etag=etag: s3.copy_object(**HERE, CopySource="box/source", IfMatch=etag))
        else:
            answers = eight(lambda number, etag=etag: write(s3, b"writer %d" % number, IfMatch=etag))
        assert answers.count("PreconditionFailed") == 7
        s3.delete_object(**HERE)
        answers = eight(lambda number: put(s3, b"writer %d" % number, IfNoneMatch="*"))
        assert answers.count("PreconditionFailed") == 7


def test_a_writer_or_a_deleter_wins_never_both(s3: Any, eight: Callable[..., list[Any]]) -> None:
    for _ in range(3):
        etag = put(s3, b"before")["ETag"]

        def act(number: int, etag: str = etag) -> Any:
            if number % 2:
                return s3.delete_object(**HERE, IfMatch=etag) and "deleted"
            return put(s3, b"writer %d" % number, IfMatch=etag) and "written"

        answers = eight(act)
        there = s3.list_objects_v2(Bucket="box")["KeyCount"]
        # Once it is deleted, others delete nothing, which is no failure, and writers find nothing to match.
        assert answers.count("written") == there
        assert ("deleted" in answers) is not bool(there)
