"""Errors as TensorFlow has them, with the HTTP statuses that TensorFlow Serving gives them."""

from __future__ import annotations

__all__ = ["HTTP_STATUSES", "StatusError", "invalid", "not_found", "unimplemented"]

# By tensorflow::error::Code. Source: http_server.cc, ToHTTPStatusCode.
HTTP_STATUSES = {
    1: 499,  # CANCELLED
    2: 500,  # UNKNOWN
    3: 400,  # INVALID_ARGUMENT
    4: 504,  # DEADLINE_EXCEEDED
    5: 404,  # NOT_FOUND
    6: 409,  # ALREADY_EXISTS
    7: 403,  # PERMISSION_DENIED
    8: 429,  # RESOURCE_EXHAUSTED
    9: 400,  # FAILED_PRECONDITION
    10: 409,  # ABORTED
    11: 400,  # OUT_OF_RANGE
    12: 501,  # UNIMPLEMENTED
    13: 500,  # INTERNAL
    14: 503,  # UNAVAILABLE
    15: 500,  # DATA_LOSS
    16: 401,  # UNAUTHENTICATED
}


class StatusError(Exception):
    """What a request is answered with in the place of predictions. ``status`` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message, self.status = message, status


def invalid(message: str) -> StatusError:
    return StatusError(message, 400)


def not_found(message: str) -> StatusError:
    return StatusError(message, 404)


def unimplemented(message: str) -> StatusError:
    return StatusError(message, 501)
