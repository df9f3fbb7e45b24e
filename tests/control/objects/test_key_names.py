from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.key_names import check_bucket_name, check_key, file_path, is_bucket_name, plain_parts
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
    "key",
    ["a//b", "/a", "/", "//", "a/../b", "./a", "a/..", "../", "a\x00b", "x" * 256, ".clary-keys", "a/.clary-part-1/b"],
)
def test_keys_that_are_no_plain_path(key: str) -> None:
    assert plain_parts(key) is None
    assert check_key(key) == key.encode()


@pytest.mark.parametrize("key", ["a", "a/b/", "a\nb", "...", "ä" * 127, ".clary", "x/.staging", "con", "~"])
def test_keys_that_are_a_plain_path(key: str) -> None:
    assert plain_parts(key) == key.split("/")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "InvalidArgument"),
        ("\udcff", "InvalidArgument"),
        ("x" * 1025, "KeyTooLongError"),
        ("ä" * 513, "KeyTooLongError"),
    ],
)
def test_what_s3_takes_as_no_key(key: str, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_key(key)
    assert caught.value.code == code


@given(st.text(max_size=30))
def test_a_plain_path_stays_below_its_bucket(key: str) -> None:
    parts = plain_parts(key)
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
