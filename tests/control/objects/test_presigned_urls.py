"""Presigned addresses as boto3 makes them, of both versions and both styles, where signatures must be right."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config

from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.wire.app import create_app

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
Raw = Callable[..., Any]


@pytest.fixture(params=["s3", "s3v4"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["path", "virtual"])
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def gateway(serving: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalStore, str]]:
    """A store, and the address of a gateway over it that wants signatures."""
    store = LocalStore(tmp_path_factory.mktemp("presigned") / "s3")
    s3_app = S3App(store, account="0" * 12, region="us-east-1")
    with serving(create_app(None, region="us-east-1", account="0" * 12, s3=s3_app, credentials={KEY: SECRET})) as url:
        yield store, url


@pytest.fixture(scope="module")
def _clients(gateway: tuple[LocalStore, str]) -> dict[tuple[str, str], Any]:
    """boto3 by version and style: making one takes longer than a test."""

    def make(version: str, style: str) -> Any:
        config = Config(signature_version=version, s3={"addressing_style": style}, retries={"total_max_attempts": 1})
        address = gateway[1].replace("127.0.0.1", "localhost")
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
        return boto3.client("s3", "us-east-1", endpoint_url=address, config=config, **keys)

    return {(version, style): make(version, style) for version in ("s3", "s3v4") for style in ("path", "virtual")}


@pytest.fixture
def signing(gateway: tuple[LocalStore, str], _clients: dict[tuple[str, str], Any], version: str, style: str) -> Any:
    """boto3, as it signs; there is a bucket ``box``."""
    gateway[0].create_bucket("box", "")
    return _clients[version, style]


@pytest.fixture
def follow(gateway: tuple[LocalStore, str], raw: Raw) -> Raw:
    """``follow(address, method, body, **headers)``: the answer; any host leads to this gateway, as a browser has it."""

    def send(address: str, method: str = "GET", body: bytes = b"", **headers: str) -> Any:
        parts = urlsplit(address)
        return raw(gateway[1], method, f"{parts.path}?{parts.query}", body, host=parts.netloc, **headers)

    return send


def address_of(signing: Any, operation: str, seconds: int = 60, **params: Any) -> str:
    found: str = signing.generate_presigned_url(operation, {"Bucket": "box", **params}, ExpiresIn=seconds)
    return found


def signed_headers(params: dict[str, str], version: str) -> dict[str, str]:
    """What whoever uses the address must send himself: version 4 leaves these out of it, version 2 takes them in."""
    return {} if version == "s3" else {name.replace("-", "_"): text for name, text in params.items()}


class TestObjects:
    def test_put_get_head_delete(self, signing: Any, follow: Raw, style: str) -> None:
        put = address_of(signing, "put_object", Key="a b/x+ü")
        assert urlsplit(put).netloc.startswith("box.") == (style == "virtual")
        assert follow(put, "PUT", b"abc").status == 200
        answer = follow(address_of(signing, "get_object", Key="a b/x+ü"))
        assert (answer.status, answer.body) == (200, b"abc")
        head = follow(address_of(signing, "head_object", Key="a b/x+ü"), "HEAD")
        assert (head.status, head.headers["content-length"], head.body) == (200, "3", b"")
        assert follow(address_of(signing, "delete_object", Key="a b/x+ü"), "DELETE").status == 204
        assert follow(address_of(signing, "get_object", Key="a b/x+ü")).code == "NoSuchKey"

    def test_what_is_signed_is_stored(self, gateway: Any, signing: Any, follow: Raw, version: str) -> None:
        digest = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
        headers = {
            "x-amz-meta-label": "cat",
            "x-amz-tagging": "a=1&b=2%203",
            "x-amz-server-side-encryption": "AES256",
            "x-amz-acl": "private",
            "x-amz-checksum-sha256": digest,
            "content-type": "image/png",
        }
        put = address_of(
            signing,
            "put_object",
            Key="stored",
            Metadata={"label": "cat"},
            Tagging="a=1&b=2%203",
            ServerSideEncryption="AES256",
            ACL="private",
            ContentType="image/png",
            ChecksumSHA256=digest,
        )
        answer = follow(put, "PUT", b"abc", **signed_headers(headers, version))
        assert answer.status == 200, answer.body
        assert answer.headers["x-amz-server-side-encryption"] == "AES256"
        found = follow(address_of(signing, "get_object", Key="stored")).headers
        assert (found["x-amz-meta-label"], found["content-type"]) == ("cat", "image/png")
        assert (found["x-amz-tagging-count"], found["x-amz-server-side-encryption"]) == ("2", "AES256")
        tags = follow(address_of(signing, "get_object_tagging", Key="stored")).body
        assert b"<Key>b</Key><Value>2 3</Value>" in tags

    def test_a_body_of_another_checksum_is_not(self, signing: Any, follow: Raw, version: str) -> None:
        digest = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        put = address_of(signing, "put_object", Key="wrong", ChecksumSHA256=digest)
        answer = follow(put, "PUT", b"abc", **signed_headers({"x-amz-checksum-sha256": digest}, version))
        assert (answer.status, answer.code) == (400, "BadDigest")
        assert follow(address_of(signing, "head_object", Key="wrong"), "HEAD").status == 404

    def test_the_answer_says_what_is_asked(self, signing: Any, follow: Raw) -> None:
        follow(address_of(signing, "put_object", Key="x"), "PUT", b"abc")
        get = address_of(
            signing,
            "get_object",
            Key="x",
            ResponseContentType="image/gif",
            ResponseContentDisposition='attachment; filename="a b.gif"',
            ResponseCacheControl="no-store",
            ResponseContentLanguage="de",
            ResponseContentEncoding="identity",
            ResponseExpires="Thu, 01 Jan 2099 00:00:00 GMT",
            VersionId="null",
            PartNumber=1,
        )
        answer = follow(get)
        assert answer.body == b"abc", answer
        wanted = {
            "content-type": "image/gif",
            "content-disposition": 'attachment; filename="a b.gif"',
            "cache-control": "no-store",
            "content-language": "de",
            "content-encoding": "identity",
            "expires": "Thu, 01 Jan 2099 00:00:00 GMT",
        }
        assert {name: answer.headers[name] for name in wanted} == wanted

    def test_parts_of_an_upload(self, signing: Any, follow: Raw) -> None:
        begun = follow(address_of(signing, "create_multipart_upload", Key="parts"), "POST").body.decode()
        upload = begun.partition("<UploadId>")[2].partition("</UploadId>")[0]
        put = address_of(signing, "upload_part", Key="parts", UploadId=upload, PartNumber=1)
        etag = follow(put, "PUT", b"abc").headers["etag"]
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        end = address_of(signing, "complete_multipart_upload", Key="parts", UploadId=upload)
        assert follow(end, "POST", document).status == 200
        assert follow(address_of(signing, "get_object", Key="parts")).body == b"abc"

    def test_lists(self, signing: Any, follow: Raw) -> None:
        follow(address_of(signing, "put_object", Key="x"), "PUT", b"abc")
        answer = follow(address_of(signing, "list_objects_v2", Prefix="x"))
        assert (answer.status, b"<Key>x</Key>" in answer.body) == (200, True)


class TestRefused:
    def test_after_their_end(self, signing: Any, follow: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
        follow(address_of(signing, "put_object", Key="x"), "PUT", b"abc")
        # Addresses made an hour ago; version 2 says the end, version 4 the beginning.
        before = datetime.now(UTC) - timedelta(hours=1)
        # Where awscrt is installed, boto3 signs version 4 with it.
        for module in ("botocore.auth", *(["botocore.crt.auth"] if find_spec("awscrt") else [])):
            monkeypatch.setattr(f"{module}.get_current_datetime", lambda *_, **__: before.replace(tzinfo=None))
        monkeypatch.setattr("botocore.auth.time.time", before.timestamp)
        address = address_of(signing, "get_object", Key="x")
        monkeypatch.undo()
        answer = follow(address)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        found = {each.tag: each.text for each in ElementTree.fromstring(answer.body)}
        assert found["Message"] == "Request has expired"
        assert str(found["Expires"]) < str(found["ServerTime"])

    def test_with_another_parameter(self, signing: Any, follow: Raw) -> None:
        follow(address_of(signing, "put_object", Key="x"), "PUT", b"abc")
        answer = follow(address_of(signing, "get_object", Key="x") + "&response-content-type=text/html")
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")

    def test_for_another_bucket(self, signing: Any, follow: Raw) -> None:
        address = address_of(signing, "get_object", Key="x").replace("box", "other", 1)
        assert follow(address).code == "SignatureDoesNotMatch"

    def test_with_metadata_nobody_signed(self, signing: Any, follow: Raw) -> None:
        answer = follow(address_of(signing, "put_object", Key="x"), "PUT", b"abc", x_amz_meta_a="b")
        assert answer.status == 403


class TestUnsigned:
    """Where signatures are only read, parameters mean the same."""

    def test_parameters_are_headers(self, s3: Any, url: str, raw: Raw) -> None:
        query = "x-amz-meta-label=cat&X-Amz-Tagging=a%3D1&x-amz-checksum-crc32=AAAAAA%3D%3D"
        assert raw(url, "PUT", f"/box/x?{query}", b"").status == 200
        assert s3.head_object(Bucket="box", Key="x")["Metadata"] == {"label": "cat"}
        assert s3.get_object_tagging(Bucket="box", Key="x")["TagSet"] == [{"Key": "a", "Value": "1"}]
        answer = raw(url, "PUT", f"/box/x?{query}", b"other")
        assert (answer.status, answer.code) == (400, "BadDigest")

    @pytest.mark.parametrize("value", ["a%0d%0aSet-Cookie:%20a", "%00", "%C3%BC"])
    def test_one_that_is_no_header(self, s3: Any, url: str, raw: Raw, value: str) -> None:
        answer = raw(url, "PUT", f"/box/x?x-amz-meta-a={value}", b"1")
        assert (answer.status, answer.code) == (400, "InvalidArgument")

    @pytest.mark.parametrize("host", ["box.localhost", "box.localhost:4747", "box.s3.localhost:4747", "BOX.Localhost"])
    def test_the_bucket_before_the_host(self, s3: Any, url: str, raw: Raw, host: str) -> None:
        assert raw(url, "PUT", "/a/b", b"1", host=host).status == 200
        assert s3.get_object(Bucket="box", Key="a/b")["Body"].read() == b"1"
        assert b"<Key>a/b</Key>" in raw(url, "GET", "/?list-type=2", host=host).body

    @pytest.mark.parametrize(
        "host", ["localhost", "s3.localhost:80", "console.localhost", "127.0.0.1:1", "box.example"]
    )
    def test_hosts_without_a_bucket(self, s3: Any, url: str, raw: Raw, host: str) -> None:
        assert raw(url, "PUT", "/box/x", b"1", host=host).status == 200
        assert s3.get_object(Bucket="box", Key="x")["Body"].read() == b"1"
