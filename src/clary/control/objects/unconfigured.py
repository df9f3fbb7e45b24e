"""What S3 says of a bucket in which nobody set anything up: asked by SDKs and tools before they go on.

Setting such a thing up is refused by name: a life cycle, a policy or a notification that nobody acts on would be a
promise. Taking it away succeeds, as on S3: it is not there afterwards.
"""

from __future__ import annotations

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.local import LocalStore
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, xml_response
from clary.control.objects.writing import parse_xml
from clary.control.wire.errors import ServiceError

__all__ = [
    "DELETABLE",
    "EMPTY",
    "LISTED",
    "MISSING",
    "SETTABLE",
    "delete",
    "empty",
    "listed",
    "missing",
    "not_implemented",
    "put",
]

# Sub-resources whose absence is an error: code and message, as S3 words them.
MISSING = {
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "policyStatus": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "object-lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
}
# Sub-resources that every bucket has: the element of the answer and what is in it.
EMPTY: dict[str, tuple[str, list[Node]]] = {
    "accelerate": ("AccelerateConfiguration", []),
    "logging": ("BucketLoggingStatus", []),
    "notification": ("NotificationConfiguration", []),
    "requestPayment": ("RequestPaymentConfiguration", [("Payer", "BucketOwner")]),
    # boto3 and the SageMaker SDK ask; without a Status it means: never switched on.
    "versioning": ("VersioningConfiguration", []),
}
# Sub-resources of which a bucket has any number, each with an id: the element of the list.
LISTED = {
    "analytics": "ListBucketAnalyticsConfigurationsResult",
    "intelligent-tiering": "ListBucketIntelligentTieringConfigurationsResult",
    "inventory": "ListInventoryConfigurationsResult",
    "metrics": "ListMetricsConfigurationsResult",
}
SETTABLE = ("notification", "logging", "requestPayment")  # to nothing, which is how S3 has them taken away
DELETABLE = ("policy", "cors", "lifecycle", "website", "replication")


def missing(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """Raises NoSuchBucket, else the ServiceError that says it was not set up."""
    _check(store, request)
    code, text = MISSING[name]
    raise ServiceError(code, text, status=404, members={"BucketName": request.bucket})


def empty(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """Raises NoSuchBucket."""
    _check(store, request)
    return xml_response(*EMPTY[name])


def listed(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """The empty list, or ServiceError NoSuchConfiguration for one by its id. Raises NoSuchBucket."""
    _check(store, request)
    if "id" in request.query:
        raise ServiceError("NoSuchConfiguration", "The specified configuration does not exist.", status=404)
    return xml_response(LISTED[name], [("IsTruncated", "false")])


async def put(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """What says that nothing is to be set up. Raises NoSuchBucket, ServiceError NotImplemented for all else."""
    _check(store, request)
    root, children = EMPTY[name]
    document = parse_xml(await request.small_body(64 << 10), root)
    if [(each.tag.rpartition("}")[2], each.text) for each in document] != children:
        raise not_implemented(request.method, "bucket", name)
    return S3Response(200)


def delete(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """``name`` is not there before and not afterwards. Raises NoSuchBucket."""
    _check(store, request)
    return S3Response(204)


def not_implemented(method: str, level: str, name: str) -> ServiceError:
    """The refusal of what nobody wrote: sub-resource ``name`` of a service, bucket or object."""
    # botocore, which the store does without until it needs a name.
    from clary.control.wire.services import describe

    path = {"service": "/", "bucket": "/{Bucket}", "object": "/{Bucket}/{Key+}"}[level]
    names = (found.name for found in describe("s3").operations.values() if found.method == method)
    asked = f"{path}?{name.partition('&')[0]}"
    # Of two operations at one address the last is the newer: PutBucketLifecycleConfiguration.
    operation = next(
        (each for each in reversed([*names]) if describe("s3").operations[each].path.partition("&")[0] == asked), ""
    )
    what = operation or f"{method} ?{name} of {'an' if level == 'object' else 'a'} {level}"
    text = "A header or query you provided requests functionality that is not implemented"
    return ServiceError("NotImplemented", f"{text}: Clary does not answer {what}", status=501)


def _check(store: LocalStore, request: S3Request) -> None:
    if not store.bucket_exists(request.bucket):
        raise NoSuchBucket(request.bucket)
