"""The query protocol: a form in (``Action=...&Tags.member.1.Key=...``), XML out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from clary.control.wire.asgi import Head, Response
from clary.control.wire.errors import ServiceError
from clary.control.wire.json import error_status
from clary.control.wire.services import Description, Operation, Shape
from clary.control.wire.texts import from_text, to_text
from clary.control.wire.xml import escaped

__all__ = ["QueryProtocol", "form"]

# A form of a million fields would hold the event loop for seconds.
FIELDS = 10_000  # of one form
CONTENT_TYPE = [(b"content-type", b"text/xml")]
# A form's dotted keys as a tree; the text of a key itself stands under "".
Node = dict[str, Any]
Write = Callable[[Any, list[str]], None]


def form(head: Head, body: bytes) -> dict[str, str]:
    """The fields of the query string and of the body. Raises ServiceError (MalformedQueryString)."""
    try:
        # Both places may hold fields: SDKs use the body, links the query string.
        text = f"{head.query}&{body.decode('ascii')}" if head.query else body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError as error:
        raise ServiceError("MalformedQueryString", f"the form cannot be read: {error}") from None
    return dict(pairs)


class QueryProtocol:
    """The query protocol of one service."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._shapes = description.shapes
        self._writers: dict[str, Write] = {}

    def read(self, operation: Operation, head: Head, body: bytes, labels: dict[str, str]) -> dict[str, Any]:
        """Raises ServiceError (MalformedInput) for a value of the wrong type."""
        if not operation.input:
            return {}
        request: dict[str, Any] = self._read(operation.input, _tree(form(head, body)), "")
        return request

    def write(self, operation: Operation, answer: dict[str, Any] | None, request_id: str) -> Response:
        out = [f'<{operation.name}Response xmlns="{self._description.namespace}">']
        if operation.output:
            out.append(f"<{operation.wrapper}>")
            self._writer(operation.output)(answer or {}, out)
            out.append(f"</{operation.wrapper}>")
        out.append(f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>")
        out.append(f"</{operation.name}Response>")
        return Response(operation.status, CONTENT_TYPE, "".join(out).encode())

    def error(self, error: ServiceError, request_id: str) -> Response:
        modelled = self._description.error(error.code)
        status = error_status(self._description, error)
        code = modelled[1].get("error", {}).get("code", modelled[0]) if modelled else error.code
        out = [f'<ErrorResponse xmlns="{self._description.namespace}"><Error>']
        out.append(f"<Type>{'Receiver' if status >= 500 else 'Sender'}</Type>")
        out.append(f"<Code>{escaped(code)}</Code><Message>{escaped(error.message)}</Message>")
        if modelled:
            self._writer(modelled[0])({k: v for k, v in error.members.items() if k.lower() != "message"}, out)
        out.append(f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>")
        return Response(status, CONTENT_TYPE, "".join(out).encode())

    def _read(self, name: str, node: Node, path: str) -> Any:
        shape = self._shapes[name]
        match shape["type"]:
            case "structure":
                return self._read_structure(shape, node, path)
            case "list":
                return self._read_list(shape, node, path)
            case "map":
                return self._read_map(shape, node, path)
        if "" not in node:
            raise ServiceError("MalformedInput", f"{path} must be a single value")
        try:
            return from_text(shape, node[""])
        except ValueError as error:
            raise ServiceError("MalformedInput", f"{path}: {error}") from None

    def _read_structure(self, shape: Shape, node: Node, path: str) -> dict[str, Any]:
        found = {}
        for member, reference in shape.get("members", {}).items():
            key = self._key(member, reference)
            if key in node:
                found[member] = self._read(reference["shape"], node[key], f"{path}.{key}" if path else key)
        return found

    def _read_list(self, shape: Shape, node: Node, path: str) -> list[Any]:
        inner = shape["member"]
        if not shape.get("flattened"):
            node = node.get(inner.get("locationName", "member"), {})
        return [self._read(inner["shape"], item, f"{path}.{number}") for number, item in _numbered(node)]

    def _read_map(self, shape: Shape, node: Node, path: str) -> dict[str, Any]:
        if not shape.get("flattened"):
            node = node.get("entry", {})
        key_name = shape["key"].get("locationName", "key")
        value_name = shape["value"].get("locationName", "value")
        found = {}
        for number, entry in _numbered(node):
            if "" not in entry.get(key_name, {}) or value_name not in entry:
                raise ServiceError("MalformedInput", f"{path}.{number} must have {key_name} and {value_name}")
            found[entry[key_name][""]] = self._read(shape["value"]["shape"], entry[value_name], f"{path}.{number}")
        return found

    def _key(self, member: str, reference: Shape) -> str:
        """A member's name in forms and XML; a flattened list goes by the name of its items."""
        shape = self._shapes[reference["shape"]]
        if shape["type"] == "list" and shape.get("flattened") and "locationName" in shape["member"]:
            return str(shape["member"]["locationName"])
        return str(reference.get("locationName", member))

    def _writer(self, name: str) -> Write:
        found = self._writers.get(name)
        if found is None:
            shape = self._shapes[name]
            make = {"structure": self._structure, "list": self._list, "map": self._map}.get(shape["type"])
            found = make(name, shape) if make else _scalar_writer(shape)
            self._writers[name] = found
        return found

    def _structure(self, name: str, shape: Shape) -> Write:
        members: dict[str, tuple[str, str, Write]] = {}

        def write(value: dict[str, Any], out: list[str]) -> None:
            for member, inner in value.items():
                known = members.get(member)
                if known is not None and inner is not None:
                    start, end, each = known
                    out.append(start)
                    each(inner, out)
                    out.append(end)

        self._writers[name] = write  # before its members: a shape may contain itself
        for member, reference in shape.get("members", {}).items():
            key = self._key(member, reference)
            inner = self._shapes[reference["shape"]]
            tags = ("", "") if inner.get("flattened") else (f"<{key}>", f"</{key}>")
            # A flattened list has no element around its items, which carry the name of the member.
            members[member] = *tags, self._writer(reference["shape"])
            if inner.get("flattened"):
                members[member] = "", "", self._flattened(key, inner)
        return write

    def _flattened(self, key: str, shape: Shape) -> Write:
        if shape["type"] == "map":
            return self._entries(shape, key)
        return self._items(shape, key)

    def _list(self, name: str, shape: Shape) -> Write:
        return self._items(shape, shape["member"].get("locationName", "member"))

    def _map(self, name: str, shape: Shape) -> Write:
        return self._entries(shape, "entry")

    def _items(self, shape: Shape, tag: str) -> Write:
        def write(value: Any, out: list[str]) -> None:
            each = self._writer(shape["member"]["shape"])
            for inner in value:
                out.append(f"<{tag}>")
                each(inner, out)
                out.append(f"</{tag}>")

        return write

    def _entries(self, shape: Shape, tag: str) -> Write:
        key_name = shape["key"].get("locationName", "key")
        value_name = shape["value"].get("locationName", "value")

        def write(value: Any, out: list[str]) -> None:
            each = self._writer(shape["value"]["shape"])
            for key, inner in value.items():
                out.append(f"<{tag}><{key_name}>{escaped(str(key))}</{key_name}><{value_name}>")
                each(inner, out)
                out.append(f"</{value_name}></{tag}>")

        return write


def _scalar_writer(shape: Shape) -> Write:
    def write(value: Any, out: list[str]) -> None:
        out.append(escaped(to_text(shape, value, "iso8601")))

    return write


def _tree(fields: dict[str, str]) -> Node:
    root: Node = {}
    for key, text in fields.items():
        node = root
        for part in filter(None, key.split(".")):
            node = node.setdefault(part, {})
        # A key may be both a value and the beginning of others: "Tags" and "Tags.member.1".
        if node is not root:
            node[""] = text
    return root


def _numbered(node: Node) -> list[tuple[int, Node]]:
    """The items of a list in the order of their numbers."""
    return sorted(
        # Numbers say the order only: a client that leaves a gap means a list all the same.
        ((int(key), item) for key, item in node.items() if key.isascii() and key.isdigit() and len(key) < 10),
        key=lambda pair: pair[0],
    )
