"""PutObject, CopyObject, DeleteObject, DeleteObjects."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import closing, nullcontext
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

from clary.control.objects.base import NoSuchBucket, NoSuchKey
from clary.control.objects.cloning import clone_open
from clary.control.objects.conditions import check_conditions
from clary.control.objects.encryption import SSE, encryption_headers
from clary.control.objects.key_names import check_key
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.reading import STORAGE_CLASS, stored_headers
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, xml_response
from clary.control.objects.staging import stage
from clary.control.objects.tags import TAGGING
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = [
    "adopt",
    "copy_object",
    "copy_source",
    "delete_object",
    "delete_objects",
    "parse_xml",
    "put_object",
    "text_of",
]

DELETE_LIMIT = 1000
_ENCODING = re.compile(r"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)""")
_CONDITIONAL = threading.Lock()  # between the look at the old object and the rename
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
    # A small object is not synced: one PUT a file of a folder would wait for the disk each time. A kill loses nothing,
    # a power cut may lose the last ones (docs/decisions/0004).
    staged = await stage(store, body)
    with store.dropping(staged.path):
        # Before the rename: an object that can be seen has its ETag, also where we are killed here.
        store.metadata.write(staged.path, ObjectMetadata(etag=staged.md5, headers=headers))
        await adopt(store, request, staged.path)
    return S3Response(200, {"etag": f'"{staged.md5}"', **body.checksums.announced, **encryption_headers(headers)})


async def copy_object(store: LocalStore, request: S3Request) -> S3Response:
    """A copy of the object named by ``x-amz-copy-source``, with its headers or those of the request."""
    check_target(store, request)
    bucket, key = copy_source(request)
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
        store.metadata.write(staged, ObjectMetadata(etag=metadata.etag, headers=kept))
        changed = staged.stat().st_mtime  # asked of the object, it could be that of the next one
        await adopt(store, request, staged)
    nodes: list[Node] = [("LastModified", iso_date(changed)), ("ETag", f'"{metadata.etag}"')]
    answer = xml_response("CopyObjectResult", nodes)
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


def delete_object(store: LocalStore, request: S3Request) -> S3Response:
    store.delete(request.bucket, request.key)
    return S3Response(204)


async def delete_objects(store: LocalStore, request: S3Request) -> S3Response:
    """Up to 1000 keys, each reported on its own."""
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    document = parse_xml(await request.small_body(), "Delete")
    named = [each for each in document if _local_name(each) == "Object"]
    keys = [(text_of(each, "Key"), text_of(each, "VersionId")) for each in named]
    if not 0 < len(keys) <= DELETE_LIMIT or not all(key for key, _ in keys):
        raise malformed(f"it must name 1 to {DELETE_LIMIT} keys")
    quiet = text_of(document, "Quiet").lower() == "true"
    nodes = await asyncio.to_thread(_delete_each, store, request.bucket, keys)
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
    """The conditions If-Match and If-None-Match of a write."""
    if not {"if-match", "if-none-match"} & request.headers.keys():
        return
    try:
        status, metadata = store.facts(request.bucket, request.key)
    except NoSuchKey:
        if "if-match" in request.headers:
            raise
        return
    check_conditions(request.headers, metadata.etag, status.st_mtime)
    if "if-none-match" in request.headers:
        raise _taken()


async def adopt(store: LocalStore, request: S3Request, staged: Path) -> None:
    """Make ``staged`` the object of the request if its conditions still hold."""
    if store.may_replace(request.bucket, request.key):
        await asyncio.to_thread(_adopt, store, request, staged)  # giving up the old file's blocks may take a while
    else:
        _adopt(store, request, staged)


def _adopt(store: LocalStore, request: S3Request, staged: Path) -> None:
    # Only If-Match needs the lock: two writers that saw the same ETag must not both win. If-None-Match is decided by
    # the file system, which links a name once.
    with _CONDITIONAL if "if-match" in request.headers else nullcontext():
        check_overwrite(store, request)
        try:
            store.adopt(staged, request.bucket, request.key, new="if-none-match" in request.headers)
        except FileExistsError as error:
            raise _taken() from error


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


def _delete_each(store: LocalStore, bucket: str, keys: list[tuple[str, str]]) -> list[Node]:
    nodes: list[Node] = []
    for key, version in keys:
        named: list[Node] = [("VersionId", version)] if version else []
        if version not in ("", "null"):
            why: list[Node] = [("Code", "NoSuchVersion"), ("Message", "The specified version does not exist.")]
            nodes.append(("Error", [("Key", key), *named, *why]))
            continue
        try:
            store.delete(bucket, key)
            nodes.append(("Deleted", [("Key", key), *named]))
        except OSError as error:
            code, message = "InternalError", error.strerror or str(error)
            nodes.append(("Error", [("Key", key), ("Code", code), ("Message", message)]))
    return nodes


def _taken() -> ServiceError:
    text = "At least one of the pre-conditions you specified did not hold: If-None-Match"
    return ServiceError("PreconditionFailed", text, status=412)
