"""docs/coverage.md tells the truth of S3: a server is asked for every operation."""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from clary.control.wire.services import describe
from docs import coverage

# What has to be in a request to make it that operation; the bucket and the key are there.
GIVEN = {
    "Bucket": "box",
    "Key": "key",
    "CopySource": "box/key",
    "UploadId": "1",
    "PartNumber": 1,
    "Id": "1",
    "ACL": "private",
}


def test_what_the_page_says_of_an_operation_the_server_does(url: str, s3: Any) -> None:
    once: Any = {"parameter_validation": False, "inject_host_prefix": False, "retries": {"total_max_attempts": 1}}
    client = boto3.client("s3", "us-east-1", endpoint_url=url, **_KEYS, config=Config(s3=_PATHS, **once))
    client.put_object(Bucket="box", Key="key", Body=b"")
    operations = describe("s3").operations
    answered = {name for name in operations if name not in coverage.NOT_OF_BUCKETS and _is_answered(client, name)}
    assert answered == {name for name, operation in operations.items() if coverage.s3_is_answered(operation)}
    assert len(answered) > 70


_KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
_PATHS = {"addressing_style": "path"}


def _is_answered(client: Any, name: str) -> bool:
    members = client.meta.service_model.operation_model(name).input_shape
    given = {one: GIVEN[one] for one in (members.members if members else ()) if one in GIVEN}
    try:
        client._make_api_call(name, given)
    except ClientError as error:
        return error.response["Error"]["Code"] not in ("NotImplemented", "MethodNotAllowed")
    return True
