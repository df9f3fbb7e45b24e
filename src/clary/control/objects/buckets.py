"""Buckets: the folders of the root."""

from __future__ import annotations

import re

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.key_names import RESERVED, check_bucket_name
from clary.control.objects.local import LocalStore
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, iso_date, xml_response
from clary.control.objects.writing import parse_xml, text_of
from clary.control.wire.errors import ServiceError

__all__ = ["bucket_location", "create_bucket", "delete_bucket", "head_bucket", "list_buckets"]

_REGION = re.compile("[A-Za-z0-9-]{1,64}")


def list_buckets(store: LocalStore, request: S3Request) -> S3Response:
    prefix = request.query.get("prefix", "")
    found = ((name, created) for name, created in store.buckets() if name.startswith(prefix))
    nodes: list[Node] = [("Bucket", [("Name", name), ("CreationDate", iso_date(created))]) for name, created in found]
    return xml_response(
        "ListAllMyBucketsResult", [("Owner", [("ID", "clary"), ("DisplayName", "clary")]), ("Buckets", nodes)]
    )


async def create_bucket(store: LocalStore, request: S3Request, region: str) -> S3Response:
    """Creating one's own bucket again changes nothing and succeeds. Raises ServiceError InvalidBucketName."""
    check_bucket_name(request.bucket)
    if request.bucket == RESERVED and not store.bucket_exists(RESERVED):
        # InvalidBucketName is what S3 says of names it keeps for itself (xn--..., ...-s3alias), and clients give up on
        # it. BucketAlreadyExists would be misread: programs catch it to go on and write to a bucket that is not there.
        text = f"The specified bucket is not valid: {RESERVED} is kept for the gateway's own addresses"
        raise ServiceError("InvalidBucketName", text)
    body = await request.small_body(64 << 10)
    if body.strip():
        region = text_of(parse_xml(body, "CreateBucketConfiguration"), "LocationConstraint") or region
        if not _REGION.fullmatch(region):  # it comes back in a header
            raise ServiceError("InvalidLocationConstraint", "The specified location-constraint is not valid")
    store.create_bucket(request.bucket, region)
    return S3Response(200, {"location": f"/{request.bucket}"})


def head_bucket(store: LocalStore, request: S3Request, region: str) -> S3Response:
    return S3Response(200, {"x-amz-bucket-region": _region(store, request, region), "content-type": "application/xml"})


def delete_bucket(store: LocalStore, request: S3Request) -> S3Response:
    store.delete_bucket(request.bucket)
    return S3Response(204)


def bucket_location(store: LocalStore, request: S3Request, region: str) -> S3Response:
    """The region; us-east-1 goes by no name."""
    found = _region(store, request, region)
    answer = xml_response("LocationConstraint", [])
    assert isinstance(answer.body, bytes)
    # S3 answers an empty element for the oldest region, which is older than regions; boto3 gives None then.
    if found != "us-east-1":
        answer.body = answer.body.replace(b"></LocationConstraint>", f">{found}</LocationConstraint>".encode())
    return answer


def _region(store: LocalStore, request: S3Request, region: str) -> str:
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
    found = store.region(request.bucket) or region
    # A folder of before may have any.
    return found if _REGION.fullmatch(found) else region
