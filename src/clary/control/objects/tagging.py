"""Put-, Get- and DeleteObjectTagging. The tags are kept with the object's headers, as x-amz-tagging brought them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from xml.etree import ElementTree

from clary.control.objects.local import LocalStore
from clary.control.objects.object_metadata import ObjectMetadata
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, xml_response
from clary.control.objects.tags import OBJECT_LIMIT, TAGGING, check_tags, header_of_tags, tags_of_header
from clary.control.objects.writing import malformed, parse_xml, text_of

__all__ = ["delete_object_tagging", "get_object_tagging", "put_object_tagging", "tags_of_xml", "tags_response"]


def get_object_tagging(store: LocalStore, request: S3Request) -> S3Response:
    _, metadata = store.facts(request.bucket, request.key)
    return tags_response(tags_of_header(metadata.headers.get(TAGGING, "")))


async def put_object_tagging(store: LocalStore, request: S3Request) -> S3Response:
    tags = tags_of_xml(parse_xml(await request.small_body(64 << 10), "Tagging"), OBJECT_LIMIT)
    _keep(store, request, tags)
    return S3Response(200)


def delete_object_tagging(store: LocalStore, request: S3Request) -> S3Response:
    _keep(store, request, {})
    return S3Response(204)


def tags_of_xml(document: ElementTree.Element, limit: int, name: str = "TagSet") -> dict[str, str]:
    """The tags below the child ``name`` of an element. Raises ServiceError MalformedXML, InvalidTag, BadRequest."""
    sets = [each for each in document if each.tag.rpartition("}")[2] == name]
    if len(sets) != 1:
        raise malformed(f"it must hold one {name}")
    pairs = []
    for tag in sets[0]:
        names = {member.tag.rpartition("}")[2] for member in tag}
        if tag.tag.rpartition("}")[2] != "Tag" or names != {"Key", "Value"}:
            raise malformed("it must hold elements Tag with a Key and a Value")
        pairs.append((text_of(tag, "Key"), text_of(tag, "Value")))
    return check_tags(pairs, limit)


def tags_response(tags: Mapping[str, str]) -> S3Response:
    """An answer Tagging."""
    nodes: list[Node] = [("Tag", [("Key", key), ("Value", value)]) for key, value in tags.items()]
    return xml_response("Tagging", [("TagSet", nodes)])


def _keep(store: LocalStore, request: S3Request, tags: Mapping[str, str]) -> None:
    def change(metadata: ObjectMetadata) -> ObjectMetadata:
        headers = {name: text for name, text in metadata.headers.items() if name != TAGGING}
        if tags:
            headers[TAGGING] = header_of_tags(tags)
        return replace(metadata, headers=headers)

    store.change_metadata(request.bucket, request.key, change)
