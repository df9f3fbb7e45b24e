"""REST with JSON bodies: members travel in the path, the query string, headers, and the body."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.json import error_body, error_status
from clary.control.wire.json_reader import JsonReader, loaded
from clary.control.wire.json_writer import JsonWriter, dumped
from clary.control.wire.services import Description, Operation, Shape
from clary.control.wire.texts import from_text, to_text

__all__ = ["RestJsonProtocol"]

JSON = (b"content-type", b"application/json")
CONTROLS = dict.fromkeys([*range(32), 127], " ")


class RestJsonProtocol:
    """REST JSON of one service."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._shapes = description.shapes
        self._reader, self._writer = JsonReader(description), JsonWriter(description)

    def read(self, operation: Operation, head: Head, body: bytes, labels: dict[str, str]) -> dict[str, Any]:
        """Raises ServiceError (SerializationException)."""
        if not operation.input:
            return {}
        shape = self._shapes[operation.input]
        request: dict[str, Any] = {}
        query = parse_qs(head.query, keep_blank_values=True)
        for member, reference in shape.get("members", {}).items():
            texts = _texts(reference, member, head, labels, query)
            if texts is not None:
                request[member] = self._from_texts(member, reference, texts)
        payload = shape.get("payload")
        if payload:
            # A payload is the body itself: a picture must not be looked at as JSON.
            request[payload] = self._payload(shape["members"][payload], body)
        else:
            request.update(self._reader.read(operation.input, loaded(body)))
        return request

    def write(self, operation: Operation, answer: dict[str, Any] | None, request_id: str) -> Response:
        if not operation.output:
            return Response(operation.status, [JSON])
        shape = self._shapes[operation.output]
        values = {member: value for member, value in (answer or {}).items() if value is not None}
        headers, status = self._headers(shape, values), operation.status
        for member, reference in shape.get("members", {}).items():
            if reference.get("location") == "statusCode":
                status = int(values.get(member, status))
        payload = shape.get("payload")
        if payload and self._shapes[shape["members"][payload]["shape"]]["type"] in ("blob", "string"):
            body = values.get(payload, b"")
            return Response(
                status, _typed(headers, b"application/octet-stream"), body.encode() if isinstance(body, str) else body
            )
        if payload:
            inner = self._writer.value(shape["members"][payload]["shape"], values.get(payload, {}))
        else:
            inner = self._writer.write(operation.output, values)
        return Response(status, _typed(headers, b"application/json"), dumped(inner))

    def error(self, error: ServiceError, request_id: str) -> Response:
        modelled = self._description.error(error.code)
        name = modelled[0] if modelled else error.code
        headers = [JSON, (b"x-amzn-errortype", _header(name))]
        return Response(
            error_status(self._description, error), headers, dumped(error_body(self._description, self._writer, error))
        )

    def _from_texts(self, member: str, reference: Shape, texts: list[str] | dict[str, str]) -> Any:
        shape = self._shapes[reference["shape"]]
        try:
            if isinstance(texts, dict):
                return texts
            if shape["type"] == "list":
                inner = self._shapes[shape["member"]["shape"]]
                # Of a header several values come as one with commas, of a query string as several.
                texts = texts[0].split(",") if reference.get("location") == "header" else texts
                return [from_text(inner, text.strip()) for text in texts]
            return from_text(shape, texts[0])
        except ValueError as error:
            raise ServiceError("SerializationException", f"{member}: {error}") from None

    def _payload(self, reference: Shape, body: bytes) -> Any:
        match self._shapes[reference["shape"]]["type"]:
            case "blob":
                return body
            case "string":
                try:
                    return body.decode()
                except UnicodeDecodeError:
                    raise ServiceError("SerializationException", "the body is no UTF-8 text") from None
        return self._reader.read(reference["shape"], loaded(body))

    def _headers(self, shape: Shape, values: dict[str, Any]) -> list[tuple[bytes, bytes]]:
        headers = []
        for member, reference in shape.get("members", {}).items():
            if member not in values:
                continue
            name, value = reference.get("locationName", member), values[member]
            if reference.get("location") == "headers":
                headers += [(_header(name + key), _header(text)) for key, text in value.items()]
            elif reference.get("location") == "header":
                inner = self._shapes[reference["shape"]]
                if inner["type"] == "list":
                    each = self._shapes[inner["member"]["shape"]]
                    text = ",".join(to_text(each, item, "rfc822") for item in value)
                else:
                    text = to_text(inner, value, "rfc822")
                headers.append((_header(name), _header(text)))
        return headers


def _texts(
    reference: Shape, member: str, head: Head, labels: dict[str, str], query: dict[str, list[str]]
) -> list[str] | dict[str, str] | None:
    """What the request says outside its body for one member; None where it says nothing."""
    name = reference.get("locationName", member)
    match reference.get("location"):
        case "uri" if name in labels:
            return [labels[name]]
        case "querystring":
            return query.get(name)
        case "header" if name.lower() in head.headers:
            return [head.headers[name.lower()]]
        case "headers":
            prefix = name.lower()
            return {key[len(prefix) :]: text for key, text in head.headers.items() if key.startswith(prefix)}
    return None


def _typed(headers: list[tuple[bytes, bytes]], content_type: bytes) -> list[tuple[bytes, bytes]]:
    if any(name.lower() == b"content-type" for name, _ in headers):
        return headers
    return [*headers, (b"content-type", content_type)]


def _header(text: str) -> bytes:
    """A value that stays one line; what latin-1 cannot write becomes a question mark."""
    # A line end in a value (CustomAttributes comes from a model) would begin a header of its own.
    return text.translate(CONTROLS).encode("latin-1", "replace")
