"""Objects at an S3 endpoint elsewhere, through boto3 (loaded at the first use)."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from clary.control.objects.base import NoSuchBucket, NoSuchKey, Object
from clary.control.objects.remote_endpoint import RemoteEndpoint
from clary.control.wire.errors import ServiceError

__all__ = ["RemoteStore"]

CONNECTIONS = 32
WHOLE = 16 << 20  # bytes up to which an object is read in one request; larger ones come in parallel ranges
_MISSING = ("404", "NoSuchKey", "NotFound")


class RemoteStore:
    """Any S3 server. Safe to use from several threads."""

    local = False

    def __init__(self, endpoint: RemoteEndpoint) -> None:
        self._endpoint = endpoint

    def bucket_exists(self, bucket: str) -> bool:
        try:
            with self._errors(bucket):
                self._client.head_bucket(Bucket=bucket)
        except (NoSuchBucket, NoSuchKey):
            return False
        return True

    def check_put(self, bucket: str, key: str) -> None:
        """What the other end refuses by permission to write is seen when something is put: asking would leave it."""
        if not self.bucket_exists(bucket):
            raise NoSuchBucket(bucket)

    def list(self, bucket: str, prefix: str = "") -> Iterator[Object]:
        # The first page is fetched at once, so that a missing bucket is an error here and not when somebody iterates.
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        with self._errors(bucket):
            first = next(iter(pages), None)
        return self._objects(bucket, prefix, first)

    def open(self, bucket: str, key: str) -> BinaryIO:
        with self._errors(bucket, key):
            answer = self._client.get_object(Bucket=bucket, Key=key)
        return io.BufferedReader(_Stream(answer["Body"], self._endpoint.url), 1 << 20)

    def fetch(self, bucket: str, key: str, path: Path) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
        try:
            with os.fdopen(descriptor, "wb") as file, self._errors(bucket, key):
                answer = self._client.get_object(Bucket=bucket, Key=key)
                with answer["Body"] as body:
                    if answer["ContentLength"] <= WHOLE:
                        shutil.copyfileobj(body, file, 1 << 20)
                if answer["ContentLength"] > WHOLE:
                    self._client.download_fileobj(bucket, key, file)
            # mkstemp makes it 0600, which a job of another user could not read.
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)

    def put(self, bucket: str, key: str, path: Path) -> None:
        with self._errors(bucket, key), path.open("rb") as file:
            self._client.upload_fileobj(file, bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        with self._errors(bucket, key):
            self._client.delete_object(Bucket=bucket, Key=key)

    def _objects(self, bucket: str, prefix: str, page: Any) -> Iterator[Object]:
        while page is not None:
            for found in page.get("Contents", ()):
                yield Object(found["Key"], found["Size"], found["LastModified"].timestamp())
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return
            with self._errors(bucket):
                page = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, ContinuationToken=token)

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        endpoint = self._endpoint
        options: dict[str, Any] = {} if endpoint.access_key else {"signature_version": UNSIGNED}
        config = Config(
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 4},
            # A bucket in the host name needs a name server that knows every bucket.
            s3={"addressing_style": "path"},
            # Servers older than 2025 refuse the checksums botocore adds since 1.36.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **options,
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint.url,
            region_name=endpoint.region,
            aws_access_key_id=endpoint.access_key or None,
            aws_secret_access_key=endpoint.secret_key or None,
            aws_session_token=endpoint.token or None,
            config=config,
        )

    @contextmanager
    def _errors(self, bucket: str, key: str = "") -> Iterator[None]:
        """What boto3 raises, as ServiceErrors that name what was asked for."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise _translated(error, bucket, key, self._endpoint.url) from error
        except (BotoCoreError, Boto3Error) as error:
            text = f"The S3 server {self._endpoint.url} does not answer as it should: {error}"
            raise ServiceError("ServiceUnavailable", text, status=503) from error


class _Stream(io.RawIOBase):
    """A body being downloaded, as a file."""

    def __init__(self, body: Any, url: str) -> None:
        self._body = body
        self._url = url

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from botocore.exceptions import BotoCoreError

        try:
            data = self._body.read(len(buffer))
        except BotoCoreError as error:
            raise OSError(f"the download from {self._url} broke off: {error}") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._body.close()
        super().close()


def _translated(error: Any, bucket: str, key: str, url: str) -> ServiceError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    if code == "NoSuchBucket":
        return NoSuchBucket(bucket)
    if code in _MISSING:
        return NoSuchKey(bucket, key) if key else NoSuchBucket(bucket)
    message = error.response.get("Error", {}).get("Message", "")
    return ServiceError(code, f"The S3 server {url} refuses s3://{bucket}/{key}: {message or code}", status=status)
