"""The signature of a form's policy, held against the example of AWS's own documentation."""

from __future__ import annotations

import base64

import pytest

from clary.control.wire.errors import ServiceError
from clary.control.wire.form_signature import verify_form

SECRETS = {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
# S3 developer guide, "Example: browser-based upload using HTTP POST": with its line ends, which the signature is over.
POLICY = """\
{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}""".replace("\n", "\r\n")
FIELDS = {
    "policy": base64.b64encode(POLICY.encode()).decode(),
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
    "x-amz-date": "20151229T000000Z",
    "x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e",
}


def refused(fields: dict[str, str]) -> tuple[str, int]:
    with pytest.raises(ServiceError) as caught:
        verify_form(fields, SECRETS)
    return caught.value.code, caught.value.status


def test_the_example_is_right() -> None:
    verify_form(FIELDS, SECRETS)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (
            {"x-amz-signature": "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699f"},
            "SignatureDoesNotMatch",
        ),
        ({"x-amz-signature": "ü"}, "SignatureDoesNotMatch"),
        ({"policy": FIELDS["policy"][:-4]}, "SignatureDoesNotMatch"),
        ({"x-amz-credential": FIELDS["x-amz-credential"].replace("us-east", "eu-west")}, "SignatureDoesNotMatch"),
        ({"x-amz-credential": FIELDS["x-amz-credential"].replace("AKIA", "AKIB")}, "InvalidAccessKeyId"),
    ],
)
def test_of_another_it_is_not(changed: dict[str, str], code: str) -> None:
    assert refused(FIELDS | changed) == (code, 403)


@pytest.mark.parametrize(
    "changed",
    [
        {"x-amz-algorithm": "AWS4-ECDSA-P256-SHA256"},
        {"x-amz-date": "20151230T000000Z"},
        {"x-amz-credential": ""},
        {"x-amz-credential": FIELDS["x-amz-credential"].replace("/s3/", "/sagemaker/")},
    ],
)
def test_what_cannot_be_read(changed: dict[str, str]) -> None:
    assert refused(FIELDS | changed)[1] == 400


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "policy"])
def test_half_of_it(name: str) -> None:
    fields = {each: text for each, text in FIELDS.items() if each != name}
    assert refused(fields) == ("InvalidArgument", 400)
    with pytest.raises(ServiceError) as caught:
        verify_form(fields, None)
    assert caught.value.members["ArgumentName"].lower() == name


def test_none_of_it() -> None:
    assert refused({"policy": FIELDS["policy"]}) == refused({}) == ("AccessDenied", 403)
    verify_form({"policy": FIELDS["policy"]}, None)
    verify_form({}, None)
