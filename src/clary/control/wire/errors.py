"""The error a client of AWS sees: a code and a message it may match on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clary.errors import ClaryError

__all__ = ["ServiceError", "StorageFull", "ValidationException", "invalid_argument"]


class ServiceError(ClaryError):
    """An operation is refused. ``code`` and ``message`` go to the client as they are.

    ``status`` is the HTTP status, ``members`` further members of the modelled error (OriginalStatusCode, say); those
    of S3's that are text become elements of its document, ``headers`` is a dict of headers for its answer.
    ``retry_after`` is the number of seconds after which the same request will do.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        members: Mapping[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.code = code
        self.message = message
        self.status = status
        self.members = dict(members or {})


class ValidationException(ServiceError):
    """What SageMaker answers to most wrong requests."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class StorageFull(ServiceError):
    """The disk is full, or a quota is. Not an InternalFailure, which SDKs would send again and again."""

    def __init__(self) -> None:
        text = "No space is left on this machine's disk: nothing was stored; free some space and send it again"
        super().__init__("StorageFull", text, status=507)


def invalid_argument(name: str, value: str, message: str) -> ServiceError:
    """S3's error for a header, parameter or field; it repeats which, and what was sent."""
    return ServiceError("InvalidArgument", message, members={"ArgumentName": name, "ArgumentValue": value})
