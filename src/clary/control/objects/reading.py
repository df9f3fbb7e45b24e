"""GetObject and HeadObject."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping

from clary.control.objects.checksums import checksum_headers, checksum_type, part_checksum
from clary.control.objects.conditions import check_conditions, not_modified, parse_range
from clary.control.objects.encryption import encryption_headers
from clary.control.objects.listing import number
from clary.control.objects.local import LocalStore, OpenObject
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.object_parts import unpack
from clary.control.objects.request import S3Request, without_framing
from clary.control.objects.responses import S3Response, http_date
from clary.control.objects.tags import TAGGING, header_of_tags, tags_of_header
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["CONTENT_TYPE", "PART_LIMIT", "PIECE", "STORED_HEADERS", "get_object", "stored_headers"]

CONTENT_TYPE = "binary/octet-stream"
STORED_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
)
META = "x-amz-meta-"
STORAGE_CLASS = "x-amz-storage-class"
# Kept and said again; all are the same disk, and readable at once.
STORAGE_CLASSES = (
    *("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING"),
    *("GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"),
)
_REDIRECT = "x-amz-website-redirect-location"
PART_LIMIT = 10_000
META_LIMIT = 2048  # bytes of names and values together, as on S3
AT_ONCE = 64 << 10  # bytes read on the event loop; more are read in a thread
PIECE = 1 << 20


async def get_object(store: LocalStore, request: S3Request) -> S3Response:
    """GetObject or HeadObject, by the method of the request."""
    # Opened before its metadata are read: from here on a PUT of the same key replaces the name, not this file.
    found = store.open_object(request.bucket, request.key)
    try:
        answer, start, stop = _describe(request, found)
        if request.method == "HEAD" or start == stop:
            found.close()
        elif stop - start <= AT_ONCE:
            answer.body = os.pread(found.descriptor, stop - start, start)
            found.close()
        else:
            answer.body = _stream(found.descriptor, start, stop)
    except BaseException:
        found.close()
        raise
    return answer


def stored_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a request's headers those that are kept with an object, its tags and encryption among them.

    Raises ServiceError MetadataTooLarge, InvalidTag, InvalidArgument, InvalidStorageClass.
    """
    kept = {name: headers[name] for name in (*STORED_HEADERS, _REDIRECT) if headers.get(name)}
    storage = headers.get(STORAGE_CLASS) or "STANDARD"
    if storage not in STORAGE_CLASSES:
        members = {"StorageClassRequested": storage}
        raise ServiceError("InvalidStorageClass", "The storage class you specified is not valid", members=members)
    # As S3, which says nothing of the usual one.
    if storage != "STANDARD":
        kept[STORAGE_CLASS] = storage
    if encoding := without_framing(kept.pop("content-encoding", "")):
        kept["content-encoding"] = encoding
    meta = {name: value for name, value in headers.items() if name.startswith(META)}
    if sum(len(name) - len(META) + len(value) for name, value in meta.items()) > META_LIMIT:
        raise ServiceError("MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size.")
    # Written anew, so that whatever was accepted now can be read later.
    tags = tags_of_header(headers.get(TAGGING, ""))
    return kept | meta | encryption_headers(headers) | ({TAGGING: header_of_tags(tags)} if tags else {})


def _describe(request: S3Request, found: OpenObject) -> tuple[S3Response, int, int]:
    """The answer without body, and the range of bytes asked for."""
    status, metadata, size = found.status, found.metadata, found.size
    check_conditions(request.headers, metadata.etag, status.st_mtime)
    headers = _headers(metadata, status, request)
    if not_modified(request.headers, metadata.etag, status.st_mtime):
        return S3Response(304, headers), 0, 0
    if "partNumber" in request.query:
        asked, checksum = _part(metadata, size, request, headers)
    elif "range" in request.headers:
        # The checksum is of the whole: with a range clients would hold it against the piece.
        asked = parse_range(request.headers["range"], size)
        checksum = {} if asked else metadata.checksum
    else:
        asked, checksum = None, metadata.checksum
    if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= checksum_headers(checksum)
        if checksum:
            # That of a part looks like one of a whole: what it is a part of decides.
            headers["x-amz-checksum-type"] = checksum_type(metadata.checksum)
    start, stop = asked or (0, size)
    headers["content-length"] = str(stop - start)
    # Of a part without bytes no range can tell.
    if stop > start and asked:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return S3Response(206 if asked else 200, headers), start, stop


def _part(
    metadata: ObjectMetadata, size: int, request: S3Request, headers: dict[str, str]
) -> tuple[tuple[int, int] | None, Mapping[str, str]]:
    """Range and checksum of the part asked for, with the number of parts in ``headers``.

    Raises ServiceError InvalidPart (400) beyond the parts of an object that came in parts, InvalidPartNumber (416) of
    another, InvalidArgument, InvalidRequest.
    """
    if "range" in request.headers:
        raise ServiceError("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    asked = number(request, "partNumber", 0)
    if not 1 <= asked <= PART_LIMIT:
        text = f"Part number must be an integer between 1 and {PART_LIMIT}, inclusive"
        raise invalid_argument("partNumber", request.query["partNumber"], text)
    parts = unpack(metadata.parts)
    if asked > max(1, len(parts)):
        text = "The requested partnumber is not satisfiable"
        if parts:
            raise ServiceError("InvalidPart", f"{text}: the object came in {len(parts)} parts")
        raise ServiceError("InvalidPartNumber", text, status=416)
    # Every object has a first part, which transfer managers ask for.
    if not parts:
        return (0, size) if size else None, metadata.checksum
    headers["x-amz-mp-parts-count"] = str(len(parts))
    part = parts[asked - 1]
    return (part.start, part.start + part.size), part_checksum(metadata.checksum, part.digest)


def _headers(metadata: ObjectMetadata, status: os.stat_result, request: S3Request) -> dict[str, str]:
    headers = {
        "etag": f'"{metadata.etag}"',
        "last-modified": http_date(status.st_mtime),
        "accept-ranges": "bytes",
        "content-type": CONTENT_TYPE,
        **metadata.headers,
    }
    # How many tags it has S3 tells everybody, which only those who ask for them.
    if tags := tags_of_header(headers.pop(TAGGING, "")):
        headers["x-amz-tagging-count"] = str(len(tags))
    for name in STORED_HEADERS:
        if (override := request.query.get(f"response-{name}")) is not None:
            # A line end here would let a link add headers of its own to the answer.
            if not override.isprintable() or not override.isascii():
                raise invalid_argument(f"response-{name}", override, f"response-{name} cannot be sent as a header")
            headers[name] = override
    return headers


async def _stream(file: int, start: int, stop: int) -> AsyncGenerator[bytes]:
    try:
        while start < stop:
            piece = await asyncio.to_thread(os.pread, file, min(PIECE, stop - start), start)
            # Content-Length is out already: only a broken connection can still tell the client.
            if not piece:
                raise OSError(f"an object became shorter while it was read, at byte {start}")
            start += len(piece)
            yield piece
    finally:
        os.close(file)
