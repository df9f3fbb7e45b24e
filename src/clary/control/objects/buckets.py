"""Buckets: the folders of the root."""

from __future__ import annotations

import re
from collections.abc import Mapping

from clary.control.objects import multipart_files
from clary.control.objects.bucket_settings import OWNERSHIP, change_settings, forget_settings
from clary.control.objects.key_names import RESERVED, check_bucket_name
from clary.control.objects.listing import decode_token, encode_token, number
from clary.control.objects.local import LocalStore
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, members, xml_response
from clary.control.objects.tagging import tags_of_xml
from clary.control.objects.tags import BUCKET_LIMIT
from clary.control.objects.writing import parse_xml, text_of
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["bucket_location", "create_bucket", "delete_bucket", "head_bucket", "list_buckets"]

PAGE_LIMIT = 10_000  # buckets of one answer, as on S3
_REGION = re.compile("[A-Za-z0-9-]{1,64}")


def list_buckets(store: LocalStore, request: S3Request, region: str) -> S3Response:
    """Buckets by name, from ``continuation-token`` on. Raises ServiceError InvalidArgument."""
    query = request.query
    limit = number(request, "max-buckets", PAGE_LIMIT)
    if not 1 <= limit <= PAGE_LIMIT:
        text = f"Argument max-buckets must be an integer between 1 and {PAGE_LIMIT}"
        raise invalid_argument("max-buckets", query["max-buckets"], text)
    prefix, after = query.get("prefix", ""), _name_after(query.get("continuation-token", ""))
    wanted = query.get("bucket-region")
    nodes: list[Node] = []
    last, more = "", False
    for name, created in store.buckets():
        if not name.startswith(prefix) or name <= after:
            continue
        where = _region(store, name, region)
        if wanted and where != wanted:
            continue
        # One more is looked for than is given: whether there is another page must be known now.
        if more := len(nodes) == limit:
            break
        last = name
        parts: list[Node] = [("Name", name), ("CreationDate", iso_date(created)), ("BucketRegion", where)]
        nodes.append(("Bucket", parts))
    owner: Node = ("Owner", [("ID", "clary"), ("DisplayName", "clary")])
    head = members({"ContinuationToken": encode_token(last.encode()) if more else "", "Prefix": prefix})
    return xml_response("ListAllMyBucketsResult", [owner, ("Buckets", nodes), *head])


async def create_bucket(store: LocalStore, request: S3Request, region: str) -> S3Response:
    """Creating one's own bucket again changes nothing and succeeds. Raises ServiceError InvalidBucketName."""
    check_bucket_name(request.bucket)
    if request.bucket == RESERVED and not store.bucket_exists(RESERVED):
        # InvalidBucketName is what S3 says of names it keeps for itself (xn--..., ...-s3alias), and clients give up on
        # it. BucketAlreadyExists would be misread: programs catch it to go on and write to a bucket that is not there.
        text = f"The specified bucket is not valid: {RESERVED} is kept for the gateway's own addresses"
        raise ServiceError("InvalidBucketName", text)
    if request.headers.get("x-amz-bucket-object-lock-enabled", "").lower() == "true":
        text = "x-amz-bucket-object-lock-enabled: Clary locks no objects; create the bucket without it"
        raise ServiceError("NotImplemented", text, status=501)
    settings: dict[str, Mapping[str, str]] = {}
    if ownership := request.headers.get("x-amz-object-ownership"):
        if ownership not in OWNERSHIP:
            raise invalid_argument("x-amz-object-ownership", ownership, f"one of {', '.join(OWNERSHIP)} is wanted")
        settings["ownershipControls"] = {"ObjectOwnership": ownership}
    if body := (await request.small_body(64 << 10)).strip():
        document = parse_xml(body, "CreateBucketConfiguration")
        region = text_of(document, "LocationConstraint") or region
        if not _REGION.fullmatch(region):  # it comes back in a header
            raise ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid")
        if any(each.tag.rpartition("}")[2] == "Tags" for each in document):
            settings["tagging"] = tags_of_xml(document, BUCKET_LIMIT, "Tags")
    # A bucket removed by hand may have left some.
    if not store.bucket_exists(request.bucket):
        forget_settings(store, request.bucket)
    if store.create_bucket(request.bucket, region) and settings:
        change_settings(store, request.bucket, settings)
    return S3Response(200, {"location": f"/{request.bucket}"})


def head_bucket(store: LocalStore, request: S3Request, region: str) -> S3Response:
    return S3Response(
        200, {"x-amz-bucket-region": _region(store, request.bucket, region), "content-type": "application/xml"}
    )


def delete_bucket(store: LocalStore, request: S3Request) -> S3Response:
    store.delete_bucket(request.bucket)
    forget_settings(store, request.bucket)
    # A bucket made later under this name would have them.
    for upload in multipart_files.uploads(store):
        if upload.bucket == request.bucket:
            multipart_files.remove(upload)
    return S3Response(204)


def bucket_location(store: LocalStore, request: S3Request, region: str) -> S3Response:
    """The region; us-east-1 goes by no name."""
    found = _region(store, request.bucket, region)
    answer = xml_response("LocationConstraint", [])
    assert isinstance(answer.body, bytes)
    # S3 answers an empty element for the oldest region, which is older than regions; boto3 gives None then.
    if found != "us-east-1":
        answer.body = answer.body.replace(b"></LocationConstraint>", f">{found}</LocationConstraint>".encode())
    return answer


def _name_after(token: str) -> str:
    try:
        return decode_token(token).decode()
    except UnicodeDecodeError as error:
        text = "The continuation token provided is incorrect"
        raise invalid_argument("continuation-token", token, text) from error


def _region(store: LocalStore, bucket: str, region: str) -> str:
    found = store.region(bucket) or region
    # A folder of before may have any, and it goes into a header.
    return found if _REGION.fullmatch(found) else region
