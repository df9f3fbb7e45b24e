"""PutObject, CopyObject, DeleteObject, DeleteObjects."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from clary.control.objects import conditions
from clary.control.objects.base import NoSuchBucket, NoSuchKey
from clary.control.objects.checksums import (
    DEFAULT,
    FULL_OBJECT,
    Algorithm,
    algorithm_called,
    checksum_headers,
    checksum_nodes,
    checksum_text,
    checksum_type,
    encode,
)
from clary.control.objects.cloning import clone_open
from clary.control.objects.conditions import check_conditions
from clary.control.objects.encryption import SSE, encryption_headers
from clary.control.objects.key_names import check_key
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.object_parts import pack, unpack
from clary.control.objects.reading import STORAGE_CLASS, stored_headers
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, xml_response
from clary.control.objects.staging import stage
from clary.control.objects.tags import TAGGING
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = [
    "adopt",
    "check_overwrite",
    "check_target",
    "copy_object",
    "copy_source",
    "delete_object",
    "delete_objects",
    "parse_xml",
    "put_object",
    "text_of",
]

DELETE_LIMIT = 1000
# Brackets and quotes of a document, which the parser reads without letting anybody else in between. The largest that
# S3 knows, a list of 10,000 parts with two checksums each, has 120,000.
MARKS_LIMIT = 200_000
_ENCODING = re.compile(r"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)""")
_LOCKS = tuple(threading.Lock() for _ in range(64))  # of writes and deletions, by key
# The conditions of DeleteObject, as DeleteObjects names them and as its own headers do.
_DELETE_IF = {
    "ETag": "if-match",
    "Size": "x-amz-if-match-size",
    "LastModifiedTime": "x-amz-if-match-last-modified-time",
}
# Answering 200 to these would promise a lock that nobody keeps, or put the whole in place of what was to be appended.
_PROMISES = (
    *("x-amz-object-lock-mode", "x-amz-object-lock-legal-hold", "x-amz-object-lock-retain-until-date"),
    "x-amz-write-offset-bytes",
)


async def put_object(store: LocalStore, request: S3Request) -> S3Response:
    """Store the body under the key: all of it, or nothing and the old object stays."""
    check_target(store, request)
    check_overwrite(store, request)
    headers = stored_headers(request.headers)
    body = request.body()
    algorithm = body.checksums.algorithm or DEFAULT
    body.checksums.add(algorithm)
    # A small object is not synced: one PUT a file of a folder would wait for the disk each time. A kill loses nothing,
    # a power cut may lose the last ones (docs/decisions/0004).
    staged = await stage(store, body)
    summed = checksum_text(algorithm, encode(body.checksums.digest(algorithm)))
    metadata = ObjectMetadata(etag=staged.md5, headers=headers, sum=summed)
    with store.dropping(staged.path):
        # Before the rename: an object that can be seen has its ETag, also where we are killed here.
        store.metadata.write(staged.path, metadata)
        await adopt(store, request, staged.path)
    answers = checksum_headers(metadata.checksum) | encryption_headers(headers)
    return S3Response(200, {"etag": f'"{staged.md5}"', **answers})


async def copy_object(store: LocalStore, request: S3Request) -> S3Response:
    """A copy of the object named by ``x-amz-copy-source``, with its headers or those of the request."""
    check_target(store, request)
    check_overwrite(store, request)
    bucket, key = copy_source(request)
    asked = request.headers.get("x-amz-checksum-algorithm")
    algorithm = algorithm_called(asked) if asked else None
    replace = _replaces(request, "x-amz-metadata-directive")
    # S3 refuses this too; a copy onto itself with REPLACE is how metadata are changed.
    if (bucket, key) == (request.bucket, request.key) and not replace:
        raise ServiceError("InvalidRequest", "This copy request is illegal: it changes nothing about the object.")
    # One version, whatever is put under its name meanwhile: bytes, ETag and headers are of one file.
    source = store.open_object(bucket, key)
    staged = store.stage_name()
    with closing(source), store.dropping(staged):
        metadata = source.metadata
        check_conditions(request.headers, metadata.etag, source.status.st_mtime, prefix="x-amz-copy-source-")
        kept = _headers_of_copy(request, metadata, replace=replace)
        if source.size:
            await asyncio.to_thread(clone_open, source.descriptor, staged)
        else:
            staged.touch()
        # Its ETag, its parts and its checksum stay as they are: a copy of any size is made without reading it.
        copied = dataclasses.replace(metadata, headers=kept, upload="", marker=False)
        there = (*metadata.checksum, checksum_type(metadata.checksum))
        if algorithm is not None and there != (algorithm.name, FULL_OBJECT):
            copied = await asyncio.to_thread(_summed_anew, copied, staged, algorithm)
        store.metadata.write(staged, copied)
        changed = staged.stat().st_mtime  # asked of the object, it could be that of the next one
        await adopt(store, request, staged)
    nodes: list[Node] = [("LastModified", iso_date(changed)), ("ETag", f'"{metadata.etag}"')]
    answer = xml_response("CopyObjectResult", [*nodes, *checksum_nodes(copied.checksum)])
    answer.headers |= encryption_headers(kept)
    return answer


def _headers_of_copy(request: S3Request, source: ObjectMetadata, *, replace: bool) -> dict[str, str]:
    asked, old = stored_headers(request.headers), dict(source.headers)
    # Tags have a directive of their own.
    tags = asked if _replaces(request, "x-amz-tagging-directive") else old
    # A key of KMS is never copied along: S3 encrypts a copy as it is asked to, or else with its own.
    encryption = encryption_headers(asked) or ({SSE: "AES256"} if SSE in old else {})
    # Nor is a storage class.
    apart = (SSE, TAGGING, STORAGE_CLASS)
    kept = {name: text for name, text in (asked if replace else old).items() if not name.startswith(apart)}
    if STORAGE_CLASS in asked:
        kept[STORAGE_CLASS] = asked[STORAGE_CLASS]
    return kept | encryption | ({TAGGING: tags[TAGGING]} if TAGGING in tags else {})


def _replaces(request: S3Request, directive: str) -> bool:
    asked = request.headers.get(directive, "COPY")
    if asked.upper() not in ("COPY", "REPLACE"):
        raise invalid_argument(directive, asked, "Unknown metadata directive.")
    return asked.upper() == "REPLACE"


async def delete_object(store: LocalStore, request: S3Request) -> S3Response:
    """Of an object that is not there, whatever the conditions."""
    wanted = {name: request.headers[name] for name in _DELETE_IF.values() if name in request.headers}
    delete = partial(_delete_if, store, request.bucket, request.key, wanted)
    await _alone(request.bucket, request.key, delete, quick=True)
    return S3Response(204)


async def delete_objects(store: LocalStore, request: S3Request) -> S3Response:
    """Up to 1000 keys, each reported on its own."""
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    document = parse_xml(await request.small_body(), "Delete")
    asked = [each for each in document if _local_name(each) == "Object"]
    if not 0 < len(asked) <= DELETE_LIMIT or not all(text_of(each, "Key") for each in asked):
        raise malformed(f"it must name 1 to {DELETE_LIMIT} keys")
    quiet = text_of(document, "Quiet").lower() == "true"
    nodes = await asyncio.to_thread(_delete_each, store, request.bucket, asked)
    return xml_response("DeleteResult", [node for node in nodes if not (quiet and node[0] == "Deleted")])


def check_target(store: LocalStore, request: S3Request) -> None:
    """Refuse before the body is read what could not be stored, or promises what nobody would keep."""
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    check_key(request.key)
    for name in _PROMISES:
        if request.headers.get(name):
            raise ServiceError("NotImplemented", f"A header you provided is not implemented here: {name}", status=501)


def check_overwrite(store: LocalStore, request: S3Request) -> None:
    """The conditions If-Match and If-None-Match of a write. Raises ServiceError PreconditionFailed, NoSuchKey."""
    if not {"if-match", "if-none-match"} & request.headers.keys():
        return
    try:
        _, metadata = store.facts(request.bucket, request.key)
    except NoSuchKey:
        if "if-match" in request.headers:
            raise
        return
    conditions.check_overwrite(request.headers, metadata.etag)


async def adopt(store: LocalStore, request: S3Request, staged: Path) -> None:
    """Make ``staged`` the object of the request if its conditions still hold."""
    # Giving up an old file's blocks may take a while.
    quick = not store.may_replace(request.bucket, request.key)
    await _alone(request.bucket, request.key, partial(_adopt, store, request, staged), quick=quick)


def _adopt(store: LocalStore, request: S3Request, staged: Path) -> None:
    check_overwrite(store, request)
    # Also against other processes, which no lock of ours holds off: the file system links a name once.
    new = request.headers.get("if-none-match", "").strip() == "*"
    try:
        store.adopt(staged, request.bucket, request.key, new=new)
    except FileExistsError as error:
        raise conditions.failed("If-None-Match") from error


async def _alone(bucket: str, key: str, act: Callable[[], None], *, quick: bool) -> None:
    """``act`` while nobody else writes or deletes the key: between the look at an object and the act it stays so."""
    lock = _lock(bucket, key)
    # The event loop never waits for a thread that holds the lock: that one may be giving up a file of many gigabytes.
    if quick and lock.acquire(blocking=False):
        try:
            act()
        finally:
            lock.release()
    else:
        await asyncio.to_thread(_wait_and, lock, act)


def _wait_and(lock: threading.Lock, act: Callable[[], None]) -> None:
    with lock:
        act()


def _lock(bucket: str, key: str) -> threading.Lock:
    return _LOCKS[hash((bucket, key)) % len(_LOCKS)]


def copy_source(request: S3Request) -> tuple[str, str]:
    """Bucket and key of ``x-amz-copy-source``. Raises ServiceError InvalidArgument."""
    source, _, version = request.headers["x-amz-copy-source"].partition("?versionId=")
    try:
        # Percent-encoded, or the bytes of UTF-8 as they are: headers come as latin-1.
        path = unquote_to_bytes(source.encode("latin-1")).decode()
    except UnicodeError as error:
        raise ServiceError("InvalidArgument", "Copy Source must be UTF-8, percent-encoded") from error
    bucket, _, key = path.removeprefix("/").partition("/")
    if not bucket or not key:
        text = "Copy Source must mention the source bucket and key: bucket/key"
        raise invalid_argument("x-amz-copy-source", request.headers["x-amz-copy-source"], text)
    if version not in ("", "null"):
        raise ServiceError("NoSuchVersion", "The specified version does not exist: objects have none", status=404)
    return bucket, key


def parse_xml(text: bytes, root: str) -> ElementTree.Element:
    """Raises ServiceError MalformedXML."""
    try:
        plain = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise malformed("it is not UTF-8") from error
    # The parser would look for a codec of any name, of which Python has odd ones, and take zeros for UTF-16 whatever it
    # is told: in that nobody would see the document type below.
    if "\0" in plain:
        raise malformed("it is not UTF-8")
    if (declared := _ENCODING.match(plain)) and declared[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise malformed(f"its encoding is {declared[1]!a:.40}; send UTF-8")
    # Entities of a document type can be nested until a small text fills the memory; S3 bodies have none.
    if "<!DOCTYPE" in plain:
        raise malformed("it holds a document type")
    if sum(map(plain.count, "<\"'")) > MARKS_LIMIT:
        raise malformed("it has too many elements or attributes")
    try:
        document = ElementTree.fromstring(plain)
    except ElementTree.ParseError as error:
        raise malformed(str(error)) from error
    if _local_name(document) != root:
        raise malformed(f"its root must be {root}")
    return document


def text_of(element: ElementTree.Element, name: str) -> str:
    """The text of the child ``name``, whatever its namespace; empty where there is none."""
    return next((child.text or "" for child in element if _local_name(child) == name), "")


def malformed(why: str) -> ServiceError:
    return ServiceError("MalformedXML", f"The XML you provided was not well-formed or did not validate: {why}")


def _local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _delete_if(store: LocalStore, bucket: str, key: str, wanted: Mapping[str, str]) -> None:
    if wanted:
        try:
            found = store.open_object(bucket, key)
        except NoSuchKey:
            return
        found.close()
        conditions.check_delete(wanted, found.metadata.etag, found.status.st_mtime, found.size)
    store.delete(bucket, key)


def _delete_each(store: LocalStore, bucket: str, asked: Sequence[ElementTree.Element]) -> list[Node]:
    nodes: list[Node] = []
    for each in asked:
        key, version = text_of(each, "Key"), text_of(each, "VersionId")
        named: list[Node] = [("VersionId", version)] if version else []
        wanted = {header: value for name, header in _DELETE_IF.items() if (value := text_of(each, name))}
        try:
            if version not in ("", "null"):
                raise ServiceError("NoSuchVersion", "The specified version does not exist.")
            with _lock(bucket, key):
                _delete_if(store, bucket, key, wanted)
            nodes.append(("Deleted", [("Key", key), *named]))
        except ServiceError as error:
            nodes.append(("Error", [("Key", key), *named, ("Code", error.code), ("Message", error.message)]))
        except OSError as error:
            code, message = "InternalError", error.strerror or str(error)
            nodes.append(("Error", [("Key", key), ("Code", code), ("Message", message)]))
    return nodes


def _summed_anew(metadata: ObjectMetadata, file: Path, algorithm: Algorithm) -> ObjectMetadata:
    """``metadata`` with the checksum of the whole ``file``; its parts keep their sizes."""
    with file.open("rb") as reader:
        value = encode(algorithm.of_file(reader))
    parts = pack([(part.size, b"") for part in unpack(metadata.parts)])
    return dataclasses.replace(metadata, sum=checksum_text(algorithm.name, value), parts=parts)
