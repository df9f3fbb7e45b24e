"""Manifests: ``[{"prefix": "s3://bucket/a/"}, "b.jpg", ...]``, the objects of a channel one by one.

Source: SageMaker API reference, S3DataSource.
"""

from __future__ import annotations

import json

from clary.control.objects.base import ObjectStore, S3Uri
from clary.errors import DataError

__all__ = ["parts", "read_manifest"]

MANIFEST_BYTES = 256 << 20  # a manifest of two million pictures has about half of it


def read_manifest(uri: S3Uri, objects: ObjectStore) -> tuple[S3Uri, list[str]]:
    """The prefix of the manifest at ``uri``, and what follows it in the key of each object, in order. Blocks.

    Raises DataError for an object that is no manifest, NoSuchBucket, NoSuchKey.
    """
    with objects.open(uri.bucket, uri.key) as stream:
        # One byte too many is enough to know, whatever the store says of the object's size.
        text = stream.read(MANIFEST_BYTES + 1)
    if len(text) > MANIFEST_BYTES:
        raise DataError(f"is larger than {MANIFEST_BYTES >> 20} MiB", where=uri, hint="split the manifest")
    prefix, listed = parts(text, uri)
    return S3Uri.parse(prefix), listed


def parts(text: bytes, uri: S3Uri) -> tuple[str, list[str]]:
    """The prefix and the strings after it. Raises DataError naming ``uri`` for anything else."""
    hint = 'write [{"prefix": "s3://bucket/folder/"}, "name", ...]'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON ({error})", where=uri, hint=hint) from error
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        raise DataError("is no manifest: it does not begin with a prefix", where=uri, hint=hint)
    prefix, listed = value[0].get("prefix"), value[1:]
    if not isinstance(prefix, str) or not prefix.startswith("s3://") or not prefix[5:].partition("/")[0]:
        raise DataError("is no manifest: its prefix is no S3 URI", where=uri, hint=hint)
    for number, one in enumerate(listed, start=1):
        if not isinstance(one, str) or not one or not _encodable(one):
            raise DataError(f"element {number} is no key", where=uri, hint=hint)
    return prefix, listed


def _encodable(text: str) -> bool:
    """JSON can spell halves of a character, which no file system takes."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
