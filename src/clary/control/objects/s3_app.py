"""The S3 API over a LocalStore, as an ASGI application.

An operation is found by method, by what the path names (service, bucket or object) and by the sub-resource in the
query. A sub-resource that is not in the table is answered NotImplemented: it must never be taken for the object itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from clary.control.objects import buckets, listing, multipart, reading, writing
from clary.control.objects.access import check_access
from clary.control.objects.local import LocalStore
from clary.control.objects.request import S3Request, parse
from clary.control.objects.responses import (
    Node,
    S3Response,
    error_response,
    failed_response,
    send_response,
    xml_response,
)
from clary.control.wire.asgi import Disconnected, Receive, Scope, Send
from clary.control.wire.errors import ServiceError

__all__ = ["S3App"]

Reply = S3Response | Awaitable[S3Response]
Handler = Callable[["S3App", S3Request], Reply]

log = logging.getLogger(__name__)

# Parameters that do not choose the operation. Names that begin with `x-` are for whoever signs and sends.
_PLAIN = frozenset(
    {"prefix", "marker", "delimiter", "max-keys", "encoding-type", "continuation-token", "start-after", "fetch-owner"}
    | {"partNumber", "max-parts", "part-number-marker", "key-marker", "upload-id-marker", "max-uploads"}
    | {"max-buckets", "bucket-region", "versionId", "AWSAccessKeyId", "Signature", "Expires"}
    | {f"response-{name}" for name in reading.STORED_HEADERS}
)
_OWNER: Node = ("Owner", [("ID", "clary"), ("DisplayName", "clary")])


class S3App:
    """``account`` is the one that owns every bucket, ``region`` where buckets are that were created without one."""

    def __init__(self, store: LocalStore, *, account: str, region: str) -> None:
        self.store = store
        self.region = region
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = S3Request(scope["method"], "", "", {}, {}, receive)
        try:
            try:
                request = parse(scope, receive)
                answer = await self._answer(request)
            # A client that sends its body before it looks for an answer would see a broken connection, not the error.
            except ServiceError as error:
                await request.drain()
                answer = error_response(error, request)
            except OSError as error:
                log.exception("%s %s", request.method, request.resource)
                answer = error_response(
                    ServiceError("InternalError", f"{error.strerror or error}", status=500), request
                )
            except Disconnected:
                return
            # The last net, as for calls: an answer that S3 clients can read, under an id that the log has too.
            except Exception:
                log.exception("%s %s failed, request %s", request.method, request.resource, request.id)
                answer = failed_response(request)
            await send_response(answer, request, send)
        except Disconnected:
            return

    async def _answer(self, request: S3Request) -> S3Response:
        check_access(request, self._account)
        # A bucket that never had versions has one of each object, whose id is the word "null": SDKs may name it.
        if request.query.get("versionId", "null") not in ("null", ""):
            raise ServiceError("NoSuchVersion", "The specified version does not exist: objects have none", status=404)
        reply = _handler(request)(self, request)
        return await reply if inspect.isawaitable(reply) else reply


def _handler(request: S3Request) -> Handler:
    level = "object" if request.key else "bucket" if request.bucket else "service"
    choosing = sorted(name for name in request.query if name not in _PLAIN and not name.lower().startswith("x-"))
    handler = _OPERATIONS.get((request.method, level, " ".join(choosing)))
    if handler is not None:
        return handler
    # Taken for the object itself, PUT ?acl would overwrite it and DELETE ?tagging delete it.
    if choosing:
        what = f"?{'&'.join(choosing)} of {'an' if level == 'object' else 'a'} {level}"
        text = f"A header or query you provided requests functionality that is not implemented: {request.method} {what}"
        raise ServiceError("NotImplemented", text, status=501)
    text = "The specified method is not allowed against this resource."
    raise ServiceError("MethodNotAllowed", text, status=405)


def _put_object(app: S3App, request: S3Request) -> Reply:
    copies = "x-amz-copy-source" in request.headers
    return (writing.copy_object if copies else writing.put_object)(app.store, request)


def _upload_part(app: S3App, request: S3Request) -> Reply:
    copies = "x-amz-copy-source" in request.headers
    return (multipart.upload_part_copy if copies else multipart.upload_part)(app.store, request)


def _get_object(app: S3App, request: S3Request) -> Reply:
    return reading.get_object(app.store, request)


def _versioning(app: S3App, request: S3Request) -> Reply:
    app.store.region(request.bucket)
    # Empty means: never switched on. boto3 and the SageMaker SDK ask; NotImplemented would end them.
    return xml_response("VersioningConfiguration", [])


def _acl(app: S3App, request: S3Request) -> Reply:
    if request.key:
        app.store.locate(request.bucket, request.key)
    app.store.region(request.bucket)
    # One owner with every right is what S3 answers for a private bucket; tools compare just that.
    grant: list[Node] = [("Grantee", [("ID", "clary")]), ("Permission", "FULL_CONTROL")]
    return xml_response("AccessControlPolicy", [_OWNER, ("AccessControlList", [("Grant", grant)])])


def _tagging(app: S3App, request: S3Request) -> Reply:
    app.store.locate(request.bucket, request.key)
    return xml_response("Tagging", [("TagSet", [])])


async def _list(app: S3App, request: S3Request) -> S3Response:
    # Version 1 has no list-type; old SDKs and s3fs still ask so.
    version = request.query.get("list-type", "1")
    return await asyncio.to_thread(
        listing.list_objects_v2 if version == "2" else listing.list_objects, app.store, request
    )


_OPERATIONS: dict[tuple[str, str, str], Handler] = {
    ("GET", "service", ""): lambda f, r: buckets.list_buckets(f.store, r),
    ("PUT", "bucket", ""): lambda f, r: buckets.create_bucket(f.store, r, f.region),
    ("HEAD", "bucket", ""): lambda f, r: buckets.head_bucket(f.store, r, f.region),
    ("DELETE", "bucket", ""): lambda f, r: buckets.delete_bucket(f.store, r),
    ("GET", "bucket", ""): _list,
    ("GET", "bucket", "list-type"): _list,
    ("GET", "bucket", "location"): lambda f, r: buckets.bucket_location(f.store, r, f.region),
    ("GET", "bucket", "versioning"): _versioning,
    ("GET", "bucket", "acl"): _acl,
    ("GET", "bucket", "uploads"): lambda f, r: multipart.list_uploads(f.store, r),
    ("POST", "bucket", "delete"): lambda f, r: writing.delete_objects(f.store, r),
    ("GET", "object", ""): _get_object,
    ("HEAD", "object", ""): _get_object,
    ("GET", "object", "acl"): _acl,
    ("GET", "object", "tagging"): _tagging,
    ("PUT", "object", ""): _put_object,
    ("DELETE", "object", ""): lambda f, r: writing.delete_object(f.store, r),
    ("POST", "object", "uploads"): lambda f, r: multipart.create_upload(f.store, r),
    ("PUT", "object", "uploadId"): _upload_part,
    ("POST", "object", "uploadId"): lambda f, r: multipart.complete_upload(f.store, r),
    ("DELETE", "object", "uploadId"): lambda f, r: multipart.abort_upload(f.store, r),
    ("GET", "object", "uploadId"): lambda f, r: multipart.list_parts(f.store, r),
}
