"""Uploads by form: what a policy allows, what it does not, and what comes back."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import httpx
import pytest
from botocore.config import Config

from clary.control.objects.local import LocalStore
from clary.control.objects.s3_app import S3App
from clary.control.wire.app import create_app
from clary.control.wire.form_signature import SECRETS

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
FORMAT = "%Y-%m-%dT%H:%M:%SZ"
SOON = (datetime.now(UTC) + timedelta(hours=1)).strftime(FORMAT)
ORDINARY = [
    {"bucket": "box"},
    ["starts-with", "$key", "foo"],
    {"acl": "private"},
    ["starts-with", "$Content-Type", "text/plain"],
    ["content-length-range", 0, 1024],
]
Fields = dict[str, str]
Post = Callable[..., httpx.Response]


def signed(document: Any, **fields: str) -> Fields:
    """Fields of a form with this policy, signed as version 2 has it, and those that the ordinary policy names."""
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    signature = base64.b64encode(hmac.digest(SECRET.encode(), policy.encode(), hashlib.sha1)).decode()
    ordinary = {"key": "foo.txt", "AWSAccessKeyId": KEY, "acl": "private", "Content-Type": "text/plain"}
    return ordinary | {"signature": signature, "policy": policy} | {n.replace("_", "-"): v for n, v in fields.items()}


def policy(*more: Any, conditions: list[Any] | None = None) -> dict[str, Any]:
    return {"expiration": SOON, "conditions": [*(ORDINARY if conditions is None else conditions), *more]}


def send(url: str, fields: Fields, content: bytes = b"bar", name: str = "file") -> httpx.Response:
    """Every field with a file name, as requests' ``files=`` has them; the file comes last."""
    parts: list[tuple[str, Any]] = [(each, (each, text.encode())) for each, text in fields.items()]
    return httpx.post(url, files=[*parts, ("file", (name, content))], timeout=20, verify=False)


@pytest.fixture
def post(s3: Any, url: str) -> Post:
    """``post(fields, content, name)`` to the bucket ``box``, where signatures are only read."""
    return lambda *arguments, **more: send(f"{url}/box", *arguments, **more)


@pytest.fixture
def strict(store: LocalStore, serving: Callable[..., Any]) -> Any:
    """The address of a gateway that wants signatures."""
    store.create_bucket("box", "")
    s3_app = S3App(store, account="000000000000", region="us-east-1")
    with serving(create_app(None, region="us-east-1", account="0" * 12, s3=s3_app, credentials={KEY: SECRET})) as url:
        yield url


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


def body_of(s3: Any, key: str) -> bytes:
    found: bytes = s3.get_object(Bucket="box", Key=key)["Body"].read()
    return found


class TestAnswers:
    def test_204_without_a_word(self, s3: Any, post: Post) -> None:
        answer = post(signed(policy()))
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["etag"] == f'"{hashlib.md5(b"bar").hexdigest()}"'
        assert answer.headers["location"].endswith("/box/foo.txt")
        found = s3.get_object(Bucket="box", Key="foo.txt")
        assert (found["Body"].read(), found["ContentType"]) == (b"bar", "text/plain")

    def test_without_a_content_type(self, s3: Any, post: Post) -> None:
        conditions = [each for each in ORDINARY if "Content-Type" not in str(each)]
        fields = signed(policy(conditions=conditions))
        del fields["Content-Type"]
        assert post(fields).status_code == 204
        assert s3.head_object(Bucket="box", Key="foo.txt")["ContentType"] == "binary/octet-stream"

    @pytest.mark.parametrize(("asked", "given"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204)])
    def test_the_status_asked_for(self, s3: Any, post: Post, asked: str, given: int) -> None:
        answer = post({"key": "a b&c.txt", "acl": "public-read", "success_action_status": asked})
        assert answer.status_code == given
        if given == 201:
            document = ElementTree.fromstring(answer.text)
            found = {each.tag.rpartition("}")[2]: each.text for each in document}
            assert found["Key"] == "a b&c.txt"
            assert (found["Bucket"], found["ETag"]) == ("box", answer.headers["etag"])
            assert httpx.get(str(found["Location"])).content == b"bar"
            # without a namespace, as programs look for its elements
            assert document.find("Key") is not None
        else:
            assert answer.content == b""

    def test_a_redirect(self, s3: Any, url: str, post: Post) -> None:
        fields = signed(policy(["eq", "$success_action_redirect", f"{url}/box"]))
        answer = post(fields | {"success_action_redirect": f"{url}/box"})
        assert answer.status_code == 303
        etag = s3.head_object(Bucket="box", Key="foo.txt")["ETag"].strip('"')
        assert answer.headers["location"] == f"{url}/box?bucket=box&key=foo.txt&etag=%22{etag}%22"
        # where it leads is the list of the bucket: it must be answered
        assert httpx.get(answer.headers["location"]).status_code == 200

    @pytest.mark.parametrize("target", ["javascript:alert(1)", "no address", "//host/x", "http://", "http://a\r\nb: c"])
    def test_a_redirect_to_nowhere_is_none(self, s3: Any, post: Post, target: str) -> None:
        assert post({"key": "x", "success_action_redirect": target}).status_code == 204


class TestFields:
    def test_the_name_of_the_file(self, s3: Any, post: Post) -> None:
        assert post(signed(policy(), key="${filename}"), name="foo ü.txt").status_code == 204
        assert body_of(s3, "foo ü.txt") == b"bar"
        fields = {"key": "user/${filename}", "x-amz-meta-name": "${filename}!"}
        answer = post(fields, name="C:\\pictures\\a.jpg")
        assert answer.headers["location"].endswith("/box/user%2Fa.jpg")
        assert httpx.get(answer.headers["location"]).content == b"bar"
        assert s3.head_object(Bucket="box", Key="user/a.jpg")["Metadata"] == {"name": "a.jpg!"}

    def test_a_file_without_a_name(self, s3: Any, url: str, raw: Callable[..., Any]) -> None:
        form = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\na-${filename}\r\n'
        form += b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nbar\r\n--x--\r\n'
        assert raw(url, "POST", "/box", form, content_type="multipart/form-data; boundary=x").status == 204
        assert body_of(s3, "a-${filename}") == b"bar"

    def test_several_of_one_name_are_one(self, s3: Any, url: str) -> None:
        parts = [("key", (None, b"k")), ("x-amz-meta-tag", (None, b"Ninja")), ("X-Amz-Meta-Tag", (None, b"Stallman"))]
        assert httpx.post(f"{url}/box", files=[*parts, ("file", ("f", b"bar"))]).status_code == 204
        assert s3.head_object(Bucket="box", Key="k")["Metadata"] == {"tag": "Ninja,Stallman"}

    def test_an_md5(self, s3: Any, post: Post) -> None:
        digest = base64.b64encode(hashlib.md5(b"bar").digest()).decode()
        assert post({"key": "k", "Content-MD5": digest}).status_code == 204
        assert code(post({"key": "other", "Content-MD5": digest}, b"baz")) == (400, "BadDigest")

    def test_ignored_ones_need_no_condition(self, s3: Any, post: Post) -> None:
        assert post(signed(policy(), x_ignore_foo="bar")).status_code == 204

    def test_their_names_in_any_case(self, s3: Any, post: Post) -> None:
        odd: list[Any] = [{"bUcKeT": "box"}, ["StArTs-WiTh", "$KeY", "foo"], {"AcL": "private"}]
        odd += [["StArTs-WiTh", "$CoNtEnT-TyPe", "text/plain"], ["content-length-range", 0, 1024]]
        fields = signed(policy(conditions=odd))
        fields = {"kEy": fields.pop("key"), "aCl": fields.pop("acl"), "pOLICy": fields.pop("policy"), **fields}
        assert post(fields).status_code == 204

    def test_a_dollar_stays(self, s3: Any, post: Post) -> None:
        conditions = [["starts-with", "$key", "\\$foo"], *(each for each in ORDINARY if "$key" not in str(each))]
        assert post(signed(policy(conditions=conditions), key="\\$foo.txt")).status_code == 204
        assert body_of(s3, "\\$foo.txt") == b"bar"

    def test_metadata_tags_and_encryption(self, s3: Any, post: Post) -> None:
        tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
        sent = {"x-amz-meta-foo": "barclamp", "x-amz-meta-word": "ünlü", "tagging": tags, "Cache-Control": "no-cache"}
        conditions: list[Any] = [["starts-with", f"${name}", ""] for name in sent]
        conditions.append({"x-amz-server-side-encryption": "AES256"})
        fields = signed(policy(*conditions)) | sent | {"x-amz-server-side-encryption": "AES256"}
        assert post(fields).status_code == 204
        found = s3.head_object(Bucket="box", Key="foo.txt")
        assert found["Metadata"] == {"foo": "barclamp", "word": "=?utf-8?b?w7xubMO8?="}
        assert (found["CacheControl"], found["ServerSideEncryption"]) == ("no-cache", "AES256")
        assert s3.get_object_tagging(Bucket="box", Key="foo.txt")["TagSet"] == [{"Key": "a", "Value": "b c"}]

    def test_checksums(self, s3: Any, post: Post) -> None:
        digest = base64.b64encode(hashlib.sha256(b"bar").digest()).decode()
        assert post(signed(policy(), x_amz_checksum_sha256=digest)).status_code == 204
        other = base64.b64encode(hashlib.sha256(b"baz").digest()).decode()
        assert code(post(signed(policy(), x_amz_checksum_sha256=other, key="foo2"))) == (400, "BadDigest")
        assert post(signed(policy(), x_amz_checksum_sha256="sailor", key="foo2")).status_code == 400
        assert "Contents" not in s3.list_objects_v2(Bucket="box", Prefix="foo2")

    def test_what_comes_behind_the_file_is_not_read(self, s3: Any, url: str, raw: Callable[..., Any]) -> None:
        form = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
        form += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nbar\r\n'
        form += b'--x\r\nContent-Disposition: form-data; name="x-amz-meta-a"\r\n\r\nb\r\n--x--\r\n'
        assert raw(url, "POST", "/box", form, content_type="multipart/form-data; boundary=x").status == 204
        assert s3.head_object(Bucket="box", Key="k")["Metadata"] == {}
        assert body_of(s3, "k") == b"bar"

    def test_the_bucket_before_the_host(self, s3: Any, url: str, raw: Callable[..., Any]) -> None:
        form = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
        form += b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nbar\r\n--x--\r\n'
        host = "box.localhost:80"
        answer = raw(url, "POST", "/", form, content_type="multipart/form-data; boundary=x", host=host)
        assert (answer.status, answer.headers["location"]) == (204, f"http://{host}/k")
        assert body_of(s3, "k") == b"bar"


def without(name: str) -> dict[str, Any]:
    return {each: value for each, value in policy().items() if each != name}


class TestPolicies:
    @pytest.mark.parametrize(
        "document",
        [
            without("expiration"),
            without("conditions"),
            {"EXPIRATION": SOON, "conditions": ORDINARY},
            {"expiration": SOON, "CONDITIONS": ORDINARY},
            {"expiration": "2100-01-01 00:00:00+00:00", "conditions": ORDINARY},
            policy(conditions=[{}]),
            policy({"x-ignore-a": "b", "x-ignore-c": "d"}),
            policy(["content-length-range", 0]),
            policy(["content-length-range", -1, 0]),
            policy(["content-length-range", "a", "b"]),
            policy({"acl": 5}),
            policy(["ends-with", "$key", "x"]),
            policy("key"),
            [],
            "text",
        ],
    )
    def test_malformed(self, s3: Any, post: Post, document: Any) -> None:
        assert code(post(signed(document))) == (400, "InvalidPolicyDocument")
        assert "Contents" not in s3.list_objects_v2(Bucket="box")

    @pytest.mark.parametrize("text", ["", "?", "bm8ganNvbg==", base64.b64encode(b"[" * 100_000)[:15_000].decode()])
    def test_that_are_no_json(self, post: Post, text: str) -> None:
        assert code(post(signed(policy()) | {"policy": text})) == (400, "InvalidPolicyDocument")

    def test_expired(self, post: Post) -> None:
        past = (datetime.now(UTC) - timedelta(seconds=5)).strftime(FORMAT)
        assert code(post(signed(policy() | {"expiration": past}))) == (403, "AccessDenied")

    @pytest.mark.parametrize(
        ("conditions", "fields"),
        [
            # not named by any condition
            (ORDINARY, {"x-amz-meta-foo": "bar"}),
            (ORDINARY[1:], {}),
            (ORDINARY, {"success_action_status": "201"}),
            # named, and not so
            ([*ORDINARY, ["starts-with", "$x-amz-meta-foo", "bar"]], {}),
            ([*ORDINARY, ["eq", "$x-amz-meta-foo", ""]], {"x-amz-meta-foo": "barclamp"}),
            ([*ORDINARY, ["eq", "key", "foo.txt"]], {}),
            (ORDINARY, {"key": "other"}),
            (ORDINARY, {"acl": "public-read"}),
            (ORDINARY, {"Content-Type": "text/plain,image/png"}),
            ([{"bucket": "other"}, *ORDINARY[1:]], {"bucket": "other"}),
        ],
    )
    def test_conditions_that_do_not_hold(self, s3: Any, post: Post, conditions: list[Any], fields: Fields) -> None:
        assert code(post(signed(policy(conditions=conditions)) | fields)) == (403, "AccessDenied")
        assert "Contents" not in s3.list_objects_v2(Bucket="box")

    @pytest.mark.parametrize(
        ("limits", "size", "wanted"),
        [
            ((0, 0), 3, "EntityTooLarge"),
            ((512, 1000), 3, "EntityTooSmall"),
            ((0, 2 << 20), (2 << 20) + 1, "EntityTooLarge"),
        ],
    )
    def test_lengths_out_of_range(
        self, s3: Any, store: LocalStore, post: Post, limits: tuple[int, int], size: int, wanted: str
    ) -> None:
        fields = signed(policy(conditions=[*ORDINARY[:-1], ["content-length-range", *limits]]))
        answer = post(fields, bytes(size))
        assert code(answer) == (400, wanted)
        assert "<ProposedSize>" in answer.text
        assert "Contents" not in s3.list_objects_v2(Bucket="box")
        assert list(store.staging.iterdir()) == []

    def test_lengths_in_range(self, s3: Any, post: Post) -> None:
        fields = signed(policy(conditions=[*ORDINARY[:-1], ["content-length-range", 1 << 20, 5 << 20]]))
        content = os.urandom(3 << 20)
        assert post(fields, content).status_code == 204
        assert body_of(s3, "foo.txt") == content


class TestForms:
    def test_without_a_key(self, post: Post) -> None:
        fields = signed(policy())
        del fields["key"]
        assert code(post(fields)) == (400, "InvalidArgument")
        assert "<ArgumentName>key</ArgumentName>" in post(fields).text

    def test_half_a_signature(self, post: Post) -> None:
        fields = signed(policy())
        del fields["signature"]
        assert code(post(fields)) == (400, "InvalidArgument")
        assert "<ArgumentName>Signature</ArgumentName>" in post(fields).text

    def test_a_policy_that_nobody_signed_holds_all_the_same(self, post: Post) -> None:
        fields = signed(policy())
        del fields["signature"], fields["AWSAccessKeyId"]
        assert post(fields).status_code == 204
        assert code(post(fields | {"key": "other"})) == (403, "AccessDenied")

    def test_to_no_bucket(self, s3: Any, url: str) -> None:
        assert code(send(f"{url}/absent", {"key": "x"})) == (404, "NoSuchBucket")

    @pytest.mark.parametrize(
        ("kind", "form", "wanted"),
        [
            ("text/plain", b"x", (412, "PreconditionFailed")),
            ("multipart/form-data", b"--x--\r\n", (400, "MalformedPOSTRequest")),
            ("multipart/form-data; boundary=x", b"", (400, "MalformedPOSTRequest")),
            ("multipart/form-data; boundary=x", b"no form", (400, "MalformedPOSTRequest")),
            ("multipart/form-data; boundary=x", b"--x--\r\n", (400, "InvalidArgument")),
            ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\n--x--", (400, "MalformedPOSTRequest")),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\r\n--x--',
                (400, "InvalidArgument"),
            ),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
                b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nbar',
                (400, "MalformedPOSTRequest"),
            ),
            (
                "multipart/form-data; boundary=x",
                b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
                b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nbar\r\n--x\r\n',
                (400, "MalformedPOSTRequest"),
            ),
        ],
    )
    def test_that_cannot_be_read(
        self, s3: Any, store: LocalStore, url: str, raw: Callable[..., Any], kind: str, form: bytes, wanted: Any
    ) -> None:
        answer = raw(url, "POST", "/box", form, content_type=kind)
        assert (answer.status, answer.code) == wanted
        assert "Contents" not in s3.list_objects_v2(Bucket="box")
        assert list(store.staging.iterdir()) == []

    @pytest.mark.parametrize("fields", [{"x-ignore-a": "y" * 21_000}, {f"x-ignore-{n}": "y" * 90 for n in range(300)}])
    def test_too_much_before_the_file(self, post: Post, fields: Fields) -> None:
        assert code(post(fields | {"key": "k"})) == (400, "MaxPostPreDataLengthExceeded")

    def test_the_file_is_never_whole_in_memory(self, store: LocalStore) -> None:
        store.create_bucket("box", "")
        head = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'
        head += b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        pieces = iter([head, *[bytes(256 << 10)] * 128, b"\r\n--x--\r\n", b""])

        async def receive() -> dict[str, Any]:
            piece = next(pieces)
            return {"type": "http.request", "body": piece, "more_body": bool(piece)}

        async def send(message: Any) -> None:
            assert message.get("status", 204) == 204

        scope = {"type": "http", "method": "POST", "path": "/box", "query_string": b""}
        scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")]}
        tracemalloc.start()
        try:
            asyncio.run(S3App(store, account="0" * 12, region="us-east-1")(scope, receive, send))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert store.root.joinpath("box", "k").stat().st_size == 32 << 20
        assert peak < 8 << 20


class TestSignatures:
    """Where they must be right."""

    @pytest.fixture(params=["s3", "s3v4"])
    def version(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def presigned(self, url: str, version: str, secret: str = SECRET, key: str = KEY, **more: Any) -> dict[str, Any]:
        config = Config(signature_version=version)
        client = boto3.client(
            "s3", "us-east-1", endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, config=config
        )
        found: dict[str, Any] = client.generate_presigned_post("box", "a/${filename}", **more)
        return found

    def test_of_boto3(self, store: LocalStore, strict: str, version: str) -> None:
        fields = {"x-amz-meta-a": "b", "success_action_status": "201"}
        conditions = [{"x-amz-meta-a": "b"}, {"success_action_status": "201"}, ["content-length-range", 1, 10]]
        form = self.presigned(strict, version, Fields=fields, Conditions=conditions)
        assert httpx.post(form["url"], data=form["fields"], files={"file": ("x.txt", b"bar")}).status_code == 201
        path, status = store.locate("box", "a/x.txt")
        assert path.read_bytes() == b"bar"
        assert store.metadata.read(path, status).headers["x-amz-meta-a"] == "b"
        long = httpx.post(form["url"], data=form["fields"], files={"file": ("y.txt", b"0123456789+")})
        assert code(long) == (400, "EntityTooLarge")
        other = httpx.post(form["url"], data=form["fields"] | {"x-amz-meta-a": "c"}, files={"file": ("y.txt", b"1")})
        assert code(other) == (403, "AccessDenied")

    def test_of_another_secret_or_key(self, store: LocalStore, strict: str, version: str) -> None:
        form = self.presigned(strict, version, secret="other")
        answer = httpx.post(form["url"], data=form["fields"], files={"file": ("x.txt", b"bar")})
        assert code(answer) == (403, "SignatureDoesNotMatch")
        form = self.presigned(strict, version, key="STRANGER")
        answer = httpx.post(form["url"], data=form["fields"], files={"file": ("x.txt", b"bar")})
        assert code(answer) == (403, "InvalidAccessKeyId")
        assert not list(store.list("box"))

    def test_of_another_policy(self, store: LocalStore, strict: str, version: str) -> None:
        form = self.presigned(strict, version)
        document = json.loads(base64.b64decode(form["fields"]["policy"]))
        document["expiration"] = "2100-01-01T00:00:00Z"
        form["fields"]["policy"] = base64.b64encode(json.dumps(document).encode()).decode()
        answer = httpx.post(form["url"], data=form["fields"], files={"file": ("x.txt", b"bar")})
        assert code(answer) == (403, "SignatureDoesNotMatch")
        assert not list(store.list("box"))

    def test_none(self, store: LocalStore, strict: str) -> None:
        assert code(send(f"{strict}/box", {"key": "x"})) == (403, "AccessDenied")
        fields = signed(policy())
        del fields["signature"], fields["AWSAccessKeyId"]
        assert code(send(f"{strict}/box", fields)) == (403, "AccessDenied")
        assert not list(store.list("box"))

    @pytest.mark.parametrize("path", ["/box?delete", "/box/x?uploads", "/box/x?uploadId=1", "/box/x", "/box?x-id=1"])
    def test_a_form_is_leave_for_nothing_else(
        self, store: LocalStore, strict: str, raw: Callable[..., Any], path: str
    ) -> None:
        (store.root / "box" / "x").write_bytes(b"precious")
        document = b"<Delete><Object><Key>x</Key></Object></Delete>"
        answer = raw(strict, "POST", path, document, content_type="multipart/form-data; boundary=x")
        assert answer.status in (403, 405)
        assert (store.root / "box" / "x").read_bytes() == b"precious"

    def test_also_where_the_wire_lets_it_through(self, store: LocalStore) -> None:
        store.create_bucket("box", "")
        (store.root / "box" / "x").write_bytes(b"precious")
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"<Delete><Object><Key>x</Key></Object></Delete>"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/box", "query_string": b"delete"}
        scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")], SECRETS: {KEY: SECRET}}
        asyncio.run(S3App(store, account="0" * 12, region="us-east-1")(scope, receive, send))
        assert sent[0]["status"] == 403
        assert (store.root / "box" / "x").read_bytes() == b"precious"

    @pytest.mark.parametrize("credential", ["", "a", f"{KEY}/20240101/us-east-1/sagemaker/aws4_request", "/" * 20])
    def test_that_cannot_be_read(self, strict: str, credential: str) -> None:
        form = self.presigned(strict, "s3v4")
        fields = form["fields"] | {"x-amz-credential": credential}
        answer = httpx.post(form["url"], data=fields, files={"file": ("x.txt", b"bar")})
        assert answer.status_code == 400

    def test_a_form_to_a_store_elsewhere_is_refused(self, tmp_path: Path, serving: Callable[..., Any]) -> None:
        from clary.control.objects.forwarding import S3Forwarder
        from clary.control.objects.remote_endpoint import RemoteEndpoint

        forwarder = S3Forwarder(RemoteEndpoint("http://127.0.0.1:1", "us-east-1", "", "", ""), account="0" * 12)
        app = create_app(None, region="us-east-1", account="0" * 12, s3=forwarder, credentials={KEY: SECRET})
        with serving(app) as url:
            assert code(send(f"{url}/box", {"key": "x"})) == (501, "NotImplemented")


def test_a_form_of_a_foreign_page_is_refused(store: LocalStore, serving: Callable[..., Any]) -> None:
    store.create_bucket("box", "")
    s3_app = S3App(store, account="0" * 12, region="us-east-1")
    with serving(create_app(None, region="us-east-1", account="0" * 12, s3=s3_app)) as url:
        form: dict[str, Any] = {"data": {"key": "x"}, "files": {"file": ("x", b"bar")}}
        answer = httpx.post(f"{url}/box", **form, headers={"Origin": "https://evil.example"})
        assert code(answer) == (403, "AccessDenied")
        assert httpx.post(f"{url}/box", **form, headers={"Origin": url}).status_code == 204
