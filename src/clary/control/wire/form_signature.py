"""The signature of an upload by form: over its policy, in fields of the form. Versions 4 and 2 of S3."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from clary.control.wire.asgi import Head
from clary.control.wire.errors import ServiceError, invalid_argument
from clary.control.wire.signature import signing_key
from clary.control.wire.sigv4_header import ALGORITHM, Refused, SigV4Header, incomplete

__all__ = ["SECRETS", "is_form_upload", "missing_field", "verify_form"]

# Where the scope of a request carries the secrets by access key, for whoever reads the form; absent where nobody signs.
SECRETS = "clary.secrets"
# As S3's errors name them, the signature last.
_VERSION_4 = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_VERSION_2 = ("AWSAccessKeyId", "Signature")


def is_form_upload(head: Head, auth: SigV4Header | None) -> bool:
    """Whether what proves who sent it stands in the form that follows, not in the head."""
    # A query would make another operation of it (?delete), which nobody signed.
    return auth is None and head.method == "POST" and not head.query and head.content_type == "multipart/form-data"


def verify_form(fields: Mapping[str, str], secrets: Mapping[str, str] | None) -> None:
    """``fields`` by lower-case name; ``secrets`` by access key, None where signatures are only read.

    Raises Refused for a form that nobody we know has signed, ServiceError InvalidArgument (400) for half a signature,
    also where signatures are only read: on S3 that form would fail.
    """
    given = [names for names in (_VERSION_4, _VERSION_2) if any(name.lower() in fields for name in names)]
    if not given or "policy" not in fields:
        if secrets is None:
            return
        raise Refused("AccessDenied", "Access Denied: an upload by form needs a policy and its signature")
    for name in given[0]:
        if name.lower() not in fields:
            raise missing_field(name)
    if secrets is None:
        return
    key, wanted = (_version_4 if given[0] is _VERSION_4 else _version_2)(fields, secrets)
    signature = fields[given[0][-1].lower()]
    # In a time that does not tell how many characters were right.
    if not hmac.compare_digest(wanted, signature.encode()):
        text = "The request signature we calculated does not match the signature you provided. "
        more = {"AWSAccessKeyId": key, "StringToSign": fields["policy"], "SignatureProvided": signature}
        raise Refused("SignatureDoesNotMatch", text + "Check your key and signing method.", members=more)


def missing_field(name: str) -> ServiceError:
    """The error for a form without the field ``name``, or with it behind the file."""
    text = (
        f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    )
    return invalid_argument(name, "", text)


def _version_4(fields: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[str, bytes]:
    """The access key, and the signature that its owner would have made."""
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise incomplete(f"signatures of the kind {fields['x-amz-algorithm']} are not known here; use {ALGORITHM}")
    # From the right: access keys of other systems hold slashes.
    parts = fields["x-amz-credential"].rsplit("/", 4)
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"]:
        raise incomplete("x-amz-credential must have the form key/date/region/s3/aws4_request")
    key, date, region, service, _ = parts
    # The key is derived from the credential's date: an old key must not sign for today.
    if not fields["x-amz-date"].startswith(date):
        raise incomplete("the date of the credential is not that of the form")
    derived = signing_key(_secret(key, secrets), date, region, service)
    return key, hmac.digest(derived, fields["policy"].encode(), "sha256").hex().encode()


def _version_2(fields: Mapping[str, str], secrets: Mapping[str, str]) -> tuple[str, bytes]:
    key = fields["awsaccesskeyid"]
    return key, base64.b64encode(hmac.digest(_secret(key, secrets).encode(), fields["policy"].encode(), hashlib.sha1))


def _secret(key: str, secrets: Mapping[str, str]) -> str:
    if key not in secrets:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    return secrets[key]
