from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.key_names import check_bucket_name, check_key, file_path, is_bucket_name, key_parts
from clary.control.wire.errors import ServiceError


@pytest.mark.parametrize("name", ["abc", "sagemaker-us-east-1-000000000000", "a.b.c", "0ab", "a" * 63, "a--b"])
def test_names_of_buckets(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ab",
        "a" * 64,
        "Abc",
        "a_b",
        "-ab",
        "ab-",
        ".ab",
        "ab.",
        "a..b",
        "a.-b",
        "192.168.0.1",
        "a/b",
        "abc\n",
        "äbc",
    ],
)
def test_no_names_of_buckets(name: str) -> None:
    assert not is_bucket_name(name)
    with pytest.raises(ServiceError) as caught:
        check_bucket_name(name)
    assert caught.value.code == "InvalidBucketName"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("a//b", "`` is no name"),
        ("/a", "`` is no name"),
        ("", "`` is no name"),
        ("/", "`` is no name"),
        ("a/../b", r"`\.\.`"),
        ("./a", r"`\.`"),
        ("a/..", r"`\.\.`"),
        ("../", r"`\.\.`"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("x" * 256, "255"),
        ("\udcff", "UTF-8"),
    ],
)
def test_keys_no_file_can_have(key: str, why: str) -> None:
    assert key_parts(key) is None
    with pytest.raises(ServiceError, match=why) as caught:
        check_key(key)
    assert caught.value.code == "InvalidArgument"


def test_a_key_longer_than_s3_allows() -> None:
    with pytest.raises(ServiceError) as caught:
        check_key("/".join(["x" * 100] * 11))
    assert caught.value.code == "KeyTooLongError"


@given(st.text(max_size=30))
def test_a_key_that_passes_stays_below_its_bucket(key: str) -> None:
    parts = key_parts(key)
    if parts is None:
        return
    path = Path("/bucket").joinpath(*filter(None, parts))
    assert os.path.normpath(path) == str(path)
    assert path.is_relative_to("/bucket")
    assert path != Path("/bucket")
    assert "/".join(parts) == key


@pytest.mark.parametrize(
    ("name", "path"),
    [("a", "a"), ("a//b/", "a/b"), ("/a", "a"), ("a\nb", "a\nb"), ("...", "..."), ("ä" * 127, "ä" * 127)],
)
def test_what_lies_below_a_prefix_as_a_file(name: str, path: str) -> None:
    assert file_path(name) == path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("/", "empty"),
        ("a/../b", "no name between slashes"),
        ("./a", "no name between slashes"),
        ("a\0", "control character"),
        ("x/" + "a" * 256, "longer than 255 bytes"),
        ("\ud800", "no valid UTF-8"),
    ],
)
def test_what_no_file_can_be(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        file_path(name)
