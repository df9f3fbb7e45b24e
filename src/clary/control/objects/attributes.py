"""GetObjectAttributes: what is known of an object, its parts and checksums among it, in one answer."""

from __future__ import annotations

from clary.control.objects.checksums import ALGORITHMS, checksum_nodes, part_checksum
from clary.control.objects.listing import PAGE_LIMIT, integer
from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.object_parts import unpack
from clary.control.objects.reading import STORAGE_CLASS
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, http_date, xml_response
from clary.control.wire.errors import ServiceError, invalid_argument

__all__ = ["get_object_attributes"]

_ASKED = "x-amz-object-attributes"
_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def get_object_attributes(store: LocalStore, request: S3Request) -> S3Response:
    """Those that the header names. Raises ServiceError InvalidRequest for none, InvalidArgument for unknown ones."""
    asked = {name.strip() for name in request.headers.get(_ASKED, "").split(",")} - {""}
    if not asked:
        text = f"The {_ASKED} header specifying the attributes to be retrieved is either missing or empty"
        raise ServiceError("InvalidRequest", text)
    if unknown := sorted(asked.difference(_NAMES)):
        raise invalid_argument(_ASKED, unknown[0], f"Invalid attribute name specified: {unknown[0]}")
    opened = store.open_object(request.bucket, request.key)
    opened.close()
    metadata = opened.metadata
    found: dict[str, Node | None] = {
        "ETag": ("ETag", metadata.etag),
        "Checksum": ("Checksum", checksum_nodes(metadata.checksum)) if metadata.checksum else None,
        "ObjectParts": _parts(metadata, request) if metadata.parts else None,
        "StorageClass": ("StorageClass", metadata.headers.get(STORAGE_CLASS, "STANDARD")),
        "ObjectSize": ("ObjectSize", str(opened.size)),
    }
    nodes = [node for name, node in found.items() if name in asked and node]
    answer = xml_response("GetObjectAttributesResponse", nodes)
    answer.headers["last-modified"] = http_date(opened.status.st_mtime)
    return answer


def _parts(metadata: ObjectMetadata, request: S3Request) -> Node:
    """One page of them."""
    parts = unpack(metadata.parts)
    limit = min(integer("x-amz-max-parts", request.headers.get("x-amz-max-parts"), PAGE_LIMIT), PAGE_LIMIT)
    marker = integer("x-amz-part-number-marker", request.headers.get("x-amz-part-number-marker"), 0)
    page = list(enumerate(parts, 1))[marker : marker + limit]
    last = page[-1][0] if page else marker
    nodes: list[Node] = [("PartsCount", str(len(parts))), ("PartNumberMarker", str(marker))]
    nodes += [("NextPartNumberMarker", str(last)), ("MaxParts", str(limit))]
    nodes.append(("IsTruncated", str(limit > 0 and last < len(parts)).lower()))
    for number, part in page:
        sums = [
            (ALGORITHMS[name].element, value) for name, value in part_checksum(metadata.checksum, part.digest).items()
        ]
        nodes.append(("Part", [*sums, ("PartNumber", str(number)), ("Size", str(part.size))]))
    return "ObjectParts", nodes
