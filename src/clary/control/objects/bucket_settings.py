"""Settings of buckets that are kept and given back: tags, default encryption, public access block, object ownership.

One file a bucket beside the buckets, not an extended attribute of its folder: fifty tags are too long for one, and a
disk without attributes must not forget them.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

from clary.control.objects.base import NoSuchBucket
from clary.control.objects.encryption import ALGORITHMS, SSE
from clary.control.objects.key_names import is_bucket_name
from clary.control.objects.local import LocalStore
from clary.control.objects.moving import sync
from clary.control.objects.request import S3Request
from clary.control.objects.responses import Node, S3Response, xml_response
from clary.control.objects.tagging import tags_of_xml, tags_response
from clary.control.objects.tags import BUCKET_LIMIT
from clary.control.objects.writing import malformed, parse_xml, text_of
from clary.control.wire.errors import ServiceError

__all__ = [
    "NAMES",
    "OWNERSHIP",
    "change_settings",
    "default_encryption",
    "delete_setting",
    "forget_settings",
    "get_encryption",
    "get_ownership",
    "get_public_access_block",
    "get_tagging",
    "put_encryption",
    "put_ownership",
    "put_public_access_block",
    "put_tagging",
]

NAMES = ("tagging", "encryption", "publicAccessBlock", "ownershipControls")  # as sub-resources name them
FOLDER = ".settings"  # inside the root; a name no bucket can have
OWNERSHIP = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_BODY_LIMIT = 64 << 10  # bytes; the longest is a set of 50 tags
_CHANGING = threading.Lock()  # between reading and writing: two settings changed at once must both be there


def get_tagging(store: LocalStore, request: S3Request) -> S3Response:
    tags = _read(store, request.bucket).get("tagging")
    if tags is None:
        raise ServiceError("NoSuchTagSet", "The TagSet does not exist", status=404, members=_name(request))
    return tags_response(tags)


async def put_tagging(store: LocalStore, request: S3Request) -> S3Response:
    """Raises ServiceError as ``tags_of_xml``."""
    tags = tags_of_xml(parse_xml(await request.small_body(_BODY_LIMIT), "Tagging"), BUCKET_LIMIT)
    change_settings(store, request.bucket, {"tagging": tags})
    return S3Response(204)


def get_encryption(store: LocalStore, request: S3Request) -> S3Response:
    """AES256 where nobody set another, as every bucket of S3 has."""
    setting = _read(store, request.bucket).get("encryption", {"SSEAlgorithm": "AES256"})
    default: list[Node] = [(n, setting[n]) for n in ("SSEAlgorithm", "KMSMasterKeyID") if setting.get(n)]
    rule: list[Node] = [("ApplyServerSideEncryptionByDefault", default)]
    rule.append(("BucketKeyEnabled", setting.get("BucketKeyEnabled", "false")))
    return xml_response("ServerSideEncryptionConfiguration", [("Rule", rule)])


async def put_encryption(store: LocalStore, request: S3Request) -> S3Response:
    """Raises ServiceError MalformedXML, InvalidArgument for a key of an algorithm without keys."""
    document = parse_xml(await request.small_body(_BODY_LIMIT), "ServerSideEncryptionConfiguration")
    found = {each.tag.rpartition("}")[2]: (each.text or "").strip() for each in document.iter()}
    names = ("SSEAlgorithm", "KMSMasterKeyID", "BucketKeyEnabled")
    setting = {name: found[name] for name in names if found.get(name)}
    if len(document) != 1 or setting.get("SSEAlgorithm") not in ALGORITHMS:
        raise malformed(f"it must hold one Rule with an SSEAlgorithm: {', '.join(ALGORITHMS)}")
    if "KMSMasterKeyID" in setting and setting["SSEAlgorithm"] == "AES256":
        text = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        raise ServiceError("InvalidArgument", text, members={"ArgumentName": "ApplyServerSideEncryptionByDefault"})
    change_settings(store, request.bucket, {"encryption": setting})
    return S3Response(200)


def default_encryption(store: LocalStore, bucket: str) -> dict[str, str]:
    """The headers about encryption that an object of the bucket gets when its upload has none."""
    # At each upload: most buckets have no settings.
    if not is_bucket_name(bucket) or not _file(store, bucket).exists():
        return {}
    setting = _read(store, bucket).get("encryption", {})
    headers = {
        SSE: setting.get("SSEAlgorithm", ""),
        f"{SSE}-aws-kms-key-id": setting.get("KMSMasterKeyID", ""),
        f"{SSE}-bucket-key-enabled": setting.get("BucketKeyEnabled", ""),
    }
    return {name: text for name, text in headers.items() if text}


def get_public_access_block(store: LocalStore, request: S3Request) -> S3Response:
    setting = _read(store, request.bucket).get("publicAccessBlock")
    if setting is None:
        text = "The public access block configuration was not found"
        raise ServiceError("NoSuchPublicAccessBlockConfiguration", text, status=404, members=_name(request))
    return xml_response("PublicAccessBlockConfiguration", list(setting.items()))


async def put_public_access_block(store: LocalStore, request: S3Request) -> S3Response:
    """Raises ServiceError MalformedXML."""
    document = parse_xml(await request.small_body(_BODY_LIMIT), "PublicAccessBlockConfiguration")
    setting = {name: text_of(document, name).lower() or "false" for name in _BLOCKS}
    if not set(setting.values()) <= {"true", "false"}:
        raise malformed(f"{', '.join(_BLOCKS)} are true or false")
    change_settings(store, request.bucket, {"publicAccessBlock": setting})
    return S3Response(200)


def get_ownership(store: LocalStore, request: S3Request) -> S3Response:
    """BucketOwnerEnforced where nobody set another, as a new bucket of S3 has: one owner has every right."""
    setting = _read(store, request.bucket).get("ownershipControls", {"ObjectOwnership": OWNERSHIP[0]})
    return xml_response("OwnershipControls", [("Rule", list(setting.items()))])


async def put_ownership(store: LocalStore, request: S3Request) -> S3Response:
    """Raises ServiceError MalformedXML."""
    document = parse_xml(await request.small_body(_BODY_LIMIT), "OwnershipControls")
    found = [text_of(rule, "ObjectOwnership") for rule in document]
    if len(found) != 1 or found[0] not in OWNERSHIP:
        raise malformed(f"it must hold one Rule with an ObjectOwnership: {', '.join(OWNERSHIP)}")
    change_settings(store, request.bucket, {"ownershipControls": {"ObjectOwnership": found[0]}})
    return S3Response(200)


def delete_setting(store: LocalStore, request: S3Request, name: str) -> S3Response:
    """No error where it was not set."""
    change_settings(store, request.bucket, {name: None})
    return S3Response(204)


def change_settings(store: LocalStore, bucket: str, changes: Mapping[str, Mapping[str, str] | None]) -> None:
    """Keep the settings named; None forgets one. On the disk when it returns. Raises NoSuchBucket."""
    with _CHANGING:
        kept = {name: value for name, value in ({**_read(store, bucket), **changes}).items() if value is not None}
        path = _file(store, bucket)
        if not kept:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(exist_ok=True)
        staged = path.with_name(f".{uuid.uuid4().hex}")
        with store.dropping(staged):
            staged.write_text(json.dumps(kept))
            sync(staged)
            os.replace(staged, path)


def forget_settings(store: LocalStore, bucket: str) -> None:
    """All of a bucket that is gone or only begins."""
    _file(store, bucket).unlink(missing_ok=True)


def _read(store: LocalStore, bucket: str) -> dict[str, Mapping[str, str]]:
    if not store.bucket_exists(bucket):
        raise NoSuchBucket(bucket)
    try:
        found: dict[str, Mapping[str, str]] = json.loads(_file(store, bucket).read_text())
    except FileNotFoundError:
        return {}
    return found


def _file(store: LocalStore, bucket: str) -> Path:
    return store.root / FOLDER / f"{bucket}.json"


def _name(request: S3Request) -> dict[str, str]:
    return {"BucketName": request.bucket}
