"""JSON 1.0 and 1.1: a body that is one JSON object, in and out."""

from __future__ import annotations

from typing import Any

from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.json_reader import JsonReader, loaded
from clary.control.wire.json_writer import JsonWriter, dumped
from clary.control.wire.services import Description, Operation

__all__ = ["JsonProtocol", "error_body", "error_status"]


class JsonProtocol:
    """JSON 1.0 or 1.1 of one service."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._reader, self._writer = JsonReader(description), JsonWriter(description)
        self._headers = [(b"content-type", f"application/x-amz-json-{description.json_version}".encode())]

    def read(self, operation: Operation, head: Head, body: bytes, labels: dict[str, str]) -> dict[str, Any]:
        """Raises ServiceError (SerializationException)."""
        value = loaded(body)
        request: dict[str, Any] = self._reader.read(operation.input, value) if operation.input else {}
        return request

    def write(self, operation: Operation, answer: dict[str, Any] | None, request_id: str) -> Response:
        body = dumped(self._writer.write(operation.output, answer or {})) if operation.output else b""
        return Response(operation.status, self._headers, body)

    def error(self, error: ServiceError, request_id: str) -> Response:
        modelled = self._description.error(error.code)
        name = modelled[0] if modelled else error.code
        # SDKs look for the error here, in x-amzn-errortype, or in "code", each in another order; for JSON 1.0 and 1.1
        # this is the one they all know.
        body = {"__type": name, **error_body(self._description, self._writer, error)}
        headers = self._headers
        status = error_status(self._description, error)
        # CloudWatch moved from the query protocol to JSON: SDKs read its old codes from this header, so that programs
        # which match on them go on working.
        if self._description.query_compatible:
            code = modelled[1].get("error", {}).get("code", name) if modelled else name
            fault = "Receiver" if status >= 500 else "Sender"
            headers = [*headers, (b"x-amzn-query-error", f"{code};{fault}".encode())]
        return Response(status, headers, dumped(body))


def error_status(description: Description, error: ServiceError) -> int:
    """The status the handler chose, else the one the description gives this error, else 400."""
    modelled = description.error(error.code)
    if error.status != 400 or modelled is None:
        return error.status
    return int(modelled[1].get("error", {}).get("httpStatusCode", 400))


def error_body(description: Description, writer: JsonWriter, error: ServiceError) -> dict[str, Any]:
    """The message, named as the error's shape names it, and the further members that shape knows."""
    modelled = description.error(error.code)
    if modelled is None:
        return {"message": error.message}
    name, shape = modelled
    key = next((member for member in shape.get("members", {}) if member.lower() == "message"), "message")
    return {**writer.write(name, error.members), key: error.message}
