"""The operations of multipart uploads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from contextlib import closing
from pathlib import Path

from clary.control.objects import multipart_checksums, multipart_files
from clary.control.objects.base import NoSuchBucket, NoSuchKey
from clary.control.objects.checksums import ALGORITHMS, DEFAULT, Sum, checksum_nodes, checksum_text, encode
from clary.control.objects.conditions import check_conditions, parse_copy_range
from clary.control.objects.encryption import encryption_headers
from clary.control.objects.listing import PAGE_LIMIT, common_prefix, encoded, number, wants_urls
from clary.control.objects.local import LocalStore
from clary.control.objects.multipart_files import Part, Upload
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.object_parts import pack
from clary.control.objects.reading import PART_LIMIT, PIECE, stored_headers
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, members, xml_response
from clary.control.objects.staging import stage
from clary.control.objects.writing import adopt, check_overwrite, check_target, copy_source, parse_xml
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


async def create_upload(store: LocalStore, request: S3Request) -> S3Response:
    check_target(store, request)
    algorithm, kind = multipart_checksums.chosen(request)
    headers = stored_headers(request.headers)
    upload = multipart_files.create(store, request.bucket, request.key, headers, algorithm, kind)
    nodes: list[Node] = [("Bucket", request.bucket), ("Key", request.key), ("UploadId", upload.id)]
    answer = xml_response("InitiateMultipartUploadResult", nodes)
    answer.headers |= encryption_headers(upload.headers)
    if algorithm:
        answer.headers |= {"x-amz-checksum-algorithm": algorithm, "x-amz-checksum-type": kind}
    return answer


async def upload_part(store: LocalStore, request: S3Request) -> S3Response:
    upload, part = _find(store, request), _part_number(request)
    body = request.body()
    given, summed = body.checksums.algorithm, upload.algorithm or DEFAULT
    if upload.algorithm and given not in ("", summed):
        raise multipart_checksums.other_algorithm(upload, given)
    body.checksums.add(summed)
    staged = await stage(store, body)
    with store.dropping(staged.path):
        multipart_files.keep(upload, part, staged.md5, body.checksums.digest(summed), staged.path)
    named = given or upload.algorithm
    sums = {ALGORITHMS[named].header: encode(body.checksums.digest(named))} if named else {}
    return S3Response(200, {"etag": f'"{staged.md5}"', **sums, **encryption_headers(upload.headers)})


async def upload_part_copy(store: LocalStore, request: S3Request) -> S3Response:
    """A part that is an object, or a range of one."""
    upload, part = _find(store, request), _part_number(request)
    bucket, key = copy_source(request)
    algorithm = ALGORITHMS[upload.algorithm or DEFAULT]
    summed = algorithm.start()
    source, staged = store.open_object(bucket, key), store.stage_name()
    with closing(source), store.dropping(staged):
        check_conditions(request.headers, source.metadata.etag, source.status.st_mtime, prefix="x-amz-copy-source-")
        start, stop = parse_copy_range(request.headers.get("x-amz-copy-source-range"), source.size)
        md5 = await asyncio.to_thread(_copy_range, source.descriptor, staged, start, stop, summed)
        digest = summed.digest()
        multipart_files.keep(upload, part, md5, digest, staged)
    nodes: list[Node] = [("LastModified", iso_date(time.time())), ("ETag", f'"{md5}"')]
    if upload.algorithm:
        nodes.append((algorithm.element, encode(digest)))
    answer = xml_response("CopyPartResult", nodes)
    answer.headers |= encryption_headers(upload.headers)
    return answer


async def complete_upload(store: LocalStore, request: S3Request) -> S3Response:
    """Join the parts named in the body. Asked again after it succeeded, it succeeds again."""
    asked = multipart_checksums.asked_parts(parse_xml(await request.small_body(), "CompleteMultipartUpload"))
    # Clients repeat this call when the answer was lost on the way; NoSuchUpload, or a condition that the first call
    # made untrue, would fail an upload that succeeded.
    if done := _completed(store, request):
        return _result(request, done)
    upload = _find(store, request)
    check_overwrite(store, request)
    try:
        parts = multipart_files.choose(upload, [(each.number, each.md5) for each in asked])
    except ServiceError:
        _find(store, request)  # of an upload that is aborted meanwhile no part is there either
        raise
    checksum = multipart_checksums.whole(upload, parts)
    # S3's ETag of a multipart object: the MD5 of the parts' MD5s, and how many there were. Tools recompute it.
    digests = b"".join(bytes.fromhex(part.md5) for part in parts)
    etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
    # Without an algorithm nobody asks for the sums of parts, and ten thousand of them are 100 kB of metadata.
    table = pack([(part.size, part.digest if upload.algorithm and checksum else b"") for part in parts])
    # The id stays with the object: by it a repeated completion is known for what it is.
    summed = "".join(checksum_text(*item) for item in checksum.items())
    metadata = ObjectMetadata(etag=etag, headers=upload.headers, upload=upload.id, sum=summed, parts=table)
    staged = store.stage_name()
    with store.dropping(staged):
        try:
            pairs = list(zip(asked, parts, strict=True))
            await asyncio.to_thread(multipart_checksums.check, request, upload, checksum, pairs)
            await asyncio.to_thread(multipart_files.join, parts, staged)
        except FileNotFoundError:
            if done := _completed(store, request):  # by the same request sent twice
                return _result(request, done)
            raise multipart_files.unknown() from None
        store.metadata.write(staged, metadata)
        await adopt(store, request, staged)
    await asyncio.to_thread(multipart_files.remove, upload)
    return _result(request, metadata)


def abort_upload(store: LocalStore, request: S3Request) -> S3Response:
    """End an upload. Of one that was completed nothing is left to end, and S3 says so by 204; its object stays."""
    try:
        upload = _find(store, request)
    except ServiceError:
        if not _completed(store, request):
            raise
    else:
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
    nodes += _upload_nodes(upload)
    nodes += [("Part", _describe(upload, part)) for part in parts[:limit]]
    return xml_response("ListPartsResult", nodes)


def list_uploads(store: LocalStore, request: S3Request) -> S3Response:
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    limit = min(number(request, "max-uploads", PAGE_LIMIT), PAGE_LIMIT)
    marker = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    everywhere = multipart_files.uploads(store)
    uploads = [one for one in everywhere if one.bucket == request.bucket and one.key.startswith(prefix)]
    uploads.sort(key=lambda each: (each.key.encode(), each.id))
    if marker[0]:
        uploads = [e for e in uploads if (e.key, e.id) > marker and (marker[1] or e.key != marker[0])]
    # By the text that the next page goes on behind; a common prefix once, and not again on the page behind it.
    places = [(_common(each.key, prefix, delimiter), each) for each in uploads]
    found = {(common, "") if common else (e.key, e.id): None if common else e for common, e in places}
    found.pop((marker[0], ""), None)
    page = list(found.items())[:limit]
    nodes: list[Node] = [("Bucket", request.bucket), ("Prefix", encoded(request, prefix)), ("MaxUploads", str(limit))]
    nodes += [("KeyMarker", encoded(request, marker[0])), ("UploadIdMarker", marker[1])]
    nodes += members({"Delimiter": encoded(request, delimiter), "EncodingType": "url" if wants_urls(request) else ""})
    nodes.append(("IsTruncated", str(len(found) > limit > 0).lower()))
    if page and len(found) > limit:
        last, id_ = page[-1][0]
        nodes += [("NextKeyMarker", encoded(request, last)), ("NextUploadIdMarker", id_)]
    for (text, id_), upload in page:
        if upload is None:
            nodes.append(("CommonPrefixes", [("Prefix", encoded(request, text))]))
            continue
        known: list[Node] = [("Key", encoded(request, text)), ("UploadId", id_)]
        known += [("Initiated", iso_date(upload.created)), ("StorageClass", "STANDARD"), *_upload_nodes(upload)]
        nodes.append(("Upload", known))
    return xml_response("ListMultipartUploadsResult", nodes)


def _common(key: str, prefix: str, delimiter: str) -> str:
    return common_prefix(key.encode(), prefix.encode(), delimiter.encode()).decode() if delimiter else ""


def _find(store: LocalStore, request: S3Request) -> Upload:
    return multipart_files.find(store, request.bucket, request.key, request.query["uploadId"])


def _part_number(request: S3Request) -> int:
    part = number(request, "partNumber", 0)
    if not 1 <= part <= PART_LIMIT:
        text = f"Part number must be an integer between 1 and {PART_LIMIT}, inclusive"
        raise invalid_argument("partNumber", request.query.get("partNumber", ""), text)
    return part


def _copy_range(source: int, staged: Path, start: int, stop: int, summed: Sum) -> str:
    """The MD5 of the bytes copied from the open file ``source``, which ``summed`` is fed with too."""
    digest = hashlib.md5(usedforsecurity=False)
    with staged.open("wb") as writer:
        while start < stop and (data := os.pread(source, min(PIECE, stop - start), start)):
            digest.update(data)
            summed.update(data)
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
    nodes += [("ETag", f'"{metadata.etag}"'), *checksum_nodes(metadata.checksum)]
    answer = xml_response("CompleteMultipartUploadResult", nodes)
    answer.headers |= encryption_headers(metadata.headers)
    return answer


def _upload_nodes(upload: Upload) -> list[Node]:
    return members({"ChecksumAlgorithm": upload.algorithm, "ChecksumType": upload.kind})


def _describe(upload: Upload, part: Part) -> list[Node]:
    sums: list[Node] = []
    if upload.algorithm and part.digest:
        sums.append((ALGORITHMS[upload.algorithm].element, encode(part.digest)))
    return [
        ("PartNumber", str(part.number)),
        ("LastModified", iso_date(part.modified)),
        ("ETag", f'"{part.md5}"'),
        ("Size", str(part.size)),
        *sums,
    ]
