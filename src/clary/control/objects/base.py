"""The object store as jobs and endpoints use it, wherever the objects lie."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote

from clary.control.objects import aws_buckets
from clary.control.wire.errors import ServiceError, ValidationException

__all__ = ["NoSuchBucket", "NoSuchKey", "Object", "ObjectStore", "S3Uri"]


# The bucket in front or in the path; with a region after a dot or, formerly, a dash; dual-stack; China's own domain.
_S3_HOST = re.compile(
    r"(?:(?P<bucket>[^/]+?)\.)?s3(?:-fips)?(?:\.dualstack)?(?:[.-][a-z]{2}(?:-[a-z]+)+-\d+)?\.amazonaws\.com(?:\.cn)?",
    re.IGNORECASE,
)


class NoSuchBucket(ServiceError):
    """The bucket does not exist."""

    def __init__(self, bucket: str) -> None:
        text = f"The specified bucket does not exist: {bucket}{aws_buckets.remark(bucket)}"
        super().__init__("NoSuchBucket", text, status=404, members={"BucketName": bucket})


class NoSuchKey(ServiceError):
    """The bucket holds no object of this key."""

    def __init__(self, bucket: str, key: str) -> None:
        text = f"The specified key does not exist: s3://{bucket}/{key}"
        super().__init__("NoSuchKey", text, status=404, members={"Key": key})


@dataclass(frozen=True, slots=True)
class S3Uri:
    """``s3://bucket/key``; the key may be empty or a prefix."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Of an S3 URI, or an address of S3 (``https://bucket.s3.region.amazonaws.com/key``) in any of its forms.

        Raises ValidationException naming ``text`` when it is neither.
        """
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        if scheme.lower() == "https" and (host := _S3_HOST.fullmatch(bucket)):
            # Addresses are quoted, once; URIs are not. What follows a `?` or `#` is no part of the key.
            path = unquote(re.split(r"[?#]", key, maxsplit=1)[0])
            bucket, _, key = (host["bucket"], "", path) if host["bucket"] else path.partition("/")
        elif scheme != "s3":
            bucket = ""
        if not bucket:
            raise ValidationException(f'"{text}" is no S3 URI; write s3://bucket/prefix')
        return cls(bucket, key)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def join(self, *names: str) -> S3Uri:
        """This URI with names appended, exactly one slash between each."""
        return replace(self, key="/".join([*filter(None, [self.key.rstrip("/")]), *names]))


@dataclass(frozen=True, slots=True)
class Object:
    """One object of a listing. ``size`` in bytes, ``modified`` in epoch seconds."""

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """All methods block; call them from a thread where they may take long."""

    local: bool  # objects are files of this machine, so ``fetch`` can link

    def bucket_exists(self, bucket: str) -> bool: ...

    def check_put(self, bucket: str, key: str) -> None:
        """Whether an object of this key could be put now. Raises NoSuchBucket, StorageFull, ServiceError AccessDenied
        and what is said of a key that cannot be stored."""
        ...

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        """Objects whose key begins with ``prefix``, in key order (UTF-8 bytes). Raises NoSuchBucket."""
        ...

    def open(self, bucket: str, key: str) -> BinaryIO:
        """The object's bytes as a stream. Raises NoSuchBucket, NoSuchKey."""
        ...

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        """The object as the file ``path``, whose folder exists. Raises NoSuchBucket, NoSuchKey.

        A hard link where the store is local and on the same disk (never write to it), else a copy or download to a
        temporary name that is renamed.
        """
        ...

    def put(self, bucket: str, key: str, path: Path) -> None:
        """Store the file ``path``; atomic: readers see the old object or the whole new one. Raises NoSuchBucket."""
        ...

    def delete(self, bucket: str, key: str) -> None:
        """No error when there is none."""
        ...
