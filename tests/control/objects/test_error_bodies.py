"""What stands in the documents of S3's errors beside code and message: clients read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest

from clary.control.objects import aws_buckets

Raw = Callable[..., Any]
Refused = Callable[..., tuple[str, int]]


def elements(body: bytes) -> dict[str, str]:
    return {each.tag: each.text or "" for each in ElementTree.fromstring(body)}


@pytest.fixture(autouse=True)
def _an_object(s3: Any) -> None:
    s3.put_object(Bucket="box", Key="x y", Body=b"12345")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "wanted"),
    [
        ("GET", "/absent/x", {}, 404, {"Code": "NoSuchBucket", "BucketName": "absent", "Resource": "/absent/x"}),
        ("GET", "/box/a%26b", {}, 404, {"Code": "NoSuchKey", "Key": "a&b", "Resource": "/box/a&b"}),
        (
            "GET",
            "/box/x%20y",
            {"range": "bytes=9-10"},
            416,
            {"Code": "InvalidRange", "ActualObjectSize": "5", "RangeRequested": "bytes=9-10"},
        ),
        ("GET", "/box/x%20y", {"if_match": '"0"'}, 412, {"Code": "PreconditionFailed", "Condition": "If-Match"}),
        (
            "GET",
            "/box/x%20y",
            {"if_unmodified_since": "Sat, 29 Oct 1994 19:43:31 GMT"},
            412,
            {"Condition": "If-Unmodified-Since"},
        ),
        ("GET", "/box?max-keys=-1", {}, 400, {"Code": "InvalidArgument", "ArgumentName": "max-keys"}),
        ("GET", "/box?max-keys=a%26", {}, 400, {"ArgumentValue": "a&"}),
        ("GET", "/box?encoding-type=no", {}, 400, {"ArgumentName": "encoding-type", "ArgumentValue": "no"}),
        ("GET", "/box?list-type=2&continuation-token=%3F", {}, 400, {"ArgumentName": "continuation-token"}),
        ("GET", "/?max-buckets=0", {}, 400, {"ArgumentName": "max-buckets", "ArgumentValue": "0"}),
        ("PUT", "/box/y", {"x_amz_copy_source": "nowhere"}, 400, {"ArgumentName": "x-amz-copy-source"}),
        ("GET", "/box?cors", {}, 404, {"Code": "NoSuchCORSConfiguration", "BucketName": "box"}),
        ("POST", "/box/x%20y?restore", {}, 403, {"Code": "InvalidObjectState", "StorageClass": "STANDARD"}),
    ],
)
def test_what_is_said(
    url: str, raw: Raw, method: str, path: str, headers: dict[str, str], status: int, wanted: dict[str, str]
) -> None:
    answer = raw(url, method, path, **headers)
    found = elements(answer.body)
    assert answer.status == status
    assert {name: found.get(name) for name in wanted} == wanted
    assert {"Code", "Message", "Resource", "RequestId", "HostId"} <= found.keys()
    # What a user reports to find the line of a log: the same in both places.
    assert found["RequestId"] == answer.headers["x-amz-request-id"]
    assert found["HostId"] == answer.headers["x-amz-id-2"]


def test_boto3_reads_them(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket="box", Key="absent")
    assert caught.value.response["Error"]["Key"] == "absent"
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.get_object(Bucket="box", Key="x y", Range="bytes=7-")
    assert refused.value.response["Error"]["ActualObjectSize"] == "5"


def test_a_head_says_it_in_headers(url: str, raw: Raw) -> None:
    """Its answer has no body; websites of S3 name code and message so."""
    answer = raw(url, "HEAD", "/box/%C3%BC%0A")
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers["x-amz-error-code"] == "NoSuchKey"
    assert answer.headers["x-amz-error-message"].startswith("The specified key does not exist: s3://box/\\xfc\\n")


def test_a_head_of_a_bucket_of_awss_says_whose_it_is(
    s3: Any, url: str, raw: Raw, refused: Refused, caplog: pytest.LogCaptureFixture
) -> None:
    """As a GET does; what no client shows stands in the log too, once."""
    bucket = "sagemaker-sample-files"
    aws_buckets.log_remark.cache_clear()  # another test may have asked for it
    for _ in range(2):
        assert refused(s3.head_bucket, Bucket=bucket)[1] == 404
    hint = (
        f"it is AWS's own: fetch its files where AWS can be reached (`aws s3 sync s3://{bucket}/PREFIX FOLDER/PREFIX`)"
    )
    assert hint in raw(url, "HEAD", f"/{bucket}").headers["x-amz-error-message"]
    assert hint in raw(url, "GET", f"/{bucket}").body.decode()
    assert [hint in record.getMessage() for record in caplog.records] == [True]
    assert refused(s3.head_bucket, Bucket="absent")[1] == 404
    assert len(caplog.records) == 1
