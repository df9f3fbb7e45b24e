"""Which bucket a Host header names."""

from __future__ import annotations

import pytest

from clary.control.wire.addressing import bucket_of_host


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("box.localhost", "box"),
        ("box.localhost:4747", "box"),
        ("Box.LocalHost.", "box"),
        ("my.dotted.box.localhost:1", "my.dotted.box"),
        ("box.s3.localhost:4747", "box"),
        ("", ""),
        ("localhost", ""),
        ("localhost:4747", ""),
        ("s3.localhost", ""),
        ("console.localhost:4747", ""),
        ("clary.localhost:4747", ""),
        ("127.0.0.1:4747", ""),
        ("[::1]:4747", ""),
        ("box.example.com", ""),
        ("box.localhost.example.com", ""),
        (".localhost", ""),
        ("../x.localhost", ""),
        ("a" * 100_000 + ".localhost", ""),
    ],
)
def test_which_bucket(host: str, bucket: str) -> None:
    assert bucket_of_host(host) == bucket
