"""The operations of multipart uploads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import closing
from pathlib import Path

from clary.control.objects import multipart_files
from clary.control.objects.base import NoSuchBucket, NoSuchKey
from clary.control.objects.conditions import check_conditions, parse_range
from clary.control.objects.encryption import encryption_headers
from clary.control.objects.listing import PAGE_LIMIT, number
from clary.control.objects.local import LocalStore
from clary.control.objects.multipart_files import Part, Upload
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.reading import stored_headers
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, xml_response
from clary.control.objects.staging import stage
from clary.control.objects.writing import adopt, check_target, copy_source, malformed, parse_xml, text_of
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = [
    "abort_upload",
    "complete_upload",
    "create_upload",
    "list_parts",
    "list_uploads",
    "upload_part",
    "upload_part_copy",
]

PART_LIMIT = 10_000


async def create_upload(store: LocalStore, request: S3Request) -> S3Response:
    check_target(store, request)
    upload = multipart_files.create(store, request.bucket, request.key, stored_headers(request.headers))
    nodes: list[Node] = [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id)]
    answer = xml_response("InitiateMultipartUploadResult", nodes)
    answer.headers |= encryption_headers(upload.headers)
    return answer


async def upload_part(store: LocalStore, request: S3Request) -> S3Response:
    upload, part = _find(store, request), _part_number(request)
    body = request.body()
    staged = await stage(store, body)
    with store.dropping(staged.path):
        multipart_files.keep(upload, part, staged.md5, staged.path)
    encryption = encryption_headers(upload.headers)
    return S3Response(200, {"etag": f'"{staged.md5}"', **body.checksums.announced, **encryption})


async def upload_part_copy(store: LocalStore, request: S3Request) -> S3Response:
    """A part that is an object, or a range of one."""
    upload, part = _find(store, request), _part_number(request)
    bucket, key = copy_source(request)
    source, staged = store.open_object(bucket, key), store.stage_name()
    with closing(source), store.dropping(staged):
        check_conditions(request.headers, source.metadata.etag, source.status.st_mtime, prefix="x-amz-copy-source-")
        asked = parse_range(request.headers.get("x-amz-copy-source-range", ""), source.size)
        start, stop = asked or (0, source.size)
        md5 = await asyncio.to_thread(_copy_range, source.descriptor, staged, start, stop)
        multipart_files.keep(upload, part, md5, staged)
    answer = xml_response("CopyPartResult", [("LastModified", iso_date(time.time())), ("ETag", f'"{md5}"')])
    answer.headers |= encryption_headers(upload.headers)
    return answer


async def complete_upload(store: LocalStore, request: S3Request) -> S3Response:
    """Join the parts named in the body. Asked again after it succeeded, it succeeds again."""
    document = parse_xml(await request.small_body(), "CompleteMultipartUpload")
    asked = [(text_of(each, "PartNumber"), text_of(each, "ETag").strip('"')) for each in document]
    if not asked or not all(text.isascii() and text.isdigit() and len(text) <= 5 for text, _ in asked):
        raise malformed("it must name the parts")
    try:
        upload = _find(store, request)
    # Clients repeat this call when the answer was lost on the way; a second NoSuchUpload would fail an upload that
    # succeeded.
    except ServiceError:
        if metadata := _completed(store, request):
            return _result(request, metadata)
        raise
    try:
        parts = multipart_files.choose(upload, [(int(text), md5) for text, md5 in asked])
    except ServiceError:
        _find(store, request)  # of an upload that is aborted meanwhile no part is there either
        raise
    # S3's ETag of a multipart object: the MD5 of the parts' MD5s, and how many there were. Tools recompute it.
    digests = b"".join(bytes.fromhex(part.md5) for part in parts)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
    staged = store.stage_name()
    with store.dropping(staged):
        try:
            await asyncio.to_thread(multipart_files.join, parts, staged)
        except FileNotFoundError:
            if metadata := _completed(store, request):  # by the same request sent twice
                return _result(request, metadata)
            raise multipart_files.unknown() from None
        # The id stays with the object: by it a repeated completion is known for what it is.
        metadata = ObjectMetadata(etag=etag, headers=upload.headers, upload=upload.id)
        store.metadata.write(staged, metadata)
        await adopt(store, request, staged)
    await asyncio.to_thread(multipart_files.remove, upload)
    return _result(request, metadata)


def abort_upload(store: LocalStore, request: S3Request) -> S3Response:
    upload = _find(store, request)
    multipart_files.remove(upload)
    return S3Response(204)


def list_parts(store: LocalStore, request: S3Request) -> S3Response:
    upload = _find(store, request)
    limit = min(number(request, "max-parts", PAGE_LIMIT), PAGE_LIMIT)
    marker = number(request, "part-number-marker", 0)
    parts = [part for part in multipart_files.latest(upload) if part.number > marker]
    nodes: list[Node] = [("Bucket", upload.bucket), ("Key", upload.key), ("UploadId", upload.id)]
    nodes += [("PartNumberMarker", str(marker)), ("MaxParts", str(limit))]
    nodes.append(("IsTruncated", str(len(parts) > limit).lower()))
    if len(parts) > limit > 0:
        nodes.append(("NextPartNumberMarker", str(parts[limit - 1].number)))
    nodes += [("StorageClass", "STANDARD"), ("Initiator", [("ID", "clary")]), ("Owner", [("ID", "clary")])]
    nodes += [("Part", _describe(part)) for part in parts[:limit]]
    return xml_response("ListPartsResult", nodes)


def list_uploads(store: LocalStore, request: S3Request) -> S3Response:
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    limit = min(number(request, "max-uploads", PAGE_LIMIT), PAGE_LIMIT)
    marker = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    prefix = request.query.get("prefix", "")
    everywhere = multipart_files.uploads(store)
    uploads = [one for one in everywhere if one.bucket == request.bucket and one.key.startswith(prefix)]
    uploads.sort(key=lambda each: (each.key.encode(), each.id))
    if marker[0]:
        uploads = [e for e in uploads if (e.key, e.id) > marker and (marker[1] or e.key != marker[0])]
    nodes: list[Node] = [("Bucket", request.bucket), ("Prefix", prefix), ("MaxUploads", str(limit))]
    nodes += [("KeyMarker", marker[0]), ("UploadIdMarker", marker[1])]
    nodes.append(("IsTruncated", str(len(uploads) > limit).lower()))
    if len(uploads) > limit > 0:
        last = uploads[limit - 1]
        nodes += [("NextKeyMarker", last.key), ("NextUploadIdMarker", last.id)]
    for each in uploads[:limit]:
        members = [("Key", each.key), ("UploadId", each.id), ("Initiated", iso_date(each.created))]
        nodes.append(("Upload", [*members, ("StorageClass", "STANDARD")]))
    return xml_response("ListMultipartUploadsResult", nodes)


def _find(store: LocalStore, request: S3Request) -> Upload:
    return multipart_files.find(store, request.bucket, request.key, request.query["uploadId"])


def _part_number(request: S3Request) -> int:
    part = number(request, "partNumber", 0)
    if not 1 <= part <= PART_LIMIT:
        text = f"Part number must be an integer between 1 and {PART_LIMIT}, inclusive"
        raise invalid_argument("partNumber", request.query.get("partNumber", ""), text)
    return part


def _copy_range(source: int, staged: Path, start: int, stop: int) -> str:
    """The MD5 of the bytes copied from the open file ``source``."""
    digest = hashlib.md5(usedforsecurity=False)
    with staged.open("wb") as writer:
        while start < stop and (data := os.pread(source, min(1 << 20, stop - start), start)):
            digest.update(data)
            writer.write(data)
            start += len(data)
    return digest.hexdigest()


def _completed(store: LocalStore, request: S3Request) -> ObjectMetadata | None:
    """The metadata of the object if this very upload made it."""
    try:
        _, metadata = store.facts(request.bucket, request.key)
    except NoSuchKey:
        return None
    return metadata if metadata.upload == request.query["uploadId"] else None


def _result(request: S3Request, metadata: ObjectMetadata) -> S3Response:
    nodes: list[Node] = [("Location", request.resource), ("Bucket", request.bucket), ("Key", request.key)]
    answer = xml_response("CompleteMultipartUploadResult", [*nodes, ("ETag", f'"{metadata.etag}"')])
    answer.headers |= encryption_headers(metadata.headers)
    return answer


def _describe(part: Part) -> list[Node]:
    return [
        ("PartNumber", str(part.number)),
        ("LastModified", iso_date(part.modified)),
        ("ETag", f'"{part.md5}"'),
        ("Size", str(part.size)),
    ]
