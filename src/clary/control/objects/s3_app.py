"""The S3 API over a LocalStore, as an ASGI application.

An operation is found by method, by what the path names (service, bucket or object) and by the sub-resource in the
query. A sub-resource that is not in the table is answered NotImplemented: it must never be taken for the object itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from clary.control.objects import (
    attributes,
    aws_buckets,
    bucket_settings,
    buckets,
    form_upload,
    listing,
    multipart,
    reading,
    tagging,
    unconfigured,
    writing,
)
from clary.control.objects.access import check_access
from clary.control.objects.base import NoSuchBucket
from clary.control.objects.encryption import SSE, refuse_customer_keys
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
from clary.control.wire.errors import ServiceError, StorageFull
from clary.errors import ClaryError, out_of_space

__all__ = ["S3App", "handler_of"]

Reply = S3Response | Awaitable[S3Response]
Handler = Callable[["S3App", S3Request], Reply]

log = logging.getLogger(__name__)

# Parameters that do not choose the operation. Names that begin with `x-` are for whoever signs and sends.
_PLAIN = frozenset(
    # S3 appends these three to success_action_redirect of a form, which may be an address of ours.
    {"bucket", "key", "etag"}
    | {"prefix", "marker", "delimiter", "max-keys", "encoding-type", "continuation-token", "start-after", "fetch-owner"}
    | {"partNumber", "max-parts", "part-number-marker", "key-marker", "upload-id-marker", "max-uploads"}
    | {"version-id-marker", "max-buckets", "bucket-region", "versionId"}
    | {"AWSAccessKeyId", "Signature", "Expires", "content-type", "content-md5"}
    | {f"response-{name}" for name in reading.STORED_HEADERS}
)
# Typed SDKs read the kind of a grantee from this attribute.
_GRANTEE = 'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'
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
                if request.method == "HEAD" and isinstance(error, NoSuchBucket):
                    aws_buckets.log_remark(request.bucket)
                answer = error_response(error, request)
            # Wherever it is met: a record of an upload, a folder, metadata; and whoever has worded it meanwhile.
            except (OSError, ClaryError) as error:
                answer = error_response(_failure(error, request), request)
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
        refuse_customer_keys(request.headers)
        # A bucket that never had versions has one of each object, whose id is the word "null": SDKs may name it.
        if request.query.get("versionId", "null") not in ("null", ""):
            raise ServiceError("NoSuchVersion", "The specified version does not exist: objects have none", status=404)
        handler = handler_of(request)
        # It came unverified, because its form is to be: for anything but that form there is no leave.
        if request.secrets is not None and handler is not _post_object:
            raise ServiceError("AccessDenied", "Missing Authentication Token", status=403)
        # A mapped bucket is only read, whatever is asked of it; CreateBucket knows itself what names it can have.
        if request.bucket and request.method not in ("GET", "HEAD") and handler is not _OPERATIONS["PUT", "bucket", ""]:
            self.store.check_writable(request.bucket)
        reply = handler(self, request)
        return await reply if inspect.isawaitable(reply) else reply


def _failure(error: OSError | ClaryError, request: S3Request) -> ServiceError:
    """What a fault of the machine is to a client; a full disk is none of ours, and one line of the log says it."""
    if out_of_space(error):
        log.warning("%s %s: no space is left", request.method, request.resource)
        return StorageFull()
    log.error("%s %s", request.method, request.resource, exc_info=error)
    return ServiceError("InternalError", f"{getattr(error, 'strerror', None) or error}", status=500)


def handler_of(request: S3Request) -> Handler:
    """What answers a request. Raises ServiceError NotImplemented or MethodNotAllowed where nobody does."""
    level = "object" if request.key else "bucket" if request.bucket else "service"
    choosing = sorted(name for name in request.query if name not in _PLAIN and not name.lower().startswith("x-"))
    handler = _OPERATIONS.get((request.method, level, " ".join(choosing)))
    if handler is not None:
        return handler
    # Taken for the object itself, PUT ?acl would overwrite it and DELETE ?retention delete it.
    if choosing:
        raise unconfigured.not_implemented(request.method, level, "&".join(choosing))
    text = "The specified method is not allowed against this resource."
    raise ServiceError("MethodNotAllowed", text, status=405)


def _put_object(app: S3App, request: S3Request) -> Reply:
    _encrypt(app, request)
    copies = "x-amz-copy-source" in request.headers
    return (writing.copy_object if copies else writing.put_object)(app.store, request)


def _upload_part(app: S3App, request: S3Request) -> Reply:
    copies = "x-amz-copy-source" in request.headers
    return (multipart.upload_part_copy if copies else multipart.upload_part)(app.store, request)


def _post_object(app: S3App, request: S3Request) -> Reply:
    return form_upload.post_object(app.store, request, request.secrets)


def _create_upload(app: S3App, request: S3Request) -> Reply:
    _encrypt(app, request)
    return multipart.create_upload(app.store, request)


def _encrypt(app: S3App, request: S3Request) -> None:
    """The bucket's default for an upload that asks for no encryption of its own."""
    if SSE not in request.headers:
        request.headers |= bucket_settings.default_encryption(app.store, request.bucket)


def _get_object(app: S3App, request: S3Request) -> Reply:
    return reading.get_object(app.store, request)


def _acl(app: S3App, request: S3Request) -> Reply:
    if request.key:
        app.store.locate(request.bucket, request.key)
    app.store.region(request.bucket)
    # One owner with every right is what S3 answers for a private bucket; tools compare just that.
    grant: list[Node] = [(_GRANTEE, _OWNER[1]), ("Permission", "FULL_CONTROL")]
    return xml_response("AccessControlPolicy", [_OWNER, ("AccessControlList", [("Grant", grant)])])


def _put_acl(app: S3App, request: S3Request) -> Reply:
    """Those that say what is so anyway; any other would be a right or a ban that nobody enforces."""
    if request.headers.get("x-amz-acl") not in ("private", "bucket-owner-full-control"):
        what = "PutObjectAcl" if request.key else "PutBucketAcl"
        text = f"{what}: Clary keeps no access rights, all belongs to one owner; only the canned ACL private is taken"
        raise ServiceError("NotImplemented", text, status=501)
    _acl(app, request)
    return S3Response(200)


def _restore(app: S3App, request: S3Request) -> Reply:
    app.store.locate(request.bucket, request.key)
    text = "Restore is not allowed for the object's current storage class"
    raise ServiceError("InvalidObjectState", text, status=403, members={"StorageClass": "STANDARD"})


def _unlocked(app: S3App, request: S3Request) -> Reply:
    app.store.locate(request.bucket, request.key)
    raise ServiceError("InvalidRequest", "Bucket is missing Object Lock Configuration")


async def _list(app: S3App, request: S3Request) -> S3Response:
    # Version 1 has no list-type; old SDKs and s3fs still ask so.
    listed = listing.list_objects_v2 if request.query.get("list-type", "1") == "2" else listing.list_objects
    return await asyncio.to_thread(listed, app.store, request)


async def _list_versions(app: S3App, request: S3Request) -> S3Response:
    return await asyncio.to_thread(listing.list_object_versions, app.store, request)


def _of_bucket(answer: Callable[[LocalStore, S3Request, str], Reply], name: str) -> Handler:
    return lambda app, request: answer(app.store, request, name)


_OPERATIONS: dict[tuple[str, str, str], Handler] = {
    ("GET", "service", ""): lambda f, r: buckets.list_buckets(f.store, r, f.region),
    ("PUT", "bucket", ""): lambda f, r: buckets.create_bucket(f.store, r, f.region),
    ("HEAD", "bucket", ""): lambda f, r: buckets.head_bucket(f.store, r, f.region),
    ("DELETE", "bucket", ""): lambda f, r: buckets.delete_bucket(f.store, r),
    ("GET", "bucket", ""): _list,
    ("GET", "bucket", "list-type"): _list,
    ("GET", "bucket", "location"): lambda f, r: buckets.bucket_location(f.store, r, f.region),
    ("GET", "bucket", "versions"): _list_versions,
    ("GET", "bucket", "acl"): _acl,
    ("PUT", "bucket", "acl"): _put_acl,
    ("GET", "bucket", "tagging"): lambda f, r: bucket_settings.get_tagging(f.store, r),
    ("PUT", "bucket", "tagging"): lambda f, r: bucket_settings.put_tagging(f.store, r),
    ("GET", "bucket", "encryption"): lambda f, r: bucket_settings.get_encryption(f.store, r),
    ("PUT", "bucket", "encryption"): lambda f, r: bucket_settings.put_encryption(f.store, r),
    ("GET", "bucket", "publicAccessBlock"): lambda f, r: bucket_settings.get_public_access_block(f.store, r),
    ("PUT", "bucket", "publicAccessBlock"): lambda f, r: bucket_settings.put_public_access_block(f.store, r),
    ("GET", "bucket", "ownershipControls"): lambda f, r: bucket_settings.get_ownership(f.store, r),
    ("PUT", "bucket", "ownershipControls"): lambda f, r: bucket_settings.put_ownership(f.store, r),
    **{("DELETE", "bucket", n): _of_bucket(bucket_settings.delete_setting, n) for n in bucket_settings.NAMES},
    **{("GET", "bucket", name): _of_bucket(unconfigured.missing, name) for name in unconfigured.MISSING},
    **{("GET", "bucket", name): _of_bucket(unconfigured.empty, name) for name in unconfigured.EMPTY},
    **{("GET", "bucket", name): _of_bucket(unconfigured.listed, name) for name in unconfigured.LISTED},
    **{("GET", "bucket", " ".join(sorted((n, "id")))): _of_bucket(unconfigured.listed, n) for n in unconfigured.LISTED},
    **{("PUT", "bucket", name): _of_bucket(unconfigured.put, name) for name in unconfigured.SETTABLE},
    **{("DELETE", "bucket", name): _of_bucket(unconfigured.delete, name) for name in unconfigured.DELETABLE},
    ("GET", "bucket", "uploads"): lambda f, r: multipart.list_uploads(f.store, r),
    ("POST", "bucket", ""): _post_object,
    ("POST", "bucket", "delete"): lambda f, r: writing.delete_objects(f.store, r),
    ("GET", "object", ""): _get_object,
    ("HEAD", "object", ""): _get_object,
    ("GET", "object", "attributes"): lambda f, r: attributes.get_object_attributes(f.store, r),
    ("GET", "object", "acl"): _acl,
    ("PUT", "object", "acl"): _put_acl,
    ("GET", "object", "tagging"): lambda f, r: tagging.get_object_tagging(f.store, r),
    ("PUT", "object", "tagging"): lambda f, r: tagging.put_object_tagging(f.store, r),
    ("DELETE", "object", "tagging"): lambda f, r: tagging.delete_object_tagging(f.store, r),
    ("GET", "object", "retention"): _unlocked,
    ("GET", "object", "legal-hold"): _unlocked,
    ("POST", "object", "restore"): _restore,
    ("PUT", "object", ""): _put_object,
    ("DELETE", "object", ""): lambda f, r: writing.delete_object(f.store, r),
    ("POST", "object", "uploads"): _create_upload,
    ("PUT", "object", "uploadId"): _upload_part,
    ("POST", "object", "uploadId"): lambda f, r: multipart.complete_upload(f.store, r),
    ("DELETE", "object", "uploadId"): lambda f, r: multipart.abort_upload(f.store, r),
    ("GET", "object", "uploadId"): lambda f, r: multipart.list_parts(f.store, r),
}
