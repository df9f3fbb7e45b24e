"""The gateway in front of an S3 server elsewhere: here rclone, which refuses what is not signed with its keys."""

from __future__ import annotations

import asyncio
import base64
import os
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from clary.control.objects import aws_buckets
from clary.control.objects.forwarding import S3Forwarder
from clary.control.objects.local import LocalStore
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.objects.s3_app import S3App
from clary.control.wire.app import create_app


class _Started:
    """A forwarder whose session is opened on the loop of its server."""

    def __init__(self, place: RemoteEndpoint) -> None:
        self._forwarder = S3Forwarder(place, account="000000000000")
        self._ready = asyncio.Lock()
        self._open = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with self._ready:
            if not self._open:
                await self._forwarder.start()
                self._open = True
        if scope["path"] == "/close":
            await self._forwarder.close()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._forwarder(scope, receive, send)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server elsewhere."""
    folder = tmp_path_factory.mktemp("far") / "root"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def far(root: Path, rclone: Callable[..., Any], serving: Callable[..., Any]) -> Iterator[str]:
    """The address of a forwarder to it."""
    with rclone(root) as place, serving(_Started(RemoteEndpoint(place, "us-east-1", "key", "secret"))) as url:
        yield url
        urllib.request.urlopen(f"{url}/close").close()


@pytest.fixture(scope="module")
def s3(far: str, client: Callable[..., Any]) -> Iterator[Any]:
    found = client(far)
    found.create_bucket(Bucket="box")
    yield found
    found.close()


@pytest.mark.parametrize("key", ["plain", "a b+c=d", "ü/日本", "%41", "q?x#y&z"])
def test_keys_pass_byte_for_byte(s3: Any, root: Path, key: str) -> None:
    s3.put_object(Bucket="box", Key=key, Body=key.encode(), Metadata={"a": "b"})
    assert root.joinpath("box", key).read_text() == key
    answer = s3.get_object(Bucket="box", Key=key, Range="bytes=0-1")
    assert answer["Body"].read() == key.encode()[:2]
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Metadata"]) == (206, {"a": "b"})
    assert s3.head_object(Bucket="box", Key=key)["ContentLength"] == len(key.encode())
    assert key in [each["Key"] for each in s3.list_objects_v2(Bucket="box")["Contents"]]
    s3.delete_objects(Bucket="box", Delete={"Objects": [{"Key": key}]})


def test_keys_that_are_no_paths_pass_too(
    tmp_path: Path, serving: Callable[..., Any], client: Callable[..., Any]
) -> None:
    """To a server that stores them: ours."""
    store = LocalStore(tmp_path / "s3")
    store.create_bucket("box", "us-east-1")
    near = S3App(store, account="000000000000", region="us-east-1")
    with serving(near) as place, serving(_Started(RemoteEndpoint(place, "us-east-1", "x", "y"))) as url:
        s3 = client(url)
        for key in ("a//b", "/a", "../x", "a/./b", "a%2Fb", "\x01", "a b/", "é" * 512):
            s3.put_object(Bucket="box", Key=key, Body=b"1")
            assert [each.key for each in store.list("box")] == [key]
            assert s3.get_object(Bucket="box", Key=key)["Body"].read() == b"1"
            s3.delete_object(Bucket="box", Key=key)
            assert list(store.list("box")) == []
        s3.close()
        urllib.request.urlopen(f"{url}/close").close()


def test_large_files_both_ways(s3: Any, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 20
    (tmp_path / "large").write_bytes(data)
    s3.upload_file(str(tmp_path / "large"), "box", "large")
    s3.download_file("box", "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data


def test_errors_are_those_of_the_server(s3: Any, refused: Callable[..., Any]) -> None:
    assert refused(s3.get_object, Bucket="box", Key="absent") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket="box", Key="absent") == ("404", 404)
    assert refused(s3.put_object, Bucket="absent", Key="x", Body=b"1" * 100_000) == ("NoSuchBucket", 404)


def test_the_expected_owner_is_the_platforms(s3: Any, refused: Callable[..., Any]) -> None:
    s3.put_object(Bucket="box", Key="x", Body=b"1", ExpectedBucketOwner="000000000000")
    other = {"Bucket": "box", "Key": "x", "ExpectedBucketOwner": "111111111111"}
    assert refused(s3.put_object, **other, Body=b"2") == ("AccessDenied", 403)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses(s3: Any, far: str, client: Callable[..., Any], version: str) -> None:
    signing = client(far, signature_version=version)
    put = signing.generate_presigned_url("put_object", {"Bucket": "box", "Key": "signed ü"})
    urllib.request.urlopen(urllib.request.Request(put, data=b"presigned", method="PUT")).close()
    with urllib.request.urlopen(
        signing.generate_presigned_url("get_object", {"Bucket": "box", "Key": "signed ü"})
    ) as a:
        assert a.read() == b"presigned"
        assert "access-control-allow-origin" not in a.headers
    signing.close()


@pytest.mark.parametrize("size", [10, 3 << 20])
@pytest.mark.parametrize("header", [{"x_amz_checksum_crc32": "AAAAAA=="}, {"x_amz_content_sha256": "0" * 64}])
def test_a_wrong_body_never_arrives(
    s3: Any, far: str, root: Path, raw: Callable[..., Any], size: int, header: dict[str, str]
) -> None:
    s3.put_object(Bucket="box", Key="kept", Body=b"old")
    answer = raw(far, "PUT", "/box/kept", os.urandom(size), **header)
    assert (answer.status, answer.code) in ((400, "BadDigest"), (400, "XAmzContentSHA256Mismatch"))
    assert root.joinpath("box", "kept").read_bytes() == b"old"


def test_the_checksum_of_an_object_is_not_held_against_the_list_of_its_parts(s3: Any) -> None:
    here = {"Bucket": "box", "Key": "parts"}
    here["UploadId"] = s3.create_multipart_upload(**here)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(**here, PartNumber=1, Body=b"content")["ETag"]}
    crc = base64.b64encode(zlib.crc32(b"content").to_bytes(4, "big")).decode()
    s3.complete_multipart_upload(**here, MultipartUpload={"Parts": [part]}, ChecksumCRC32=crc)
    assert s3.get_object(Bucket="box", Key="parts")["Body"].read() == b"content"


def test_chunks_are_unframed(s3: Any, far: str, root: Path, raw: Callable[..., Any]) -> None:
    sent = {"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x_amz_decoded_content_length": "3"}
    data = b"3\r\nabc\r\n0\r\n\r\n"
    assert raw(far, "PUT", "/box/chunks", data, content_encoding="aws-chunked", **sent).status == 200
    assert root.joinpath("box", "chunks").read_bytes() == b"abc"


def test_what_fails_here_is_answered_with_an_id_that_the_log_has(far: str, caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    async def put() -> None:
        scope = {"type": "http", "method": "PUT", "path": "/box/odd", "raw_path": b"/box/odd", "query_string": b""}
        # Our server takes no such header, nor does the client that forwards it.
        headers = [(b"content-length", b"1"), (b"x-amz-meta-a", b"\x01")]
        forwarder = S3Forwarder(RemoteEndpoint(far, "us-east-1"), account="000000000000")
        await forwarder.start()
        await forwarder({**scope, "headers": headers}, receive, send)
        await forwarder.close()

    asyncio.run(put())
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    assert sent[0]["status"] == 500
    assert b"<Code>InternalError</Code>" in sent[1]["body"]
    assert f"PUT /box/odd failed, request {named['x-amz-request-id']}" in caplog.text


def test_a_server_that_is_not_there(serving: Callable[..., Any], raw: Callable[..., Any]) -> None:
    with serving(_Started(RemoteEndpoint("http://127.0.0.1:1", "us-east-1"))) as url:
        answer = raw(url, "GET", "/box/x")
        assert (answer.status, answer.code) == (503, "SlowDown")
        assert b"http://127.0.0.1:1" in answer.body
        raw(url, "GET", "/close")


@pytest.fixture(scope="module")
def clary(
    tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Any], client: Callable[..., Any]
) -> Iterator[Any]:
    """A forwarder to a Clary elsewhere that asks for signatures: its address, a client, and what is stored there."""

    far = LocalStore(tmp_path_factory.mktemp("clary") / "s3")
    store = S3App(far, account="000000000000", region="us-east-1")
    secrets = {"key": "secret"}
    app = create_app(None, region="us-east-1", account="000000000000", s3=store, credentials=secrets)
    with serving(app) as place, serving(_Started(RemoteEndpoint(place, "us-east-1", "key", "secret"))) as url:
        found = client(url)
        found.create_bucket(Bucket="box")
        yield url, found, far
        found.close()
        urllib.request.urlopen(f"{url}/close").close()


@pytest.mark.parametrize("host", ["box.localhost", "box.s3.localhost:1"])
def test_the_bucket_before_the_host_is_passed_on(clary: Any, raw: Callable[..., Any], host: str) -> None:
    url, s3, _ = clary
    assert raw(url, "PUT", "/dir/k%2B?x-amz-meta-a=b", b"data", host=host).status == 200
    assert s3.get_object(Bucket="box", Key="dir/k+")["Body"].read() == b"data"
    assert raw(url, "GET", "/dir/k%2B", host=host).body == b"data"
    assert b"<Key>dir/k+</Key>" in raw(url, "GET", "/?list-type=2", host=host).body


@pytest.mark.parametrize("text", ["é", "中 文", "à"])
def test_headers_beyond_ascii_pass_byte_for_byte(clary: Any, text: str) -> None:
    _, s3, far = clary
    s3.put_object(Bucket="box", Key="k", Body=b"x", ContentDisposition=f"attachment; filename={text}")
    found = s3.head_object(Bucket="box", Key="k")["ContentDisposition"]
    stored = far.facts("box", "k")[1].headers["content-disposition"]
    assert found.encode("latin-1").decode() == stored.encode("latin-1").decode() == f"attachment; filename={text}"


def test_a_bucket_of_awss_that_the_other_end_has_not_says_how_it_is_had(s3: Any, caplog: Any) -> None:
    bucket = "sagemaker-sample-files"
    with pytest.raises(ClientError, match="it is AWS's own: fetch its files where AWS can be reached") as refused:
        s3.list_objects_v2(Bucket=bucket)
    assert refused.value.response["Error"]["Code"] == "NoSuchBucket"
    aws_buckets.log_remark.cache_clear()
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=bucket)
    assert f"The bucket {bucket} was looked for and is not here; it is AWS's own" in caplog.text
    s3.create_bucket(Bucket=bucket)
    # Of one that is there the other end's own word is passed on, whole.
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=bucket, Key="key")
    assert gone.value.response["Error"]["Code"] == "NoSuchKey"
    s3.delete_bucket(Bucket=bucket)
