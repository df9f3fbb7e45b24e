"""What of a request is looked at when a job of any kind is created: rather now than after hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from clary.control.objects.aws_buckets import remark
from clary.control.objects.base import NoSuchBucket, ObjectStore, S3Uri
from clary.control.wire.errors import ServiceError, ValidationException

__all__ = ["check_target", "check_texts"]


def check_texts(request: Mapping[str, Any], members: Iterable[str]) -> None:
    """Raises ValidationException for characters in the maps ``members`` that no file or environment can hold."""
    for member in members:
        for name, value in (request.get(member) or {}).items():
            # JSON spells NUL, which no environment takes, and halves of characters, which UTF-8 has not.
            if "\0" in name + value or any("\ud800" <= letter <= "\udfff" for letter in name + value):
                raise ValidationException(f"{member}: the value of `{name!a}` holds a character that cannot be stored.")


def check_target(said: str, target: S3Uri, objects: ObjectStore, region: str) -> None:
    """Raises ValidationException where nothing can be put at ``target``, an object below ``said``, the request's own
    URI; StorageFull for a full disk."""
    try:
        objects.check_put(target.bucket, target.key)
    except NoSuchBucket as error:
        raise ValidationException(
            f'The bucket of the S3 URL "{said}" does not exist. Please ensure that it exists in the selected '
            f"region ({region}){remark(target.bucket)}."
        ) from error
    except ServiceError as error:
        if error.status >= 500:
            raise
        raise ValidationException(
            f'Nothing can be stored under the S3 URL "{said}" ({error.code}: {error.message})'
        ) from error
