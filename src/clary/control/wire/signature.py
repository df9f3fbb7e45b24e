"""Whether the signature of a request is right.

Signature version 4 in the Authorization header and in the query string (presigned), and S3's older version 2 in both
places. An S3 body is judged by what its sender declared, its digest or a chain of signatures over its pieces: either is
checked while it streams.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import Head
from clary.control.wire.chunk_signatures import EMPTY, SIGNED_PAYLOAD, ChunkSignatures
from clary.control.wire.presigned import EXPIRED, STAMP, end_of, expiry
from clary.control.wire.sigv4_header import ALGORITHM, Refused, SigV4Header, incomplete

__all__ = ["Promise", "digest_mismatch", "known", "signing_key", "verify", "verify_body"]

# AWS's own: a recorded request cannot be sent again later, a clock that is a little off still works.
SKEW = timedelta(minutes=15)
HEX = re.compile(r"[0-9a-fA-F]{64}")
_BLANKS = re.compile("[ \t]+")  # those of HTTP: of the bytes of a letter in UTF-8, one may be a blank of Unicode's
SIGNED_PAYLOADS = (SIGNED_PAYLOAD, f"{SIGNED_PAYLOAD}-TRAILER")
UNSIGNED_PAYLOADS = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
# The sub-resources that S3's version 2 signs, beside those that begin with response-.
# Any other parameter of the query is not part of what version 2 signs. Source: S3 developer guide, "Signing and
# authenticating REST requests".
SIGNED_V2 = frozenset(
    {
        *("accelerate", "acl", "analytics", "cors", "delete", "inventory", "lifecycle", "location", "logging"),
        *("metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment"),
        *("restore", "select", "select-type", "storageClass", "tagging", "torrent", "uploadId", "uploads"),
        *("versionId", "versioning", "versions", "website"),
    }
)


@dataclass(frozen=True, slots=True)
class Promise:
    """What the body must be, by the request's signature: ``digest`` is hexadecimal, empty where none was declared."""

    digest: str = ""
    chunks: ChunkSignatures | None = None


def verify(head: Head, auth: SigV4Header | None, secrets: Mapping[str, str], *, now: datetime | None = None) -> Promise:
    """Check an S3 request before its body. ``secrets`` maps access keys to their secrets. Raises Refused."""
    return _Verification(head, known(auth, secrets), secrets, now or datetime.now(UTC)).check(None)


def verify_body(
    head: Head, auth: SigV4Header | None, body: bytes, secrets: Mapping[str, str], *, now: datetime | None = None
) -> None:
    """Check a request of any service with its whole body. Raises Refused."""
    digest = hashlib.sha256(body).hexdigest()
    expected = _Verification(head, known(auth, secrets), secrets, now or datetime.now(UTC)).check(digest).digest
    if expected and not hmac.compare_digest(expected, digest):
        raise digest_mismatch()


def digest_mismatch() -> Refused:
    """The body is not the one that was signed."""
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    return Refused("XAmzContentSHA256Mismatch", text, calls="InvalidSignatureException", status=400)


def known(auth: SigV4Header | None, secrets: Mapping[str, str]) -> SigV4Header:
    """The signature of a key we know, right or wrong. Raises Refused for others and for none."""
    if auth is None:
        raise Refused("AccessDenied", "Missing Authentication Token", calls="MissingAuthenticationTokenException")
    if auth.key not in secrets:
        text = "The AWS Access Key Id you provided does not exist in our records."
        raise Refused("InvalidAccessKeyId", text, calls="UnrecognizedClientException")
    return auth


@dataclass(frozen=True, slots=True)
class _Verification:
    head: Head
    auth: SigV4Header
    secrets: Mapping[str, str]
    now: datetime

    def check(self, digest: str | None) -> Promise:
        """``digest`` is that of the body where it is known already."""
        if self.auth.version == 2:
            self._check_version_2()
            return Promise()
        stamp = self._stamp()
        declared = self._declared(digest)
        self._check_signed_headers()
        auth = self.auth
        key = signing_key(self.secrets[auth.key], auth.date, auth.region, auth.service)
        for path in dict.fromkeys(self._paths()):
            expected = hmac.digest(key, self._string_to_sign(stamp, declared, path), "sha256").hex()
            # In a time that does not tell how many characters were right; bytes, since of texts only ASCII is compared.
            if hmac.compare_digest(expected.encode(), auth.signature.encode()):
                break
        else:
            raise _wrong_signature()
        if declared not in SIGNED_PAYLOADS:
            return Promise(declared.lower() if HEX.fullmatch(declared) else "")
        return Promise(
            chunks=ChunkSignatures(key, stamp, self._scope(), expected, trailer=declared.endswith("-TRAILER"))
        )

    def _stamp(self) -> str:
        """The time of signing as it was sent, checked against the clock."""
        if self.auth.presigned:
            query = dict(parse_qsl(self.head.query, keep_blank_values=True))
            stamp = query.get("X-Amz-Date", "")
            moment = _moment(stamp)
            if self.auth.service == "s3" and "X-Amz-Expires" not in query:
                raise incomplete("X-Amz-Expires must be there")
            try:
                end = end_of(query, default="900")
            except ValueError as error:
                raise incomplete(str(error)) from None
            now = self.now.timestamp()
            if end is None or now > end:
                more = expiry(query, end or 0, now)
                raise Refused("AccessDenied", EXPIRED, calls="InvalidSignatureException", members=more)
            # An address may be signed for later than now only by as much as clocks differ.
            if moment > self.now + SKEW:
                raise self._skewed(stamp)
        else:
            stamp = self.head.headers.get("x-amz-date", "") or _from_date(self.head.headers.get("date", ""))
            if abs(self.now - _moment(stamp)) > SKEW:
                raise self._skewed(stamp)
        # The key is derived from the credential's date: an old key must not sign for today.
        if not stamp.startswith(self.auth.date):
            raise incomplete("the date of the credential is not that of the request")
        return stamp

    def _skewed(self, stamp: str) -> Refused:
        if self.auth.service == "s3":
            text = "The difference between the request time and the current time is too large."
            return Refused("RequestTimeTooSkewed", text)
        here = self.now.strftime(STAMP)
        text = f"Signature expired: {stamp} is not within 15 min. of this server's clock, {here}"
        return Refused("RequestTimeTooSkewed", text, calls="InvalidSignatureException")

    def _declared(self, digest: str | None) -> str:
        """What stands for the body in what was signed."""
        # Only S3 says in this header what stands for the body; the others sign the digest of the body itself.
        declared = self.head.headers.get("x-amz-content-sha256", "")
        if self.auth.service == "s3":
            if self.auth.presigned:
                query = dict(parse_qsl(self.head.query, keep_blank_values=True))
                declared = declared or query.get("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
            if not declared:
                text = "Missing required header for this request: x-amz-content-sha256"
                raise Refused("InvalidRequest", text, status=400)
            if declared not in SIGNED_PAYLOADS + UNSIGNED_PAYLOADS and not HEX.fullmatch(declared):
                raise _unknown_payload(declared)
            return declared
        if declared and not HEX.fullmatch(declared):
            raise incomplete("x-amz-content-sha256 must be the digest of the body")
        return declared or (EMPTY if digest is None else digest)

    def _check_signed_headers(self) -> None:
        signed = self.auth.signed
        if "host" not in signed:
            raise incomplete("the host header must be signed")
        # A header that is not signed could be added by whoever passes the request on: x-amz-acl, x-amz-copy-source.
        loose = [name for name in self.head.headers if name.startswith("x-amz-") and name not in signed]
        if loose:
            text = f"There were headers present in the request which were not signed: {', '.join(sorted(loose))}"
            raise Refused("AccessDenied", text, calls="InvalidSignatureException")

    def _string_to_sign(self, stamp: str, payload: str, path: str) -> bytes:
        headers = self.head.headers
        # Some clients sign an empty Content-Length and then send none.
        if "content-length" in self.auth.signed and "content-length" not in headers:
            headers = {**headers, "content-length": ""}
        # The canonical request, line by line as the specification has it: method, path, query, signed headers, an empty
        # line, their names, the digest of the body.
        canonical = "\n".join(
            [
                self.head.method,
                path,
                self._query(),
                *(f"{name}:{' '.join(_BLANKS.split(headers.get(name, '')))}" for name in self.auth.signed),
                "",
                ";".join(self.auth.signed),
                payload,
            ]
        )
        # The bytes as they came (Head reads them as latin-1), whatever letters the client meant by them. Other letters
        # only a presigned address has, as names of headers that nobody can send.
        digest = hashlib.sha256(canonical.encode("latin-1", "replace")).hexdigest()
        return "\n".join([ALGORITHM, stamp, self._scope(), digest]).encode()

    def _scope(self) -> str:
        return f"{self.auth.date}/{self.auth.region}/{self.auth.service}/aws4_request"

    def _paths(self) -> Iterator[str]:
        """The canonical path; of S3's, which is what their path decodes to, also the one that was sent."""
        path = self.head.path or "/"
        if self.auth.service == "s3":
            # Some clients sign just what they send; some sign the canonical form and send `!` or `+` as it is.
            yield path
            yield "/".join(map(_reencoded, path.split("/")))
            return
        # The specification: services other than S3 have their paths normalised, and each part quoted twice. S3 keys may
        # hold "//" and "..", so theirs stay as they are.
        tidy = posixpath.normpath(path).replace("//", "/")
        if path.endswith("/") and not tidy.endswith("/"):
            tidy += "/"
        yield quote(tidy, safe="/~")

    def _query(self) -> str:
        # Decoded and encoded anew: clients differ in what they quote (+, ~, *), the canonical form has one way.
        pairs = []
        for pair in filter(None, self.head.query.split("&")):
            name, _, value = pair.partition("=")
            if name != "X-Amz-Signature":
                pairs.append((_reencoded(name), _reencoded(value)))
        return "&".join(f"{name}={value}" for name, value in sorted(pairs))

    def _check_version_2(self) -> None:
        query = dict(parse_qsl(self.head.query, keep_blank_values=True))
        headers = self.head.headers
        # Such a chain begins at a signature of version 4.
        if (payload := headers.get("x-amz-content-sha256", "")).startswith("STREAMING-AWS4-"):
            raise _unknown_payload(payload)
        if self.auth.presigned:
            date = query.get("Expires", "")
            try:
                end = end_of({"Expires": date, "Signature": self.auth.signature})
            except ValueError:
                end = None
            now = self.now.timestamp()
            if end is None or now > end:
                raise Refused("AccessDenied", EXPIRED, members=expiry({}, end or 0, now))
        else:
            # Either header may hold either form. With x-amz-date, which is signed as such, the date's own line is empty
            # (S3 developer guide, "Signing and authenticating REST requests").
            date = headers.get("date", "")
            sent = headers.get("x-amz-date", "") or date
            if abs(self.now - _moment(_from_date(sent) or sent)) > SKEW:
                raise self._skewed(sent)
            date = "" if "x-amz-date" in headers else date
        # The store takes a parameter for a header, over one of that name (objects.request): what counts must be signed.
        asked = {name.lower(): text for name, text in query.items() if name.lower().startswith("x-amz-")}
        if any(headers.get(name, text) != text for name, text in asked.items()):
            raise _wrong_signature()
        amz = {name: text for name, text in headers.items() if name.startswith("x-amz-")} | asked
        described = headers | query if "Signature" in query else headers
        md5, kind = described.get("content-md5", ""), described.get("content-type", "")
        lines = [self.head.method, md5, kind, date, *(f"{name}:{amz[name]}" for name in sorted(amz))]
        # Version 2 is over the path that also names the bucket, wherever the request names it.
        bucket = bucket_of_host(headers.get("host", ""))
        path = f"/{bucket}{self.head.path}" if bucket else self.head.path
        # botocore signs a bucket by itself with a slash at the end, and then sends it without
        paths = [path, f"{path}/"] if path.count("/") == 1 else [path]
        secret = self.secrets[self.auth.key].encode()
        given = self.auth.signature.encode()
        # Version 2 is what boto3 still makes for presigned addresses where no signature version is set.
        for resource in map(self._resource, paths):
            digest = hmac.new(secret, "\n".join([*lines, resource]).encode(), hashlib.sha1).digest()
            if hmac.compare_digest(base64.b64encode(digest), given):
                return
        raise _wrong_signature()

    def _resource(self, path: str) -> str:
        """The path with the sub-resources that version 2 signs."""
        parts = []
        for pair in filter(None, self.head.query.split("&")):
            name, equals, value = pair.partition("=")
            if name in SIGNED_V2 or name.startswith("response-"):
                parts.append((name, name + equals + unquote(value)))
        query = "&".join(text for _, text in sorted(parts, key=lambda part: part[0]))
        return f"{path}?{query}" if query else path


# Four HMACs that come out the same all day.
@lru_cache(maxsize=64)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key of signature version 4 for one day, region and service; ``date`` as 20240506."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _reencoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="-_.~")


def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise incomplete("X-Amz-Date must be there, as 20240506T070809Z") from None


def _from_date(text: str) -> str:
    """A Date header as X-Amz-Date; empty when it is none."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime(STAMP)
    except (ValueError, IndexError, OverflowError):
        return ""


def _unknown_payload(payload: str) -> Refused:
    text = f"x-amz-content-sha256 {payload!a:.80} cannot be checked with this signature; use UNSIGNED-PAYLOAD or the "
    return Refused("InvalidRequest", f"{text}SHA-256 of the body", status=400)


def _wrong_signature() -> Refused:
    text = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method."
    )
    return Refused("SignatureDoesNotMatch", text, calls="InvalidSignatureException")
