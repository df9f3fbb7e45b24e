"""Lists of keys: ListObjects, ListObjectsV2, and the pages they come in."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from clary.control.objects.checksums import checksum_type
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, xml_response
from clary.control.objects.walking import PAST, ListedObject
from clary.control.wire.errors import invalid_argument

__all__ = [
    "PAGE_LIMIT",
    "common_prefix",
    "decode_token",
    "encode_token",
    "encoded",
    "integer",
    "list_object_versions",
    "list_objects",
    "list_objects_v2",
    "number",
    "wants_urls",
]

PAGE_LIMIT = 1000


@dataclass(slots=True)
class _Page:
    # Objects with their metadata, and common prefixes without.
    entries: list[tuple[ListedObject, ObjectMetadata | None]] = field(default_factory=list)
    truncated: bool = False
    after: bytes = b""  # where the next page goes on


def list_objects(store: LocalStore, request: S3Request) -> S3Response:
    """ListObjects, the first version: pages by ``marker``."""
    query = request.query
    marker = query.get("marker", "").encode()
    delimiter = query.get("delimiter", "").encode()
    prefix = query.get("prefix", "").encode()
    page = _page(store, request, prefix, delimiter, _after(marker, prefix, delimiter))
    last = page.entries[-1][0].key.decode() if page.entries else ""
    head: list[Node] = [("Marker", encoded(request, query.get("marker", "")))]
    if page.truncated:
        head.append(("NextMarker", encoded(request, last)))
    return _answer(request, page, head, owner=True)


def list_objects_v2(store: LocalStore, request: S3Request) -> S3Response:
    """ListObjectsV2: pages by ``continuation-token``."""
    query = request.query
    token = query.get("continuation-token")
    after = decode_token(token) if token is not None else query.get("start-after", "").encode()
    page = _page(store, request, query.get("prefix", "").encode(), query.get("delimiter", "").encode(), after)
    head: list[Node] = [("KeyCount", str(len(page.entries)))]
    if "start-after" in query:
        head.append(("StartAfter", encoded(request, query["start-after"])))
    if token is not None:
        head.append(("ContinuationToken", token))
    if page.truncated:
        head.append(("NextContinuationToken", encode_token(page.after)))
    return _answer(request, page, head, owner=query.get("fetch-owner") == "true")


def list_object_versions(store: LocalStore, request: S3Request) -> S3Response:
    """ListObjectVersions: of a bucket that never had versions each object once, under the id ``null``."""
    query = request.query
    marker, delimiter = query.get("key-marker", "").encode(), query.get("delimiter", "").encode()
    prefix = query.get("prefix", "").encode()
    page = _page(store, request, prefix, delimiter, _after(marker, prefix, delimiter))
    head: list[Node] = [("KeyMarker", encoded(request, query.get("key-marker", "")))]
    head.append(("VersionIdMarker", query.get("version-id-marker", "")))
    if page.truncated:
        last = page.entries[-1][0].key.decode() if page.entries else ""
        head += [("NextKeyMarker", encoded(request, last)), ("NextVersionIdMarker", "null")]
    return _answer(request, page, head, owner=True, versions=True)


def number(request: S3Request, name: str, default: int) -> int:
    """A query parameter from 0 up. Raises ServiceError InvalidArgument."""
    return integer(name, request.query.get(name), default)


def integer(name: str, text: str | None, default: int) -> int:
    """An argument of a request as a number from 0 up. Raises ServiceError InvalidArgument."""
    text = text or str(default)
    if not (text.isascii() and text.isdigit()) or len(text) > 10:
        raise invalid_argument(name, text, f"Argument {name} must be an integer between 0 and 2147483647")
    return int(text)


def _page(store: LocalStore, request: S3Request, prefix: bytes, delimiter: bytes, after: bytes) -> _Page:
    limit = min(number(request, "max-keys", PAGE_LIMIT), PAGE_LIMIT)
    found = store.walk(request.bucket, prefix, after, shallow=delimiter == b"/")
    page = _Page()
    for entry in _grouped(found, prefix, delimiter, after):
        # One more is looked for than is given: whether there is another page must be known now.
        if len(page.entries) == limit:
            page.truncated = limit > 0
            break
        described = store.described(entry) if entry.status else (entry, None)
        if described is None:
            continue  # deleted since it was found
        page.entries.append(described)
        # Where a common prefix ended the page, the next begins behind everything it stands for.
        page.after = entry.key if entry.status else entry.key + PAST
    return page


def _grouped(found: Iterator[ListedObject], prefix: bytes, delimiter: bytes, after: bytes) -> Iterator[ListedObject]:
    """Keys that hold the delimiter behind the prefix, as one common prefix each."""
    last = b""
    for entry in found:
        common = common_prefix(entry.key, prefix, delimiter) if delimiter else b""
        if not common:
            yield entry
        elif common != last and common + PAST != after:
            last = common
            yield ListedObject(common, entry.path, None)


def _after(marker: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """Behind which key the page after ``marker`` begins."""
    # A marker that is a common prefix stands for all keys below it, else the page after it would begin with it again.
    is_common = (
        marker and delimiter and marker.startswith(prefix) and marker == common_prefix(marker, prefix, delimiter)
    )
    return marker + PAST if is_common else marker


def common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """The key up to its first delimiter behind the prefix; empty where there is none."""
    end = key.find(delimiter, len(prefix))
    return key[: end + len(delimiter)] if end >= 0 else b""


def _answer(request: S3Request, page: _Page, head: list[Node], *, owner: bool, versions: bool = False) -> S3Response:
    query = request.query
    nodes: list[Node] = [("Name", request.bucket), ("Prefix", encoded(request, query.get("prefix", "")))]
    nodes += head
    nodes.append(("MaxKeys", str(min(number(request, "max-keys", PAGE_LIMIT), PAGE_LIMIT))))
    if query.get("delimiter"):
        nodes.append(("Delimiter", encoded(request, query["delimiter"])))
    if wants_urls(request):
        nodes.append(("EncodingType", "url"))
    nodes.append(("IsTruncated", str(page.truncated).lower()))
    for entry, metadata in page.entries:
        if entry.status and metadata:
            contents = _contents(request, entry.key, entry.status, metadata, owner=owner)
            version: list[Node] = [("VersionId", "null"), ("IsLatest", "true")] if versions else []
            nodes.append(("Version" if versions else "Contents", [*version, *contents]))
        else:
            nodes.append(("CommonPrefixes", [("Prefix", encoded(request, entry.key.decode()))]))
    return xml_response("ListVersionsResult" if versions else "ListBucketResult", nodes)


def _contents(
    request: S3Request, key: bytes, status: os.stat_result, metadata: ObjectMetadata, *, owner: bool
) -> list[Node]:
    nodes: list[Node] = [
        ("Key", encoded(request, key.decode())),
        ("LastModified", iso_date(status.st_mtime)),
        ("ETag", f'"{metadata.etag}"'),
        *(("ChecksumAlgorithm", name) for name in metadata.checksum),
        *([("ChecksumType", checksum_type(metadata.checksum))] if metadata.checksum else []),
        ("Size", "0" if metadata.marker else str(status.st_size)),
        ("StorageClass", metadata.headers.get("x-amz-storage-class", "STANDARD")),
    ]
    if owner:
        nodes.append(("Owner", [("ID", "clary"), ("DisplayName", "clary")]))
    return nodes


def wants_urls(request: S3Request) -> bool:
    """Whether keys are to be percent-encoded in the answer. Raises ServiceError InvalidArgument."""
    encoding = request.query.get("encoding-type", "")
    # SDKs ask for url by themselves, since keys may hold what XML cannot say.
    if encoding not in ("", "url"):
        raise invalid_argument("encoding-type", encoding, "Invalid Encoding Method specified in Request")
    return encoding == "url"


def encoded(request: S3Request, text: str) -> str:
    """A key, or a part of one, as the request wants it in the answer."""
    return quote(text, safe="/") if wants_urls(request) else text


def encode_token(key: bytes) -> str:
    """Where a page ended, as a token that clients give back."""
    return base64.urlsafe_b64encode(key).decode()


def decode_token(token: str) -> bytes:
    """Raises ServiceError InvalidArgument."""
    try:
        return base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        text = "The continuation token provided is incorrect"
        raise invalid_argument("continuation-token", token, text) from error
