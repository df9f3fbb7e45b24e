"""What the checksums of a multipart upload must be: as it is begun, of its parts, and as it is completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from clary.control.objects.checksums import (
    ALGORITHMS,
    COMPOSITE,
    DEFAULT,
    FULL_OBJECT,
    algorithm_called,
    bad_digest,
    encode,
)
from clary.control.objects.multipart_files import Part, Upload
from clary.control.objects.request import S3Request
from clary.control.objects.writing import malformed, text_of
from clary.control.wire.errors import ServiceError

__all__ = ["AskedPart", "asked_parts", "check", "chosen", "other_algorithm", "whole"]


def chosen(request: S3Request) -> tuple[str, str]:
    """Algorithm and type of the checksum that an upload is begun with, both empty where none is named."""
    name = request.headers.get("x-amz-checksum-algorithm", "")
    kind = request.headers.get("x-amz-checksum-type", "").upper()
    if not name:
        if kind:
            raise _invalid("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
        return "", ""
    algorithm = algorithm_called(name)
    kind = kind or algorithm.types[0]
    if kind not in (COMPOSITE, FULL_OBJECT):
        raise _invalid("Value for x-amz-checksum-type header is invalid.")
    if kind not in algorithm.types:
        raise _invalid(f"The {kind} checksum type cannot be used with the {name.lower()} checksum algorithm.")
    return algorithm.name, kind


@dataclass(frozen=True, slots=True)
class AskedPart:
    """A part as the list of CompleteMultipartUpload names it; ``sums`` from algorithm to value."""

    number: int
    md5: str
    sums: dict[str, str]


def asked_parts(document: ElementTree.Element) -> list[AskedPart]:
    """The list of CompleteMultipartUpload. Raises ServiceError MalformedXML."""
    numbers = [text_of(each, "PartNumber") for each in document]
    if not numbers or not all(text.isascii() and text.isdigit() and len(text) <= 5 for text in numbers):
        raise malformed("it must name the parts")
    return [
        AskedPart(
            int(text),
            text_of(each, "ETag").strip('"'),
            {name: value for name, one in ALGORITHMS.items() if (value := text_of(each, one.element))},
        )
        for text, each in zip(numbers, document, strict=True)
    ]


def whole(upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    """Of the whole object, from those of its parts; none where a part came before Clary kept them."""
    if not all(part.digest for part in parts):
        return {}
    algorithm = ALGORITHMS[upload.algorithm or DEFAULT]
    sums = [(part.digest, part.size) for part in parts]
    return {algorithm.name: algorithm.whole(sums, upload.kind or FULL_OBJECT)}


def check(
    request: S3Request, upload: Upload, checksum: Mapping[str, str], pairs: Sequence[tuple[AskedPart, Part]]
) -> None:
    """What the request says of the object and its parts beyond their ETags.

    Raises ServiceError BadDigest, InvalidPart, InvalidPartOrder, InvalidRequest.
    """
    headers = request.headers
    for name, algorithm in ALGORITHMS.items():
        if (wanted := headers.get(algorithm.header)) is None:
            continue
        if name != (upload.algorithm or DEFAULT):
            raise other_algorithm(upload, name)
        if checksum.get(name) != wanted:
            raise bad_digest(name)
    kind = headers.get("x-amz-checksum-type")
    if kind is not None and kind.upper() != (upload.kind or FULL_OBJECT):
        raise bad_digest("x-amz-checksum-type")
    size = sum(part.size for _, part in pairs)
    if (expected := headers.get("x-amz-mp-object-size", str(size))) != str(size):
        text = f"The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        raise _invalid(text)
    if any(asked.sums for asked, _ in pairs) and [one.number for one, _ in pairs] != [*range(1, len(pairs) + 1)]:
        text = "The list of parts was not in ascending order: with checksums, part numbers go on from 1 without a gap."
        raise ServiceError("InvalidPartOrder", text)
    for asked, part in pairs:
        for name, value in asked.sums.items():
            if name != (upload.algorithm or name):
                raise other_algorithm(upload, name)
            if encode(_digest(upload, part, name)) != value:
                raise ServiceError("InvalidPart", f"The {name} of part {part.number} is not the one it came with")


def _digest(upload: Upload, part: Part, name: str) -> bytes:
    if part.digest and name == (upload.algorithm or DEFAULT):
        return part.digest
    # An upload that was begun without an algorithm takes parts with any, and keeps only the default one of each.
    with part.path.open("rb") as file:
        return ALGORITHMS[name].of_file(file)


def other_algorithm(upload: Upload, given: str) -> ServiceError:
    """The error for a checksum by another algorithm than the one the upload was begun with."""
    wanted = upload.algorithm.lower() or "null"
    text = f"Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {given.lower()}"
    return _invalid(text)


def _invalid(text: str) -> ServiceError:
    return ServiceError("InvalidRequest", text)
