"""Errors of requests that never reach an operation, in a form that the client at the other end can read."""

from __future__ import annotations

from clary.control.wire import xml
from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.json_writer import dumped
from clary.control.wire.routing import FORM
from clary.control.wire.sigv4_header import Refused
from clary.control.wire.xml import escaped

__all__ = ["for_calls", "plain_error", "s3_error"]

XML = [(b"content-type", b"application/xml")]
# The query services have other names for the same refusals.
QUERY_CODES = {
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
}


def for_calls(refused: Refused, head: Head) -> ServiceError:
    """A refusal as services other than S3 word it."""
    code = QUERY_CODES.get(refused.calls, refused.calls) if _is_form(head) else refused.calls
    return ServiceError(code, refused.message, status=refused.status)


def plain_error(head: Head, error: ServiceError, request_id: str) -> Response:
    """An error where the service, and so its protocol, is not known: XML for forms, else JSON."""
    if _is_form(head):
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{escaped(error.code)}</Code>"
            f"<Message>{escaped(error.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return Response(error.status, [(b"content-type", b"text/xml")], text.encode())
    headers = [(b"content-type", b"application/json"), (b"x-amzn-errortype", error.code.encode("ascii", "replace"))]
    return Response(error.status, headers, dumped({"__type": error.code, "message": error.message}))


def s3_error(head: Head, error: ServiceError, request_id: str) -> Response:
    """An error as S3 writes it; without a body where the request was a HEAD."""
    if head.method == "HEAD":
        return Response(error.status, list(XML))
    return Response(error.status, list(XML), xml.s3_error(error, head.path, request_id))


def _is_form(head: Head) -> bool:
    return (
        head.path == "/"
        and "x-amz-target" not in head.headers
        and (head.content_type == FORM or "Action=" in head.query)
    )
