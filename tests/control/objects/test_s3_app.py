"""The S3 API as clients use it: boto3, and requests no client would send."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clary.control.objects.local import LocalStore

Raw = Callable[..., Any]
Refused = Callable[..., tuple[str, int]]


def read(s3: Any, key: str, **more: Any) -> bytes:
    body: bytes = s3.get_object(Bucket="box", Key=key, **more)["Body"].read()
    return body


class TestObjects:
    @pytest.mark.parametrize("key", ["a b", "a+b", "a=b&c", "ü/日本", "%41", "q?x#y", "tail.", "~", "a:b*", "x" * 255])
    def test_keys_come_back_as_they_went(self, s3: Any, store: LocalStore, key: str) -> None:
        s3.put_object(Bucket="box", Key=key, Body=key.encode())
        assert read(s3, key).decode() == key
        assert store.root.joinpath("box", key).read_text() == key
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == [key]
        s3.delete_object(Bucket="box", Key=key)
        assert "Contents" not in s3.list_objects_v2(Bucket="box")

    @pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000, 3 << 20])
    def test_bodies_of_any_size(self, s3: Any, size: int) -> None:
        data = os.urandom(size)
        answer = s3.put_object(Bucket="box", Key="x", Body=data)
        assert answer["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
        found = s3.get_object(Bucket="box", Key="x")
        assert found["Body"].read() == data
        assert found["ContentLength"] == size
        assert found["ETag"] == answer["ETag"]
        head = s3.head_object(Bucket="box", Key="x")
        assert (head["ContentLength"], head["ETag"]) == (size, answer["ETag"])
        assert abs(head["LastModified"].timestamp() - time.time()) < 60

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=5-", 5, 100_000),
            ("bytes=-7", 99_993, 100_000),
            ("bytes=10-999999", 10, 100_000),
        ],
    )
    def test_ranges(self, s3: Any, asked: str, start: int, stop: int) -> None:
        data = os.urandom(100_000)
        s3.put_object(Bucket="box", Key="x", Body=data)
        answer = s3.get_object(Bucket="box", Key="x", Range=asked)
        assert answer["Body"].read() == data[start:stop]
        assert answer["ContentRange"] == f"bytes {start}-{stop - 1}/100000"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206

    def test_a_range_beyond_the_end(self, s3: Any, refused: Refused) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"12345")
        assert refused(s3.get_object, Bucket="box", Key="x", Range="bytes=5-") == ("InvalidRange", 416)

    def test_headers_are_kept_where_the_file_is(self, s3: Any, store: LocalStore) -> None:
        stored = {
            "ContentType": "image/jpeg",
            "ContentDisposition": "attachment",
            "CacheControl": "no-cache",
            "Metadata": {"label": "cat"},
        }
        s3.put_object(Bucket="box", Key="x", Body=b"1", **stored)
        answer = s3.head_object(Bucket="box", Key="x")
        assert {name: answer[name] for name in stored} == stored
        path, status = LocalStore(store.root).locate("box", "x")
        assert LocalStore(store.root).metadata.read(path, status).headers["content-type"] == "image/jpeg"

    def test_replacing_drops_the_old_headers(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", ContentType="image/jpeg", Metadata={"a": "b"})
        s3.put_object(Bucket="box", Key="x", Body=b"2")
        answer = s3.head_object(Bucket="box", Key="x")
        assert (answer["ContentType"], answer["Metadata"]) == ("binary/octet-stream", {})

    def test_files_put_in_the_folder_are_seen_at_once(self, s3: Any, store: LocalStore) -> None:
        s3.put_object(Bucket="box", Key="a/x", Body=b"1")
        (store.root / "box" / "a" / "y").write_text("by hand")
        assert read(s3, "a/y") == b"by hand"
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["a/x", "a/y"]
        (store.root / "box" / "a" / "x").unlink()
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["a/y"]

    def test_a_folder_marker(self, s3: Any, store: LocalStore) -> None:
        s3.put_object(Bucket="box", Key="folder/")
        assert (store.root / "box" / "folder").is_dir()
        found = s3.list_objects_v2(Bucket="box")["Contents"]
        assert [(each["Key"], each["Size"]) for each in found] == [("folder/", 0)]
        assert read(s3, "folder/") == b""
        s3.put_object(Bucket="box", Key="folder/x", Body=b"1")
        assert s3.head_object(Bucket="box", Key="folder/")["ContentLength"] == 0
        s3.delete_object(Bucket="box", Key="folder/")
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["folder/x"]

    @pytest.mark.parametrize("key", ["a//b", "/a", "a/../b", "./a", "a\nb", "x" * 256, "a/", "..", "\x01", "a%2Fb"])
    def test_keys_that_are_no_paths(self, s3: Any, key: str) -> None:
        s3.put_object(Bucket="box", Key="a", Body=b"0")
        s3.put_object(Bucket="box", Key=key, Body=b"1")
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == sorted(["a", key])
        s3.copy_object(Bucket="box", Key=f"{key}/copy", CopySource={"Bucket": "box", "Key": key})
        assert (read(s3, key), read(s3, f"{key}/copy")) == (b"1", b"1")
        upload = s3.create_multipart_upload(Bucket="box", Key=key)["UploadId"]
        s3.abort_multipart_upload(Bucket="box", Key=key, UploadId=upload)
        for each in (key, f"{key}/copy"):
            s3.delete_object(Bucket="box", Key=each)
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["a"]

    def test_many_at_once(self, s3: Any, client: Callable[..., Any], url: str) -> None:
        wide = client(url, max_pool_connections=16)
        data = [os.urandom(20_000 + n) for n in range(100)]

        def one(n: int) -> bool:
            wide.put_object(Bucket="box", Key=f"d/{n}", Body=data[n])
            body: bytes = wide.get_object(Bucket="box", Key=f"d/{n}")["Body"].read()
            return body == data[n]

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(one, range(100)))
        wide.close()

    def test_one_key_written_by_many_is_always_one_of_them(self, s3: Any, client: Callable[..., Any], url: str) -> None:
        wide = client(url, max_pool_connections=8)
        bodies = [bytes([n]) * 50_000 for n in range(8)]
        s3.put_object(Bucket="box", Key="x", Body=bodies[0])
        stop = threading.Event()
        seen = []

        def look() -> None:
            while not stop.is_set():
                answer = s3.get_object(Bucket="box", Key="x")
                body = answer["Body"].read()
                seen.append(body in bodies and answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"')

        reader = threading.Thread(target=look)
        reader.start()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: wide.put_object(Bucket="box", Key="x", Body=bodies[n % 8]), range(80)))
        stop.set()
        reader.join()
        wide.close()
        assert seen
        assert all(seen)

    def test_a_client_that_stops_reading_is_let_go(self, s3: Any, store: LocalStore) -> None:
        (store.root / "box" / "large").write_bytes(bytes(64 << 20))
        answer = s3.get_object(Bucket="box", Key="large")
        answer["Body"].read(10)
        answer["Body"].close()
        assert read(s3, "large", Range="bytes=0-3") == bytes(4)


class TestErrors:
    def test_a_bucket_that_is_not_there(self, s3: Any, refused: Refused) -> None:
        gone = {"Bucket": "absent"}
        upload = {**gone, "Key": "x", "UploadId": "0" * 32}
        calls: list[tuple[Any, dict[str, Any]]] = [
            (s3.put_object, {**gone, "Key": "x", "Body": b"1"}),
            (s3.get_object, {**gone, "Key": "x"}),
            (s3.delete_object, {**gone, "Key": "x"}),
            (s3.delete_objects, {**gone, "Delete": {"Objects": [{"Key": "x"}]}}),
            (s3.copy_object, {**gone, "Key": "x", "CopySource": "box/x"}),
            (s3.list_objects, gone),
            (s3.list_objects_v2, gone),
            (s3.list_multipart_uploads, gone),
            (s3.create_multipart_upload, {**gone, "Key": "x"}),
            (s3.upload_part, {**upload, "PartNumber": 1, "Body": b"1"}),
            (s3.abort_multipart_upload, upload),
            (s3.get_bucket_location, gone),
            (s3.get_bucket_versioning, gone),
            (s3.delete_bucket, gone),
        ]
        for call, members in calls:
            assert refused(call, **members) == ("NoSuchBucket", 404), call.__name__
        asked: list[tuple[Any, dict[str, Any]]] = [(s3.head_bucket, gone), (s3.head_object, {**gone, "Key": "x"})]
        for call, members in asked:
            assert refused(call, **members) == ("404", 404)

    def test_a_key_that_is_not_there(self, s3: Any, refused: Refused) -> None:
        assert refused(s3.get_object, Bucket="box", Key="x") == ("NoSuchKey", 404)
        assert refused(s3.copy_object, Bucket="box", Key="y", CopySource="box/x") == ("NoSuchKey", 404)
        assert refused(s3.head_object, Bucket="box", Key="x") == ("404", 404)
        s3.delete_object(Bucket="box", Key="x")

    def test_a_connection_goes_on_after_a_refused_put(self, s3: Any, refused: Refused) -> None:
        for _ in range(3):
            assert refused(s3.put_object, Bucket="absent", Key="x", Body=b"1" * 100_000) == ("NoSuchBucket", 404)
            s3.put_object(Bucket="box", Key="x", Body=b"1")

    @pytest.mark.parametrize(
        "resource",
        [
            "acl",
            "retention",
            "legal-hold",
            "select&select-type=2",
            "torrent",
            "attributes",
            "new",
        ],
    )
    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
    def test_a_sub_resource_of_an_object_is_never_the_object(
        self, s3: Any, url: str, raw: Raw, method: str, resource: str
    ) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"precious")
        answer = raw(url, method, f"/box/x?{resource}", b"<X/>" if method != "DELETE" else b"")
        assert (answer.status, answer.code) == (501, "NotImplemented")
        assert read(s3, "x") == b"precious"

    @pytest.mark.parametrize(
        "resource",
        ["acl", "policy", "cors", "lifecycle", "versioning", "object-lock", "new"],
    )
    def test_a_sub_resource_of_a_bucket_is_never_the_bucket(self, s3: Any, url: str, raw: Raw, resource: str) -> None:
        answer = raw(url, "PUT", f"/box?{resource}", b"<X/>")
        assert (answer.status, answer.code) == (501, "NotImplemented")
        answer = raw(url, "DELETE", f"/box?{resource}")
        assert answer.status in (204, 501)  # what is not there can be taken away
        s3.head_bucket(Bucket="box")

    def test_what_is_asked_of_it_and_not_there_is_named(self, s3: Any, refused: Refused) -> None:
        with pytest.raises(s3.exceptions.ClientError, match="PutBucketVersioning"):
            s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
        with pytest.raises(s3.exceptions.ClientError, match="PutBucketLifecycleConfiguration"):
            s3.put_bucket_lifecycle_configuration(Bucket="box", LifecycleConfiguration={"Rules": []})
        with pytest.raises(s3.exceptions.ClientError, match="SelectObjectContent"):
            s3.select_object_content(
                Bucket="box",
                Key="x",
                Expression="select 1",
                ExpressionType="SQL",
                InputSerialization={"CSV": {}},
                OutputSerialization={"CSV": {}},
            )
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": 4e9}
        assert refused(s3.put_object, Bucket="box", Key="x", Body=b"1", **lock) == ("NotImplemented", 501)
        assert refused(s3.get_object, Bucket="box", Key="x", VersionId="3") == ("NoSuchVersion", 404)

    def test_an_acl_that_is_so_anyway(self, s3: Any, refused: Refused) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        for acl in ("private", "bucket-owner-full-control"):
            s3.put_object_acl(Bucket="box", Key="x", ACL=acl)
        s3.put_bucket_acl(Bucket="box", ACL="private")
        assert refused(s3.put_object_acl, Bucket="box", Key="x", ACL="public-read") == ("NotImplemented", 501)
        assert refused(s3.put_object_acl, Bucket="box", Key="x", GrantRead="id=x") == ("NotImplemented", 501)
        assert refused(s3.put_object_acl, Bucket="box", Key="y", ACL="private") == ("NoSuchKey", 404)
        (grant,) = s3.get_object_acl(Bucket="box", Key="x")["Grants"]
        assert grant["Grantee"] == {"ID": "clary", "DisplayName": "clary", "Type": "CanonicalUser"}

    def test_headers_that_are_not_passed_over(self, s3: Any, refused: Refused) -> None:
        here = {"Bucket": "box", "Key": "x"}
        s3.put_object(**here, Body=b"1", StorageClass="STANDARD_IA", WebsiteRedirectLocation="/y")
        found = s3.head_object(**here)
        assert (found["StorageClass"], found["WebsiteRedirectLocation"]) == ("STANDARD_IA", "/y")
        assert s3.list_objects_v2(Bucket="box")["Contents"][0]["StorageClass"] == "STANDARD_IA"
        s3.copy_object(Bucket="box", Key="y", CopySource="box/x")
        assert "StorageClass" not in s3.head_object(Bucket="box", Key="y")
        s3.copy_object(Bucket="box", Key="y", CopySource="box/x", StorageClass="ONEZONE_IA")
        assert s3.head_object(Bucket="box", Key="y")["StorageClass"] == "ONEZONE_IA"
        assert refused(s3.put_object, **here, Body=b"2", StorageClass="CLAY") == ("InvalidStorageClass", 400)
        # It would replace what it was to be appended to.
        assert refused(s3.put_object, **here, Body=b"2", WriteOffsetBytes=1) == ("NotImplemented", 501)
        assert read(s3, "x") == b"1"

    def test_what_a_standard_object_is_not(self, s3: Any, refused: Refused) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        assert refused(s3.restore_object, Bucket="box", Key="x", RestoreRequest={}) == ("InvalidObjectState", 403)
        assert refused(s3.get_object_retention, Bucket="box", Key="x") == ("InvalidRequest", 400)
        assert refused(s3.get_object_legal_hold, Bucket="box", Key="y") == ("NoSuchKey", 404)

    def test_harmless_questions_are_answered(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        assert "Status" not in s3.get_bucket_versioning(Bucket="box")
        assert s3.get_bucket_acl(Bucket="box")["Grants"][0]["Permission"] == "FULL_CONTROL"
        assert s3.get_object_acl(Bucket="box", Key="x")["Grants"][0]["Permission"] == "FULL_CONTROL"
        assert s3.get_object_tagging(Bucket="box", Key="x")["TagSet"] == []

    @pytest.mark.parametrize("path", ["/box/%ff", "/box/x?prefix=%ff", "/%ff"])
    def test_what_is_no_utf_8(self, s3: Any, url: str, raw: Raw, path: str) -> None:
        answer = raw(url, "GET", path)
        assert (answer.status, answer.code) == (400, "InvalidURI")

    def test_a_method_that_no_resource_has(self, s3: Any, url: str, raw: Raw) -> None:
        assert raw(url, "OPTIONS", "/box/x").status == 405
        assert raw(url, "POST", "/box/x").status == 405


class TestWrongBodies:
    """Nothing is stored, and the old object stays."""

    @pytest.fixture(autouse=True)
    def _old(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"old")

    @pytest.fixture(params=[10, 200_000, 3 << 20])
    def size(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    def check(self, s3: Any, store: LocalStore) -> None:
        assert read(s3, "x") == b"old"
        assert [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]] == ["x"]
        assert list(store.staging.iterdir()) == []

    @pytest.mark.parametrize(
        ("header", "value", "code"),
        [
            ("content_md5", base64.b64encode(bytes(16)).decode(), "BadDigest"),
            ("x_amz_checksum_crc32", base64.b64encode(bytes(4)).decode(), "BadDigest"),
            ("x_amz_checksum_sha1", base64.b64encode(bytes(20)).decode(), "BadDigest"),
            ("x_amz_checksum_sha256", base64.b64encode(bytes(32)).decode(), "BadDigest"),
            ("x_amz_content_sha256", "0" * 64, "XAmzContentSHA256Mismatch"),
        ],
    )
    def test_another_sum(
        self, s3: Any, store: LocalStore, url: str, raw: Raw, size: int, header: str, value: str, code: str
    ) -> None:
        answer = raw(url, "PUT", "/box/x", os.urandom(size), **{header: value})
        assert (answer.status, answer.code) == (400, code)
        self.check(s3, store)

    def test_another_sum_behind_chunks(self, s3: Any, store: LocalStore, url: str, raw: Raw) -> None:
        data = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
        headers = {"x_amz_trailer": "x-amz-checksum-crc32", "x_amz_decoded_content_length": "3"}
        answer = raw(url, "PUT", "/box/x", data, content_encoding="aws-chunked", **headers)
        assert (answer.status, answer.code) == (400, "BadDigest")
        self.check(s3, store)

    @pytest.mark.parametrize("length", ["2", "4"])
    def test_another_length_behind_chunks(self, s3: Any, store: LocalStore, url: str, raw: Raw, length: str) -> None:
        sent = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x_amz_decoded_content_length": length}
        answer = raw(url, "PUT", "/box/x", b"3\r\nabc\r\n0\r\n\r\n", **sent)
        assert (answer.status, answer.code) == (400, "IncompleteBody")
        self.check(s3, store)

    @pytest.mark.parametrize("name", ["x_amz_decoded_content_length", "x_amz_if_match_size"])
    @pytest.mark.parametrize("size", ["9" * 5000, "-1", "+5", "1_0", "\u0665".encode().decode("latin-1"), "x"])
    def test_sizes_that_are_none(self, s3: Any, store: LocalStore, url: str, raw: Raw, name: str, size: str) -> None:
        sent = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", name: size}
        method, body = ("DELETE", b"") if "match" in name else ("PUT", b"3\r\nabc\r\n0\r\n\r\n")
        answer = raw(url, method, "/box/x", body, **sent)
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        assert len(answer.body) < 1000
        self.check(s3, store)

    def test_chunks_that_end_early(self, s3: Any, store: LocalStore, url: str, raw: Raw) -> None:
        sent = {"content_encoding": "aws-chunked", "x_amz_decoded_content_length": "3"}
        answer = raw(url, "PUT", "/box/x", b"3\r\nabc\r\n", **sent)
        assert (answer.status, answer.code) == (400, "IncompleteBody")
        self.check(s3, store)

    def test_a_client_that_goes_away(self, s3: Any, store: LocalStore, url: str) -> None:
        import socket

        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"PUT /box/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" + bytes(1_999_999))
            deadline = time.monotonic() + 10
            while not list(store.staging.iterdir()):
                assert time.monotonic() < deadline
        while list(store.staging.iterdir()):
            assert time.monotonic() < deadline
        self.check(s3, store)

    def test_no_length(self, s3: Any, store: LocalStore, url: str) -> None:
        request = urllib.request.Request(f"{url}/box/x", data=iter([b"abc"]), method="PUT")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 411
        caught.value.close()
        self.check(s3, store)


class TestChunks:
    @pytest.mark.parametrize("kind", ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"])
    def test_the_framing_is_taken_off(self, s3: Any, url: str, raw: Raw, kind: str) -> None:
        extension = ";chunk-signature=" + "0" * 64 if "HMAC" in kind else ""
        data = f"3{extension}\r\nabc\r\n2{extension}\r\nde\r\n0{extension}\r\n\r\n".encode()
        sent = {"x_amz_content_sha256": kind, "x_amz_decoded_content_length": "5"}
        assert raw(url, "PUT", "/box/x", data, content_encoding="aws-chunked,gzip", **sent).status == 200
        answer = s3.get_object(Bucket="box", Key="x")
        assert answer["Body"].read() == b"abcde"
        assert answer["ContentEncoding"] == "gzip"


class TestConditions:
    def test_of_reading(self, s3: Any, refused: Refused) -> None:
        etag = s3.put_object(Bucket="box", Key="x", Body=b"1")["ETag"]
        here = {"Bucket": "box", "Key": "x"}
        assert read(s3, "x", IfMatch=etag) == b"1"
        assert refused(s3.get_object, **here, IfMatch='"0"') == ("PreconditionFailed", 412)
        assert refused(s3.get_object, **here, IfNoneMatch=etag) == ("304", 304)
        assert refused(s3.get_object, **here, IfModifiedSince=time.time() + 10) == ("304", 304)
        assert refused(s3.get_object, **here, IfUnmodifiedSince=1) == ("PreconditionFailed", 412)
        assert read(s3, "x", IfModifiedSince=1) == b"1"

    def test_of_writing(self, s3: Any, refused: Refused) -> None:
        here = {"Bucket": "box", "Key": "x"}
        assert refused(s3.put_object, **here, Body=b"1", IfMatch='"0"') == ("NoSuchKey", 404)
        etag = s3.put_object(**here, Body=b"1", IfNoneMatch="*")["ETag"]
        assert refused(s3.put_object, **here, Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
        assert refused(s3.put_object, **here, Body=b"2", IfMatch='"0"') == ("PreconditionFailed", 412)
        s3.put_object(**here, Body=b"2", IfMatch=etag)
        assert read(s3, "x") == b"2"

    def test_one_of_many_creates(self, s3: Any, client: Callable[..., Any], url: str, refused: Refused) -> None:
        wide = client(url, max_pool_connections=8)

        def create(n: int) -> bool:
            try:
                wide.put_object(Bucket="box", Key="only", Body=b"%d" % n, IfNoneMatch="*")
            except wide.exceptions.ClientError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = [n for n, created in enumerate(pool.map(create, range(24))) if created]
        wide.close()
        assert [b"%d" % n for n in won] == [read(s3, "only")]


class TestCopies:
    def test_with_the_headers_of_the_source(self, s3: Any) -> None:
        etag = s3.put_object(Bucket="box", Key="a b+ü", Body=b"1", ContentType="image/png", Metadata={"a": "b"})["ETag"]
        answer = s3.copy_object(Bucket="box", Key="deep/copy", CopySource={"Bucket": "box", "Key": "a b+ü"})
        assert answer["CopyObjectResult"]["ETag"] == etag
        head = s3.head_object(Bucket="box", Key="deep/copy")
        assert (head["ContentType"], head["Metadata"], head["ETag"]) == ("image/png", {"a": "b"}, etag)

    def test_with_headers_of_its_own(self, s3: Any, refused: Refused) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1", ContentType="image/png")
        here = {"Bucket": "box", "Key": "x", "CopySource": "box/x"}
        assert refused(s3.copy_object, **here) == ("InvalidRequest", 400)
        s3.copy_object(**here, MetadataDirective="REPLACE", ContentType="image/gif")
        assert s3.head_object(Bucket="box", Key="x")["ContentType"] == "image/gif"
        assert read(s3, "x") == b"1"

    def test_is_no_link(self, s3: Any, store: LocalStore) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        s3.copy_object(Bucket="box", Key="y", CopySource="box/x")
        box = store.root / "box"
        assert not (box / "x").samefile(box / "y")

    def test_conditions(self, s3: Any, refused: Refused) -> None:
        etag = s3.put_object(Bucket="box", Key="x", Body=b"1")["ETag"]
        copy = {"Bucket": "box", "Key": "y", "CopySource": "box/x"}
        assert refused(s3.copy_object, **copy, CopySourceIfMatch='"0"') == ("PreconditionFailed", 412)
        assert refused(s3.copy_object, **copy, CopySourceIfNoneMatch=etag) == ("PreconditionFailed", 412)
        s3.copy_object(**copy, CopySourceIfMatch=etag)

    @pytest.mark.parametrize("source", ["/box/%ff", "box/%ed%a0%80", "box/\xff", "%C0%AF/x", "box/%F4%90%80%80"])
    def test_a_source_that_does_not_decode(self, s3: Any, url: str, raw: Raw, source: str) -> None:
        answer = raw(url, "PUT", "/box/y", x_amz_copy_source=source)
        assert (answer.status, answer.code) == (400, "InvalidArgument")
        upload = s3.create_multipart_upload(Bucket="box", Key="y")["UploadId"]
        answer = raw(url, "PUT", f"/box/y?partNumber=1&uploadId={upload}", x_amz_copy_source=source)
        assert (answer.status, answer.code) == (400, "InvalidArgument")

    @pytest.mark.parametrize("source", ["box/ü".encode().decode("latin-1"), "box/%C3%BC", "/box/%c3%bc?versionId=null"])
    def test_a_source_beyond_ascii(self, s3: Any, url: str, raw: Raw, source: str) -> None:
        s3.put_object(Bucket="box", Key="ü", Body=b"1")
        assert raw(url, "PUT", "/box/y", x_amz_copy_source=source).status == 200
        assert read(s3, "y") == b"1"

    def test_by_boto3(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        s3.copy({"Bucket": "box", "Key": "x"}, "box", "z")
        assert read(s3, "z") == b"1"


def test_what_fails_here_is_answered_with_an_id_that_the_log_has(
    s3: Any, url: str, raw: Raw, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(LocalStore, "walk", broken)
    answer = raw(url, "GET", "/box")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert f"GET /box failed, request {answer.headers['x-amz-request-id']}" in caplog.text
    assert "a fault of ours" in caplog.text
    assert b"a fault of ours" not in answer.body


class TestDeletes:
    def test_many(self, s3: Any) -> None:
        keys = [f"d/{n} &<ü" for n in range(20)]
        for key in keys:
            s3.put_object(Bucket="box", Key=key, Body=b"1")
        named = [{"Key": key} for key in [*keys, "never there", "a//b"]]
        answer = s3.delete_objects(Bucket="box", Delete={"Objects": named})
        assert [each["Key"] for each in answer["Deleted"]] == [each["Key"] for each in named]
        assert "Contents" not in s3.list_objects_v2(Bucket="box")

    def test_quietly(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        answer = s3.delete_objects(Bucket="box", Delete={"Objects": [{"Key": "x"}], "Quiet": True})
        assert "Deleted" not in answer

    @pytest.mark.parametrize("body", [b"", b"<Delete", b"<Other/>", b"<Delete/>", b"<!DOCTYPE x><Delete/>", b"\xff"])
    def test_what_is_no_list_of_keys(self, s3: Any, url: str, raw: Raw, body: bytes) -> None:
        answer = raw(url, "POST", "/box?delete", body)
        assert (answer.status, answer.code) == (400, "MalformedXML")

    @pytest.mark.parametrize(
        "inside", ["<a/>" * 200_001, "<a>" * 200_001, " ".join(f"a{n}=''" for n in range(100_001))]
    )
    def test_no_document_is_larger_than_one_of_ten_thousand_parts(
        self, s3: Any, url: str, raw: Raw, inside: str
    ) -> None:
        # The parser holds the interpreter's lock: 4 MB of empty elements stopped the gateway for seconds.
        body = f"<Delete {inside}/>" if "=" in inside else f"<Delete>{inside}"
        answer = raw(url, "POST", "/box?delete", body.encode())
        assert (answer.status, answer.code) == (400, "MalformedXML")
        assert b"too many" in answer.body
        names = {"PartNumber": "1", "ETag": f'"{"0" * 32}"', "ChecksumSHA256": "0" * 44, "ChecksumCRC32": "0" * 8}
        part = "".join(f"<{name}>{text}</{name}>" for name, text in names.items())
        xml = f"<CompleteMultipartUpload>{f'<Part>{part}</Part>' * 10_000}</CompleteMultipartUpload>"
        assert raw(url, "POST", "/box/k?uploadId=x", xml.encode()).code == "NoSuchUpload"

    @pytest.mark.parametrize("encoding", ["utf-7", "utf-16", "x-unknown", "idna", "rot13", "undefined", "latin-1", ""])
    def test_other_encodings_are_refused(self, s3: Any, url: str, raw: Raw, encoding: str) -> None:
        text = f'<?xml version="1.0" encoding="{encoding}"?><Delete><Object><Key>x</Key></Object></Delete>'
        codec = encoding if encoding in ("utf-7", "utf-16") else "ascii"
        answer = raw(url, "POST", "/box?delete", text.encode(codec))
        assert (answer.status, answer.code) == (400, "MalformedXML")

    def test_no_encoding_hides_a_document_type(self, s3: Any, url: str, raw: Raw) -> None:
        bomb = "<!DOCTYPE x [<!ENTITY k 'x'>]><Delete><Object><Key>&k;</Key></Object></Delete>"
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        for codec in ("utf-16", "utf-16-le", "utf-7", "utf-8-sig"):
            answer = raw(url, "POST", "/box?delete", bomb.encode(codec))
            assert (answer.status, answer.code) == (400, "MalformedXML")
        assert read(s3, "x") == b"1"

    @pytest.mark.parametrize("head", ["", "\ufeff", "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>"])
    def test_utf_8_is_taken_in_every_dress(self, s3: Any, url: str, raw: Raw, head: str) -> None:
        s3.put_object(Bucket="box", Key="ü", Body=b"1")
        body = f"{head}<Delete><Object><Key>ü</Key></Object></Delete>".encode()
        assert raw(url, "POST", "/box?delete", body).status == 200
        assert "Contents" not in s3.list_objects_v2(Bucket="box")

    def test_by_a_collection_of_boto3(self, s3: Any, url: str) -> None:
        import boto3

        keys = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "y"}
        bucket = boto3.resource("s3", endpoint_url=url, **keys).Bucket("box")
        for n in range(5):
            bucket.put_object(Key=f"p/{n}", Body=b"1")
        bucket.objects.filter(Prefix="p/").delete()
        assert list(bucket.objects.all()) == []
        bucket.meta.client.close()


class TestBuckets:
    @pytest.mark.parametrize("region", ["日本", "a b", "x" * 65, "a\u0660"])
    def test_a_region_is_a_word(self, s3: Any, url: str, raw: Raw, region: str) -> None:
        body = (
            f"<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        )
        answer = raw(url, "PUT", "/other", body.encode())
        assert (answer.status, answer.code) == (400, "InvalidLocationConstraint")
        assert raw(url, "HEAD", "/other").status == 404

    def test_are_listed_with_their_age(self, s3: Any) -> None:
        s3.create_bucket(Bucket="another")
        found = s3.list_buckets()["Buckets"]
        assert [each["Name"] for each in found] == ["another", "box"]
        assert all(abs(each["CreationDate"].timestamp() - time.time()) < 60 for each in found)

    def test_creating_ones_own_again_succeeds(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        s3.create_bucket(Bucket="box")
        assert read(s3, "x") == b"1"

    def test_location(self, s3: Any, store: LocalStore) -> None:
        s3.create_bucket(Bucket="europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        (store.root / "by-hand").mkdir()
        assert s3.get_bucket_location(Bucket="europe")["LocationConstraint"] == "eu-west-1"
        assert s3.get_bucket_location(Bucket="box")["LocationConstraint"] is None
        assert s3.get_bucket_location(Bucket="by-hand")["LocationConstraint"] is None
        assert s3.head_bucket(Bucket="europe")["BucketRegion"] == "eu-west-1"

    def test_names(self, s3: Any, url: str, raw: Raw) -> None:
        for name in ("ab", "Upper", "under_score", "192.168.0.1", ".staging", "a..b"):
            answer = raw(url, "PUT", f"/{name}")
            assert (answer.status, answer.code) == (400, "InvalidBucketName"), name

    def test_the_name_of_the_gateways_own_addresses(self, s3: Any, store: LocalStore, refused: Refused) -> None:
        assert refused(s3.create_bucket, Bucket="clary") == ("InvalidBucketName", 400)
        assert not store.bucket_exists("clary")
        store.create_bucket("clary", "us-east-1")  # by a version that allowed it, or by hand
        s3.create_bucket(Bucket="clary")
        s3.put_object(Bucket="clary", Key="x", Body=b"1")
        assert s3.get_object(Bucket="clary", Key="x")["Body"].read() == b"1"
        s3.delete_object(Bucket="clary", Key="x")
        s3.delete_bucket(Bucket="clary")

    def test_deleting(self, s3: Any, refused: Refused) -> None:
        s3.put_object(Bucket="box", Key="a/x", Body=b"1")
        assert refused(s3.delete_bucket, Bucket="box") == ("BucketNotEmpty", 409)
        s3.delete_object(Bucket="box", Key="a/x")
        s3.delete_bucket(Bucket="box")
        assert refused(s3.head_bucket, Bucket="box") == ("404", 404)
        s3.create_bucket(Bucket="box")
        s3.put_object(Bucket="box", Key="a/x", Body=b"1")


class TestAccess:
    def test_the_expected_owner(self, s3: Any, refused: Refused) -> None:
        s3.head_bucket(Bucket="box", ExpectedBucketOwner="000000000000")
        s3.put_object(Bucket="box", Key="x", Body=b"1", ExpectedBucketOwner="000000000000")
        other = {"Bucket": "box", "ExpectedBucketOwner": "111111111111"}
        assert refused(s3.put_object, Key="x", Body=b"2", **other) == ("AccessDenied", 403)
        assert refused(s3.head_bucket, **other) == ("403", 403)
        assert read(s3, "x") == b"1"

    @pytest.mark.parametrize("version", ["s3", "s3v4"])
    def test_presigned_addresses(self, s3: Any, client: Callable[..., Any], url: str, version: str) -> None:
        signing = client(url, signature_version=version)
        put = signing.generate_presigned_url("put_object", {"Bucket": "box", "Key": "a b/ü"}, ExpiresIn=60)
        request = urllib.request.Request(put, data=b"presigned", method="PUT", headers={"Content-Type": "text/plain"})
        urllib.request.urlopen(request).close()
        asked = {"Bucket": "box", "Key": "a b/ü", "ResponseContentType": "image/png"}
        with urllib.request.urlopen(signing.generate_presigned_url("get_object", asked, ExpiresIn=60)) as answer:
            assert answer.read() == b"presigned"
            assert answer.headers["content-type"] == "image/png"
        signing.close()

    @pytest.mark.parametrize(
        "query",
        ["Expires=1&Signature=x&AWSAccessKeyId=x", "X-Amz-Date=20200101T000000Z&X-Amz-Expires=60&X-Amz-Signature=x"],
    )
    def test_they_end(self, s3: Any, url: str, raw: Raw, query: str) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        answer = raw(url, "GET", f"/box/x?{query}")
        assert (answer.status, answer.code) == (403, "AccessDenied")
        assert b"Request has expired" in answer.body

    @pytest.mark.parametrize("query", ["X-Amz-Expires=60", "X-Amz-Date=20200101T000000Z&X-Amz-Expires=x"])
    def test_what_is_no_expiry(self, url: str, raw: Raw, query: str) -> None:
        assert raw(url, "GET", f"/box/x?{query}").code == "AuthorizationQueryParametersError"

    def test_a_header_cannot_be_smuggled_in(self, s3: Any, url: str, raw: Raw) -> None:
        s3.put_object(Bucket="box", Key="x", Body=b"1")
        answer = raw(url, "GET", "/box/x?response-content-type=a%0d%0aSet-Cookie:%20b")
        assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_upload_and_download_of_files(s3: Any, tmp_path: Path) -> None:
    """As the SDK's upload_data and download_data do: multipart from 8 MiB on, parallel ranges back."""
    data = os.urandom(1 << 20) * 20
    (tmp_path / "large").write_bytes(data)
    s3.upload_file(str(tmp_path / "large"), "box", "p/large", ExtraArgs={"ServerSideEncryption": "aws:kms"})
    s3.download_file("box", "p/large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    stream = io.BytesIO()
    s3.download_fileobj("box", "p/large", stream)
    assert stream.getvalue() == data


def test_headers_of_one_name_are_one_with_commas_and_keep_their_bytes(s3: Any, url: str) -> None:
    host, _, port = url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        connection.putrequest("PUT", "/box/k")
        for value in ("1", "  2 ", "d\u00e9j\u00e0".encode()):
            connection.putheader("x-amz-meta-a", value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        assert connection.getresponse().status == 200
    finally:
        connection.close()
    assert s3.head_object(Bucket="box", Key="k")["Metadata"] == {"a": "1,2,d\u00e9j\u00e0".encode().decode("latin-1")}
