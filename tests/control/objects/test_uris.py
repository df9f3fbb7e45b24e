"""Where an object is: S3 URIs, and addresses of S3 in all the forms that programs have for them."""

from __future__ import annotations

import pytest

from clary.control.objects.base import S3Uri
from clary.control.wire.errors import ValidationException


@pytest.mark.parametrize(
    "host",
    [
        "s3.amazonaws.com",
        "s3.us-west-2.amazonaws.com",
        "s3-us-west-2.amazonaws.com",
        "s3.dualstack.eu-central-1.amazonaws.com",
        "s3-fips.us-gov-west-1.amazonaws.com",
        "s3.cn-north-1.amazonaws.com.cn",
    ],
)
@pytest.mark.parametrize("bucket", ["pets", "my.pets.s3", "s3"])
def test_addresses_of_s3(host: str, bucket: str) -> None:
    for address in (f"https://{bucket}.{host}/a/b%20%C3%A4+%2525.gz", f"https://{host}/{bucket}/a/b%20%C3%A4+%2525.gz"):
        assert S3Uri.parse(address) == S3Uri(bucket, "a/b ä+%25.gz")
    assert S3Uri.parse(f"https://{bucket}.{host}") == S3Uri(bucket, "")
    assert S3Uri.parse(f"https://{bucket}.{host}/key?versionId=null") == S3Uri(bucket, "key")


def test_uris_are_not_quoted() -> None:
    assert S3Uri.parse("s3://pets/a%20b?c#d") == S3Uri("pets", "a%20b?c#d")
    assert str(S3Uri.parse("https://pets.s3.amazonaws.com/a%20b")) == "s3://pets/a b"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/a",
        "https://s3.amazonaws.com/",
        "https://s3.amazonaws.com",
        "https://pets.s3.amazonaws.com.example.org/a",
        "https://pets.ec2.amazonaws.com/a",
        "http://pets.s3.amazonaws.com/a",
        "s3://",
        "pets/a",
        "",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValidationException, match=r"is no S3 URI; write s3://bucket/prefix"):
        S3Uri.parse(text)
