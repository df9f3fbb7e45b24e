"""Which operation of which service a request asks for, and in which protocol it speaks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from clary.control.wire import alternatives
from clary.control.wire.addressing import bucket_of_host
from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.json import JsonProtocol
from clary.control.wire.query import QueryProtocol, form
from clary.control.wire.rest_json import RestJsonProtocol
from clary.control.wire.services import (
    TARGETS,
    UNSIGNED,
    VERSIONS,
    Description,
    Operation,
    describe,
    of_signing_name,
)
from clary.control.wire.sigv4_header import SigV4Header

__all__ = ["FORM", "Route", "WireProtocol", "is_browser", "is_s3", "route", "speaking"]

# Services of which any operation is answered.
ANSWERED = frozenset({*TARGETS.values(), *VERSIONS.values(), *UNSIGNED, "s3"})

FORM = "application/x-www-form-urlencoded"
# Programs that may ask for text/html all the same: SDKs, and Java's HttpURLConnection, which does so by default.
_PROGRAMS = re.compile(r"\b(aws-(sdk|cli|internal)|aws_sdk|boto3?|botocore|minio|s3cmd|rclone|java)\b", re.IGNORECASE)


class WireProtocol(Protocol):
    """Bytes to members and back, for one service."""

    def read(self, operation: Operation, head: Head, body: bytes, labels: dict[str, str]) -> dict[str, Any]:
        """The members of a request, typed. Raises ServiceError for what cannot be read."""
        ...

    def write(self, operation: Operation, answer: dict[str, Any] | None, request_id: str) -> Response: ...

    def error(self, error: ServiceError, request_id: str) -> Response: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes. ``operation`` is None when ``asked`` is no operation of the service."""

    service: str
    protocol: WireProtocol
    operation: Operation | None
    asked: str
    labels: dict[str, str]


_PROTOCOLS: dict[str, Callable[[Description], WireProtocol]] = {
    "json": JsonProtocol,
    "query": QueryProtocol,
    "rest-json": RestJsonProtocol,
}


@cache
def speaking(service: str, protocol: str) -> WireProtocol:
    """The one instance for a service and a protocol; it remembers what it compiled."""
    return _PROTOCOLS[protocol](describe(service))


def is_browser(head: Head) -> bool:
    """Whether a person asks for ``/`` in a browser; a program asks S3 for its list of buckets there.

    Browsers name text/html in Accept, S3 clients do not (boto3 sends no Accept, curl and others ``*/*``).
    """
    return (
        head.method == "GET"
        and head.path == "/"
        and not head.query
        and not bucket_of_host(head.headers.get("host", ""))
        and "text/html" in head.headers.get("accept", "").lower()
        and "authorization" not in head.headers
        and not any(name.startswith(("x-amz-", "amz-sdk-")) for name in head.headers)
        and not _PROGRAMS.search(head.headers.get("user-agent", ""))
    )


def is_s3(head: Head, auth: SigV4Header | None) -> bool:
    """Whether the request belongs to the object store: signed for it, or unsigned and nobody else's."""
    if auth is not None:
        return auth.service == "s3"
    if "x-amz-target" in head.headers:
        return False
    # Before the host it names a bucket, so that every path is a key: `clary/health`, `BatchPutMetrics`, none at all.
    if bucket_of_host(head.headers.get("host", "")):
        return True
    # A form to a bucket would be a browser's upload (POST policy); to "/" only the query protocol sends one.
    if head.path == "/" and ((head.content_type == FORM and head.method == "POST") or "Action=" in head.query):
        return False
    return not any(describe(service).find(head.method, head.path) for service in UNSIGNED)


def route(head: Head, auth: SigV4Header | None, body: bytes) -> Route:
    """Raises ServiceError when no service can be made out."""
    services = of_signing_name(auth.service) if auth else ()
    # Before the path: JSON services all live at "/".
    target = head.headers.get("x-amz-target", "")
    if auth and not ANSWERED.intersection(services):
        text = f"Clary does not answer calls to {auth.service}; {alternatives.of_service(auth.service)}"
        raise ServiceError("UnknownOperationException", text)
    if target:
        return _by_target(target, services)
    if head.path == "/" and (head.content_type == FORM or "Action=" in head.query):
        return _by_action(form(head, body), services)
    if head.path.startswith("/service/"):
        # AWS's newer SDKs prefer CBOR where a service lists it; what they fall back to is up to their settings.
        text = f"Clary does not speak smithy-rpc-v2-cbor ({head.path}); let the client use JSON or the query protocol"
        raise ServiceError("UnknownOperationException", text)
    return _by_path(head, services or UNSIGNED)


def _by_target(target: str, services: Iterable[str]) -> Route:
    prefix, _, name = target.rpartition(".")
    service = TARGETS.get(prefix)
    if service is None or (services and service not in services):
        raise ServiceError("UnknownOperationException", f"Clary does not answer {target}")
    return Route(service, speaking(service, "json"), describe(service).operations.get(name), name, {})


def _by_action(fields: dict[str, str], services: tuple[str, ...]) -> Route:
    name = fields.get("Action", "")
    service = services[0] if services else VERSIONS.get(fields.get("Version", ""), "")
    if service not in VERSIONS.values():
        raise ServiceError("InvalidAction", f"Clary does not answer the action {name or '(none given)'}")
    return Route(service, speaking(service, "query"), describe(service).operations.get(name), name, {})


def _by_path(head: Head, services: Iterable[str]) -> Route:
    candidates = [service for service in services if "rest-json" in describe(service).protocols]
    # Several services sign as "sagemaker" (services.SIGNING_NAMES); only the path tells them apart.
    for service in candidates:
        found = describe(service).find(head.method, head.path)
        if found:
            return Route(service, speaking(service, "rest-json"), found[0], found[0].name, found[1])
    raise ServiceError("UnknownOperationException", f"Clary does not answer {head.method} {head.path}")
