"""PostObject: a form of multipart/form-data, as browsers and ``generate_presigned_post`` send it, becomes an object.

The fields before the file are read first, and are few; the file streams into the very same steps as the body of a PUT.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from email.header import Header
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.bucket_settings import default_encryption
from clary.control.objects.encryption import SSE, refuse_customer_keys
from clary.control.objects.form_policy import FormPolicy
from clary.control.objects.local import LocalStore
from clary.control.objects.reading import META, STORED_HEADERS
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, xml_response
from clary.control.objects.staging import OBJECT_LIMIT
from clary.control.objects.tagging import tags_of_xml
from clary.control.objects.tags import OBJECT_LIMIT as TAG_LIMIT
from clary.control.objects.tags import TAGGING, header_of_tags
from clary.control.objects.writing import parse_xml, put_object
from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import Message, pieces
from clary.control.wire.errors import ServiceError, invalid_argument
from clary.control.wire.form_signature import missing_field, verify_form

__all__ = ["post_object"]

FIELDS_LIMIT = 20 << 10  # bytes of names and values before the file, as on S3
PARTS_LIMIT = 1000  # fields and file; each has headers, which count for nothing else
_PASSED = (
    META,
    "content-md5",
    "x-amz-checksum-",
    "x-amz-sdk-checksum-",
    SSE,
    TAGGING,
    "x-amz-storage-class",
    "x-amz-object-lock-",
)

_Events = AsyncGenerator[MultipartSegment | bytes | None]


async def post_object(store: LocalStore, request: S3Request, secrets: Mapping[str, str] | None) -> S3Response:
    """``secrets`` by access key where forms must be signed.

    Raises ServiceError: 400 for a form or a policy that cannot be read, and for a file of a length that the policy does
    not allow; 403 for one that the policy does not allow otherwise, or that is not signed as it must be.
    """
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    async with aclosing(_events(request)) as events:
        return await _store(store, request, events, secrets)


async def _store(
    store: LocalStore, request: S3Request, events: _Events, secrets: Mapping[str, str] | None
) -> S3Response:
    fields, file = await _read_fields(events)
    # In every field, and before the policy is asked; a file without a name leaves it as it is.
    if file.filename is not None:
        kept = ("policy", "signature", "x-amz-signature")
        fields = {n: text if n in kept else text.replace("${filename}", file.filename) for n, text in fields.items()}
    if "key" not in fields:
        raise missing_field("key")
    verify_form(fields, secrets)
    policy = FormPolicy.parse(fields["policy"]) if "policy" in fields else None
    if policy:
        # The bucket is the one of the address: a field of that name must not say another.
        policy.check(fields | {"bucket": request.bucket}, time.time())
    content = _File(events, policy)
    headers = _headers(fields)
    refuse_customer_keys(headers)
    if SSE not in headers:
        headers |= default_encryption(store, request.bucket)
    put = S3Request("PUT", request.bucket, fields["key"], {}, headers, content.receive, open_ended=True)
    return _answer(request, fields, await put_object(store, put))


@dataclass(slots=True)
class _File:
    """The file of the form as the messages of a body; the last one only after the whole form was found right."""

    events: _Events
    policy: FormPolicy | None
    size: int = 0

    async def receive(self) -> Message:
        """Raises ServiceError EntityTooLarge, EntityTooSmall, MalformedPOSTRequest."""
        event = await anext(self.events)
        if isinstance(event, bytes):
            self.size += len(event)
            largest = self.policy.largest if self.policy else None
            limit = OBJECT_LIMIT if largest is None else min(largest, OBJECT_LIMIT)
            if self.size > limit:
                members = {"ProposedSize": str(self.size), "MaxSizeAllowed": str(limit)}
                text = "Your proposed upload exceeds the maximum allowed size"
                raise ServiceError("EntityTooLarge", text, members=members)
            return {"type": "http.request", "body": event, "more_body": True}
        smallest = (self.policy.smallest if self.policy else None) or 0
        if self.size < smallest:
            members = {"ProposedSize": str(self.size), "MinSizeAllowed": str(smallest)}
            text = "Your proposed upload is smaller than the minimum allowed size"
            raise ServiceError("EntityTooSmall", text, members=members)
        # S3 reads no field behind the file, but a form that is cut off there may be cut off anywhere.
        async for _ in self.events:
            pass
        return {"type": "http.request", "body": b"", "more_body": False}


async def _events(request: S3Request) -> _Events:
    """What the parser finds: a segment, its bytes, None at its end. Raises ServiceError MalformedPOSTRequest."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data":
        members = {"Condition": "Bucket POST must be of the enclosure-type multipart/form-data"}
        text = "At least one of the pre-conditions you specified did not hold"
        raise ServiceError("PreconditionFailed", text, status=412, members=members)
    try:
        parser = PushMultipartParser(options.get("boundary", ""), max_segment_count=PARTS_LIMIT)
        async for piece in pieces(request.receive):
            for event in parser.parse(piece):
                yield event
        parser.close()
    except MultipartError as error:
        text = f"The body of your POST request is not well-formed multipart/form-data: {error}"
        limited = isinstance(error, ParserLimitReached)
        raise _too_many() if limited else ServiceError("MalformedPOSTRequest", text) from error


async def _read_fields(events: _Events) -> tuple[dict[str, str], MultipartSegment]:
    """The fields before the file, by lower-case name, and the file's own head."""
    fields: dict[str, str] = {}
    left = FIELDS_LIMIT
    async for segment in events:
        assert isinstance(segment, MultipartSegment)
        name = (segment.name or "").lower()
        # Nothing but its name makes a part the file: programs send every field with a file name.
        if name == "file":
            return fields, segment
        value = bytearray()
        left -= len(name)
        while (piece := await anext(events)) is not None:
            assert isinstance(piece, bytes)
            value += piece
            if len(value) > left:
                raise _too_many()
        left -= len(value)
        if left < 0:
            raise _too_many()
        try:
            # Of several fields of one name S3 makes one with commas.
            fields[name] = f"{fields[name]},{value.decode()}" if name in fields else value.decode()
        except UnicodeDecodeError as error:
            raise invalid_argument(name, "", f"the field {name!r} is no UTF-8") from error
    raise invalid_argument("file", "0", "POST requires exactly one file upload per request.")


def _headers(fields: Mapping[str, str]) -> dict[str, str]:
    """Of the fields those that stand for headers of a PUT."""
    headers = {n: text for n, text in fields.items() if n in STORED_HEADERS or n.startswith(_PASSED)}
    if "tagging" in fields:
        document: ElementTree.Element = parse_xml(fields["tagging"].encode(), "Tagging")
        headers[TAGGING] = header_of_tags(tags_of_xml(document, TAG_LIMIT))
    for name, text in headers.items():
        if not text.isprintable():
            raise invalid_argument(name, text, f"{name} cannot be sent as a header")
        # As S3 gives back metadata beyond ASCII (RFC 2047): HTTP headers have no other way to say them.
        if not text.isascii():
            headers[name] = Header(text, "utf-8", maxlinelen=10_000).encode()
    return headers


def _answer(request: S3Request, fields: Mapping[str, str], stored: S3Response) -> S3Response:
    """As the fields success_action_redirect and success_action_status want it."""
    key, etag, host = fields["key"], stored.headers["etag"], request.headers.get("host", "")
    # S3 quotes the slashes of the key as well.
    path = "" if bucket_of_host(host) else f"{request.bucket}/"
    headers = stored.headers | {"location": f"http://{host}/{path}{quote(key, safe='')}"}
    # "redirect" is the older name.
    target = fields.get("success_action_redirect") or fields.get("redirect", "")
    if _is_address(target):
        query = urlencode({"bucket": request.bucket, "key": key, "etag": etag})
        address = f"{target}{'&' if urlsplit(target).query else '?'}{query}"
        return S3Response(303, headers | {"location": address})
    # Any other status than these three is taken for none, as on S3.
    if fields.get("success_action_status") == "201":
        nodes: list[Node] = [("Location", headers["location"]), ("Bucket", request.bucket), ("Key", key)]
        answer = xml_response("PostResponse", [*nodes, ("ETag", etag)], status=201, namespace="")
        answer.headers |= headers
        return answer
    return S3Response(200 if fields.get("success_action_status") == "200" else 204, headers)


def _is_address(text: str) -> bool:
    """Whether a browser may be sent there."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and text.isascii() and text.isprintable()


def _too_many() -> ServiceError:
    text = "Your POST request fields preceding the upload file were too large."
    members = {"MaxPostPreDataLengthBytes": str(FIELDS_LIMIT)}
    return ServiceError("MaxPostPreDataLengthExceeded", text, members=members)
