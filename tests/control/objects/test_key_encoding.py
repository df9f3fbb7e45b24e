from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clary.control.objects.key_encoding import CHUNK, ENCODED, decoded, encoded_names

KEYS = st.binary(min_size=1, max_size=300) | st.text(alphabet="a/.~%+!\0", min_size=1, max_size=300).map(str.encode)
SIDECAR = len("!") + len(f"{5 << 40:x}") + len("-") + len(f"{2**63:x}")  # 5 TiB, the last time there is


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (b"a", "a"),
        (b"a/b", "a+/b"),
        (b"a/", "a+/%"),
        (b"x//y", "x+/+/y"),
        (b"/", "+/%"),
        (b"..", "%2E."),
        (b"./.a/b.c", "%2E+/%2Ea+/b.c"),
        ("é~%+!".encode(), "%C3%A9%7E%25%2B%21"),
        (b"\0\n", "%00%0A"),
        (b"a" * 71, "a" * 70 + "~/a"),
        (b"a" * 70 + b"/b", "a" * 70 + "~/+/b"),
        (ENCODED.encode() + b"/a", "%2Eclary-keys+/a"),
    ],
)
def test_paths(key: bytes, path: str) -> None:
    assert "/".join(encoded_names(key)) == path


@given(KEYS)
@example(b"/" * 1024)
@example(b"\0" * 1024)
@example(b"\0/" * 512)
def test_names_fit_and_lead_back(key: bytes) -> None:
    *folders, last = encoded_names(key)
    for name in (*folders, last):
        assert name.isascii()
        assert name not in ("", ".", "..")
        assert not {"/", "\0", "!"} & set(name)
        assert len(name) + SIDECAR <= 255
    pieces = [decoded(name, is_folder=True) for name in folders]
    assert b"".join(filter(None, [*pieces, decoded(last, is_folder=False)])) == key
    # Of the 4,096 of a path at least 900 are left for where the home is.
    assert len("/".join([*folders, last])) + SIDECAR <= 3.2 * max(len(key), 60)


@given(KEYS, KEYS)
@example(b"a" * CHUNK + b"/", b"a" * CHUNK + b"!")
@example(b"a", b"a/")
def test_no_two_keys_need_one_name(one: bytes, other: bytes) -> None:
    if one != other:
        first, second = encoded_names(one), encoded_names(other)
        assert first != second
        # A file is never where another key has a folder.
        assert first != second[: len(first)]


@pytest.mark.parametrize(
    "name", ["%61", "%zz", "a%", "é", "+", "", ".", "..", ".clary-part-1", "a b", "a!1-2", "a~", "%2e"]
)
def test_names_that_nobody_encoded_are_no_keys(name: str) -> None:
    assert decoded(name, is_folder=False) is None


@pytest.mark.parametrize("name", ["a", "%", "%61+", "", ".", "..", "a!1+"])
def test_folders_that_nobody_encoded_are_no_keys(name: str) -> None:
    assert decoded(name, is_folder=True) is None
