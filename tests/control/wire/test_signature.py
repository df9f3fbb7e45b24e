"""Signatures as botocore makes them, checked; and every way to get one wrong, refused."""

from __future__ import annotations

import base64
import hmac
import re
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import (
    HmacV1Auth,
    HmacV1QueryAuth,
    S3SigV4Auth,
    S3SigV4QueryAuth,
    SigV4Auth,
    SigV4QueryAuth,
)
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.control.wire.asgi import Head
from clary.control.wire.signature import Promise, verify, verify_body
from clary.control.wire.sigv4_header import Refused, read_header

CREDENTIALS = Credentials("AKID", "secret/+=")
SECRETS = {"AKID": "secret/+=", "OTHER": "x"}
BODY = b'{"a": 1}'


def head_of(request: Any, **changed: str) -> Head:
    """The head a server sees of a request botocore signed; ``changed`` headers by name with underscores."""
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    headers = {name.lower(): _text(value).strip() for name, value in prepared.headers.items()}
    headers = {"host": parts.netloc, **headers, **{name.replace("_", "-"): text for name, text in changed.items()}}
    return Head(prepared.method, parts.path, parts.query, headers)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value


def call(
    signer: type = SigV4Auth, *, path: str = "/", data: bytes = BODY, credentials: Any = CREDENTIALS, **kw: Any
) -> Any:
    request = AWSRequest("POST", f"http://127.0.0.1:4747{path}", data=data, headers={"X-Amz-Target": "SageMaker.X"})
    signer(credentials, "sagemaker", "eu-west-1", **kw).add_auth(request)
    return request


def put(signer: type = S3SigV4Auth, path: str = "/bucket/a%20b", **kw: Any) -> Any:
    request = AWSRequest("PUT", f"http://127.0.0.1:4747{path}", data=BODY, headers={"x-amz-meta-a": "b   c"})
    signer(CREDENTIALS, *([] if signer in (HmacV1Auth, HmacV1QueryAuth) else ["s3", "eu-west-1"]), **kw).add_auth(
        request
    )
    return request


@pytest.mark.parametrize("path", ["/", "/endpoints/a%20b/invocations", "/a//b/../c/", "/x?b=2&a=1&a=%2F%2B"])
def test_calls_signed_by_botocore(path):
    head = head_of(call(path=path))
    found = read_header(head)
    assert found is not None
    assert (found.version, found.key, found.service, found.region) == (4, "AKID", "sagemaker", "eu-west-1")
    verify_body(head, found, BODY, SECRETS)


def test_presigned_calls():
    request = AWSRequest("GET", "http://127.0.0.1:4747/?Action=GetCallerIdentity&Version=2011-06-15")
    SigV4QueryAuth(CREDENTIALS, "sts", "eu-west-1", expires=60).add_auth(request)
    head = head_of(request)
    found = read_header(head)
    assert found is not None
    assert (found.service, found.presigned) == ("sts", True)
    verify_body(head, found, b"", SECRETS)
    with pytest.raises(Refused, match="expired"):
        verify_body(head, found, b"", SECRETS, now=datetime.now(UTC) + timedelta(seconds=62))
    with pytest.raises(Refused, match="15 min"):
        verify_body(head, found, b"", SECRETS, now=datetime.now(UTC) - timedelta(minutes=16))


@pytest.mark.parametrize("signer", [S3SigV4Auth, S3SigV4QueryAuth, HmacV1Auth, HmacV1QueryAuth])
@pytest.mark.parametrize(
    "path", ["/bucket/a%20b", "/bucket", "/bucket/a//../b%2Bc", "/bucket/k?uploads&x=1", "/b/k?tagging=%C3%A9"]
)
def test_s3_requests_signed_by_botocore(signer, path):
    head = head_of(put(signer, path))
    found = read_header(head)
    assert found is not None
    assert found.service == "s3"
    digest = verify(head, found, SECRETS).digest
    assert len(digest) == (64 if signer is S3SigV4Auth else 0)


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=10),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=10),
)
def test_any_key_and_query(key, query, header):
    from urllib.parse import quote, urlencode

    url = f"http://127.0.0.1:4747/bucket/x{quote(key, safe='/~')}?{urlencode(query, quote_via=quote)}"
    request = AWSRequest("GET", url, headers={"x-amz-meta-a": f"a {header}"})
    S3SigV4Auth(CREDENTIALS, "s3", "us-east-1").add_auth(request)
    head = head_of(request)
    verify(head, read_header(head), SECRETS)


def test_unsigned_payloads_leave_the_body_open():
    request = AWSRequest("PUT", "http://h/bucket/k", data=BODY)
    request.context["payload_signing_enabled"] = False

    class Unsigned(S3SigV4Auth):  # type: ignore[misc]
        def payload(self, request: Any) -> str:
            return "UNSIGNED-PAYLOAD"

    Unsigned(CREDENTIALS, "s3", "us-east-1").add_auth(request)
    head = head_of(request)
    assert verify(head, read_header(head), SECRETS) == Promise()


@pytest.mark.parametrize("path", ["/bucket/a%21b%2Bc", "/bucket/~%C3%A9%2F"])
def test_a_path_may_be_sent_with_other_quotes_than_it_was_signed_with(path):
    # Clients sign the canonical form and let their HTTP library write the address.
    head = head_of(put(path=path))
    sent = head.path.replace("%21", "!").replace("%2B", "+").replace("~", "%7e").replace("%C3%A9", "%c3%a9")
    assert sent != head.path
    verify(Head(head.method, sent, head.query, head.headers), read_header(head), SECRETS)
    with pytest.raises(Refused, match="does not match"):
        verify(Head(head.method, sent.replace("%2F", "/") + "x", head.query, head.headers), read_header(head), SECRETS)


@pytest.mark.parametrize("text", ["attachment; filename=\u00e9\u00e0", "\u4e2d  \u6587", "\u0105"])
def test_headers_beyond_ascii_are_signed_as_their_bytes(text):
    request = AWSRequest("PUT", "http://127.0.0.1:4747/b/k", data=BODY, headers={"content-disposition": text})
    S3SigV4Auth(CREDENTIALS, "s3", "us-east-1").add_auth(request)
    # As botocore sends it, and a server reads it.
    head = head_of(request, content_disposition=text.encode().decode("latin-1"))
    verify(head, read_header(head), SECRETS)
    other = head_of(request, content_disposition=text.encode().decode("latin-1") + "x")
    with pytest.raises(Refused, match="does not match"):
        verify(other, read_header(other), SECRETS)


@pytest.mark.parametrize(
    "word", ["foo", "unsigned-payload", "streaming-aws4-hmac-sha256-payload", "STREAMING-OTHER", "0" * 63]
)
def test_what_stands_for_a_body_is_a_word_that_s3_knows(word):
    class Other(S3SigV4Auth):  # type: ignore[misc]
        def payload(self, request: Any) -> str:
            return str(word)

    head = head_of(put(Other))
    with pytest.raises(Refused, match="x-amz-content-sha256") as caught:
        verify(head, read_header(head), SECRETS)
    assert (caught.value.code, caught.value.status) == ("InvalidRequest", 400)


def test_a_digest_in_capital_letters_is_one():
    class Capital(S3SigV4Auth):  # type: ignore[misc]
        def payload(self, request: Any) -> str:
            return str(super().payload(request)).upper()

    head = head_of(put(Capital))
    assert re.fullmatch("[0-9a-f]{64}", verify(head, read_header(head), SECRETS).digest)


def test_version_2_signs_parameters_that_stand_for_headers():
    # The store takes them for headers, and over those of the same name.
    head = head_of(put(HmacV1Auth))
    for added in ("x-amz-copy-source=b/secret", "X-Amz-Acl=private", "Signature=x&content-type=text/html"):
        with pytest.raises(Refused, match="does not match"):
            verify(Head(head.method, head.path, added, head.headers), read_header(head), SECRETS)
    request = AWSRequest("PUT", "http://127.0.0.1:4747/b/k", headers={"x-amz-copy-source": "b/open"})
    HmacV1QueryAuth(CREDENTIALS, expires=60).add_auth(request)
    head = head_of(request)
    moved = head if "x-amz-copy-source" in head.query else None
    assert moved is not None
    verify(moved, read_header(moved), SECRETS)
    query = moved.query.replace("open", "secret")
    other = Head(moved.method, moved.path, query, moved.headers | {"x-amz-copy-source": "b/open"})
    with pytest.raises(Refused, match="does not match"):
        verify(other, read_header(other), SECRETS)


CHANGES = {
    "method": lambda head: Head("DELETE", head.path, head.query, head.headers),
    "path": lambda head: Head(head.method, head.path + "x", head.query, head.headers),
    "query": lambda head: Head(head.method, head.path, head.query + "&x=1", head.headers),
    "host": lambda head: Head(head.method, head.path, head.query, {**head.headers, "host": "other"}),
    "metadata": lambda head: Head(head.method, head.path, head.query, {**head.headers, "x-amz-meta-a": "d"}),
}


@pytest.mark.parametrize(
    ("signer", "change"),
    [
        *((signer, change) for signer in (S3SigV4Auth, S3SigV4QueryAuth) for change in CHANGES),
        # version 2 signs neither the host nor other queries
        *((signer, change) for signer in (HmacV1Auth, HmacV1QueryAuth) for change in ("method", "path", "metadata")),
    ],
)
def test_a_changed_request_is_refused(signer, change):
    head = CHANGES[change](head_of(put(signer)))
    with pytest.raises(Refused, match="does not match") as caught:
        verify(head, read_header(head), SECRETS)
    assert (caught.value.code, caught.value.calls) == ("SignatureDoesNotMatch", "InvalidSignatureException")
    assert caught.value.status == 403


def test_a_changed_body_is_refused():
    head = head_of(call())
    with pytest.raises(Refused, match="does not match"):
        verify_body(head, read_header(head), BODY + b" ", SECRETS)


def test_a_declared_digest_must_be_the_bodys():
    request = AWSRequest("POST", "http://h/", data=BODY, headers={"X-Amz-Content-SHA256": "0" * 64})
    SigV4Auth(CREDENTIALS, "sagemaker", "eu-west-1").add_auth(request)
    head = head_of(request)
    with pytest.raises(Refused, match="x-amz-content-sha256"):
        verify_body(head, read_header(head), BODY, SECRETS)
    request = AWSRequest("POST", "http://h/", data=BODY, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    SigV4Auth(CREDENTIALS, "sagemaker", "eu-west-1").add_auth(request)
    head = head_of(request)
    with pytest.raises(Refused, match="must be the digest"):
        verify_body(head, read_header(head), BODY, SECRETS)


def test_other_keys_and_secrets_are_refused():
    head = head_of(call(credentials=Credentials("NOBODY", "x")))
    with pytest.raises(Refused) as caught:
        verify_body(head, read_header(head), BODY, SECRETS)
    assert (caught.value.code, caught.value.calls) == ("InvalidAccessKeyId", "UnrecognizedClientException")
    head = head_of(call(credentials=Credentials("OTHER", "y")))
    with pytest.raises(Refused, match="does not match"):
        verify_body(head, read_header(head), BODY, SECRETS)
    with pytest.raises(Refused, match="Missing Authentication Token") as caught:
        verify_body(head, None, BODY, SECRETS)
    assert caught.value.calls == "MissingAuthenticationTokenException"


@pytest.mark.parametrize("minutes", [-16, 16])
@pytest.mark.parametrize("signer", [S3SigV4Auth, HmacV1Auth])
def test_clocks_must_agree(signer, minutes):
    head = head_of(put(signer))
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    with pytest.raises(Refused) as caught:
        verify(head, read_header(head), SECRETS, now=now)
    assert caught.value.code == "RequestTimeTooSkewed"
    verify(head, read_header(head), SECRETS, now=datetime.now(UTC) + timedelta(minutes=14))


@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
def test_presigned_urls_end(signer):
    head = head_of(put(signer, expires=100))
    verify(head, read_header(head), SECRETS, now=datetime.now(UTC) + timedelta(seconds=95))
    with pytest.raises(Refused, match="expired") as caught:
        verify(head, read_header(head), SECRETS, now=datetime.now(UTC) + timedelta(seconds=102))
    assert caught.value.code == "AccessDenied"


def test_amazon_headers_must_be_signed():
    head = head_of(put(), x_amz_copy_source="/bucket/secret")
    with pytest.raises(Refused, match="not signed: x-amz-copy-source"):
        verify(head, read_header(head), SECRETS)


def test_a_presigned_week_is_the_longest():
    head = head_of(put(S3SigV4QueryAuth, expires=604_801))
    with pytest.raises(Refused, match="604800"):
        verify(head, read_header(head), SECRETS)


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20240506/us-east-1/s3/other, SignedHeaders=host, Signature=x",
        "AWS4-HMAC-SHA256 Credential=a/20240506/us-east-1/s3/aws4_request, SignedHeaders=host",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20240506/s3/aws4_request, SignedHeaders=host, Signature=x",
    ],
)
def test_unreadable_signatures_are_refused(authorization):
    with pytest.raises(Refused) as caught:
        read_header(Head("GET", "/", "", {"authorization": authorization}))
    assert (caught.value.code, caught.value.status) == ("AuthorizationHeaderMalformed", 400)


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=",
        "X-Amz-Algorithm",
        "y&X-Amz-Algorithm=%FF",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%00&X-Amz-SignedHeaders=host&X-Amz-Signature=x",
    ],
)
def test_queries_that_cannot_be_read_are_refused(query):
    with pytest.raises(Refused) as caught:
        read_header(Head("GET", "/b/k", query, {}))
    assert (caught.value.code, caught.value.status) == ("AuthorizationHeaderMalformed", 400)
    assert caught.value.message.isprintable()


def test_a_long_claim_takes_linear_time():
    claim = "AWS4-HMAC-SHA256 " + "x" * 200_000  # quadratic: minutes
    signal.setitimer(signal.ITIMER_VIRTUAL, 5)  # seconds of this process
    before = signal.signal(signal.SIGVTALRM, lambda *_: pytest.fail("it takes too long"))
    try:
        with pytest.raises(Refused):
            read_header(Head("GET", "/b/k", "", {"authorization": claim}))
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", ["yX-Amz-Algorithm", "X-Amz-AlgorithmX"])
def test_names_that_hold_another_are_no_claim(name):
    assert read_header(Head("GET", "/b/k", f"{name}=", {})) is None


@pytest.mark.parametrize("expires", ["9" * 5000, "-1", "0", "604801", "+5", "1_0", "\u0665", "", "1e3", "nan"])
@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
def test_ends_that_are_none(signer, expires):
    head = head_of(put(signer))
    name = "X-Amz-Expires" if signer is S3SigV4QueryAuth else "Expires"
    query = re.sub(rf"(?<=\b{name}=)\w+", quote(expires), head.query)
    changed = Head(head.method, head.path, query, head.headers)
    with pytest.raises(Refused) as caught:
        verify(changed, read_header(changed), SECRETS)
    assert caught.value.status in (400, 403)


@pytest.mark.parametrize("signer", [S3SigV4QueryAuth, HmacV1QueryAuth])
def test_a_signature_of_other_letters_is_wrong_and_no_more(signer):
    head = head_of(put(signer))
    query = re.sub(r"(?<=Signature=)[^&]+", "%C3%A9", head.query)
    changed = Head(head.method, head.path, query, head.headers)
    with pytest.raises(Refused, match="does not match"):
        verify(changed, read_header(changed), SECRETS)


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S +0000", "%Y%m%dT%H%M%SZ"])
@pytest.mark.parametrize("beside", [{}, {"date": "Mon, 06 May 2024 07:08:09 GMT"}])
def test_version_2_takes_both_forms_of_a_date(form, beside):
    now = datetime.now(UTC)
    stamp = now.strftime(form)
    # Of the request the date's own line is empty, for x-amz-date is signed as such.
    text = f"PUT\n\n\n\nx-amz-date:{stamp}\n/bucket/k"
    signed = base64.b64encode(hmac.digest(b"secret/+=", text.encode(), "sha1")).decode()
    head = Head("PUT", "/bucket/k", "", {"x-amz-date": stamp, "authorization": f"AWS AKID:{signed}", **beside})
    assert verify(head, read_header(head), SECRETS) == Promise()
    with pytest.raises(Refused) as caught:
        verify(head, read_header(head), SECRETS, now=now + timedelta(minutes=16))
    assert caught.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    "date", ["Mon, 06 May 99999999999999999999 07:08:09 GMT", "x", "Mon, 06 May 0000 07:08:09 GMT"]
)
def test_dates_that_are_none(date):
    for name in ("date", "x-amz-date"):
        head = Head("PUT", "/bucket/k", "", {name: date, "authorization": "AWS AKID:x"})
        with pytest.raises(Refused) as caught:
            verify(head, read_header(head), SECRETS)
        assert caught.value.status in (400, 403)


@pytest.mark.parametrize("authorization", ["", "Bearer x", "Basic eDp5", "AWS"])
def test_other_authorizations_are_no_claim(authorization):
    assert read_header(Head("GET", "/b/k", "x=X-Amz-Algorithm", {"authorization": authorization})) is None


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.sampled_from(["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"])
        | st.sampled_from(["X-Amz-Signature", "AWSAccessKeyId", "Signature", "Expires"]),
        st.sampled_from(
            ["AWS4-HMAC-SHA256", "AKID/20240506/us-east-1/s3/aws4_request", "host", "20240506T070809Z", "AKID"]
        )
        | st.text(max_size=6),
    ),
    st.sampled_from(
        ["", "AWS AKID:x", "AWS4-HMAC-SHA256 Credential=AKID/20240506/r/s3/aws4_request,SignedHeaders=host,Signature=x"]
    ),
    st.dictionaries(st.sampled_from(["date", "x-amz-date", "x-amz-content-sha256", "host"]), st.text(max_size=20)),
)
def test_nothing_unsigned_passes_and_nothing_crashes(query, authorization, headers):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    head = Head("GET", "/bucket/key", text, {**headers, "authorization": authorization})
    with pytest.raises(Refused):
        verify(head, read_header(head), SECRETS)
    with pytest.raises(Refused):
        verify_body(head, read_header(head), b"", SECRETS)
