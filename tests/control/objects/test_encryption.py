"""Encryption asked for is said again by every answer; a key of the client's own is refused everywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

Raw = Callable[..., Any]
Refused = Callable[..., tuple[str, int]]
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:000000000000:key/k"}


def said(answer: dict[str, Any]) -> tuple[str, str]:
    return answer.get("ServerSideEncryption", ""), answer.get("SSEKMSKeyId", "")


@pytest.mark.parametrize("asked", [{"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}, KMS])
class TestSaidAgain:
    def test_by_put_get_and_head(self, s3: Any, asked: dict[str, str]) -> None:
        here = {"Bucket": "box", "Key": "x"}
        assert said(s3.put_object(**here, Body=b"1", **asked)) == said(asked)
        assert said(s3.head_object(**here)) == said(asked)
        found = s3.get_object(**here)
        assert (said(found), found["Body"].read()) == (said(asked), b"1")

    def test_by_each_step_of_a_multipart_upload(self, s3: Any, asked: dict[str, str]) -> None:
        here = {"Bucket": "box", "Key": "x"}
        begun = s3.create_multipart_upload(**here, **asked)
        assert said(begun) == said(asked)
        part = s3.upload_part(**here, UploadId=begun["UploadId"], PartNumber=1, Body=b"1")
        assert said(part) == said(asked)
        s3.put_object(Bucket="box", Key="source", Body=b"1")
        copied = s3.upload_part_copy(**here, UploadId=begun["UploadId"], PartNumber=2, CopySource="box/source")
        assert said(copied) == said(asked)
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        done = s3.complete_multipart_upload(**here, UploadId=begun["UploadId"], MultipartUpload=parts)
        assert said(done) == said(asked)
        assert said(s3.head_object(**here)) == said(asked)

    def test_by_a_copy(self, s3: Any, asked: dict[str, str]) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", Metadata={"a": "b"})
        there = {"Bucket": "box", "Key": "y", "CopySource": "box/x"}
        assert said(s3.copy_object(**there, **asked)) == said(asked)
        found = s3.head_object(Bucket="box", Key="y")
        assert (said(found), found["Metadata"]) == (said(asked), {"a": "b"})

    def test_not_with_its_key_by_a_copy_that_asks_for_none(self, s3: Any, asked: dict[str, str]) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", **asked)
        s3.copy_object(Bucket="box", Key="y", CopySource="box/x")
        assert said(s3.head_object(Bucket="box", Key="y")) == ("AES256", "")


def test_nothing_is_said_of_an_object_that_nobody_asked_it_for(s3: Any) -> None:
    s3.put_object(Bucket="box", Key="x", Body=b"1")
    s3.copy_object(Bucket="box", Key="y", CopySource="box/x")
    assert said(s3.head_object(Bucket="box", Key="x")) == said(s3.head_object(Bucket="box", Key="y")) == ("", "")


@pytest.mark.parametrize(
    "asked", [{"ServerSideEncryption": "ROT13"}, {"ServerSideEncryption": "AES256", "SSEKMSKeyId": "k"}]
)
def test_what_s3_does_not_know(s3: Any, refused: Refused, asked: dict[str, str]) -> None:
    assert refused(s3.put_object, Bucket="box", Key="x", Body=b"1", **asked) == ("InvalidArgument", 400)
    assert refused(s3.create_multipart_upload, Bucket="box", Key="x", **asked) == ("InvalidArgument", 400)
    assert "Contents" not in s3.list_objects_v2(Bucket="box")


class TestKeysOfClients:
    """Stored in the clear and given to whoever has no key, they would be a promise broken without a word."""

    def test_refused_by_each_operation(self, s3: Any, client: Callable[..., Any], url: str, raw: Raw) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        upload = s3.create_multipart_upload(Bucket="box", Key="z")["UploadId"]
        key = base64.b64encode(bytes(32)).decode()
        digest = base64.b64encode(hashlib.md5(bytes(32)).digest()).decode()
        for prefix in ("", "copy-source-"):
            name = f"x-amz-{prefix}server-side-encryption-customer"
            headers = {f"{name}-algorithm": "AES256", f"{name}-key": key, f"{name}-key-MD5": digest}
            for method, path in (
                ("PUT", "/box/y"),
                ("GET", "/box/x"),
                ("POST", "/box/y?uploads"),
                ("PUT", f"/box/z?partNumber=1&uploadId={upload}"),
            ):
                body = b"1" if method == "PUT" else b""
                answer = raw(url, method, path, body, **{each.replace("-", "_"): v for each, v in headers.items()})
                assert (answer.status, answer.code) == (501, "NotImplemented")
                assert b"SSE-C" in answer.body
            assert raw(url, "HEAD", "/box/x", **{"x_amz_server_side_encryption_customer_key": key}).status == 501
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["x"]

    def test_in_a_presigned_address(self, s3: Any, url: str, raw: Raw) -> None:
        query = "x-amz-server-side-encryption-customer-algorithm=AES256"
        answer = raw(url, "PUT", f"/box/y?{query}", b"1")
        assert (answer.status, answer.code) == (501, "NotImplemented")


class TestContentEncoding:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("gzip", "gzip"),
            ("deflate, gzip", "deflate, gzip"),
            ("deflate,gzip", "deflate,gzip"),
            ("aws-chunked,gzip", "gzip"),
            ("aws-chunked, deflate, gzip", "deflate, gzip"),
            ("deflate, gzip, aws-chunked", "deflate, gzip"),
            ("deflate, aws-chunked, gzip", "deflate, gzip"),
            ("aws-chunked", ""),
        ],
    )
    def test_comes_back_byte_for_byte(self, s3: Any, url: str, raw: Raw, sent: str, kept: str) -> None:
        more = {"x_amz_decoded_content_length": "3"} if "aws-chunked" in sent else {}
        body = b"3\r\nabc\r\n0\r\n\r\n" if more else b"abc"
        assert raw(url, "PUT", "/box/x", body, content_encoding=sent, **more).status == 200
        answer = raw(url, "GET", "/box/x")
        assert (answer.headers.get("content-encoding", ""), answer.body) == (kept, b"abc")

    @pytest.mark.parametrize("sent", ["gzip, aws-chunked", "aws-chunked, gzip", "aws-chunked"])
    @pytest.mark.parametrize("body", [b"", b"abc"])
    def test_a_word_for_framing_over_a_body_without(self, s3: Any, sent: str, body: bytes) -> None:
        """ceph/s3-tests, object_content_encoding_aws_chunked: boto3 sends such a header over a plain body."""
        s3.put_object(Bucket="box", Key="x", Body=body, ContentEncoding=sent)
        answer = s3.get_object(Bucket="box", Key="x")
        assert answer["Body"].read() == body
        assert answer.get("ContentEncoding", "") == ("gzip" if "gzip" in sent else "")
