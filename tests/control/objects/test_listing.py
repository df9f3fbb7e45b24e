"""Lists, as boto3 reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clary.control.objects.local import LocalStore

KEYS = ["a", "b/1", "b/2", "b/c/3", "b/c/4", "b-", "d e/ü", "z&<%41"]
ORDER = sorted(KEYS, key=str.encode)


@pytest.fixture(autouse=True)
def _filled(s3: Any, store: LocalStore) -> None:
    for key in KEYS:
        path = store.root / "box" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)


def listed(pages: Any) -> tuple[list[str], list[str]]:
    """Keys and common prefixes of all pages."""
    keys, prefixes = [], []
    for page in pages:
        keys += [each["Key"] for each in page.get("Contents", [])]
        prefixes += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
    return keys, prefixes


def expected(prefix: str, delimiter: str, after: str = "") -> tuple[list[str], list[str]]:
    """What S3's documentation says."""
    keys: list[str] = []
    prefixes: list[str] = []
    for key in ORDER:
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            keys.append(key)
        elif (common := prefix + head + found) not in prefixes:
            prefixes.append(common)
    return keys, prefixes


PREFIXES = st.sampled_from(["", "a", "b", "b/", "b/c", "b/c/", "d e/", "z&", "no", "/", "b//", "../", "b/../"])
DELIMITERS = st.sampled_from(["", "/", "c", "1", "b/", "-"])
AFTER = st.sampled_from(["", *KEYS, "b", "b/", "b/c/", "b/b", "zz", "ü"])


class TestEveryWayOfAsking:
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(PREFIXES, DELIMITERS, AFTER, st.integers(1, 9))
    def test_second_version(self, s3: Any, prefix: str, delimiter: str, after: str, size: int) -> None:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket="box",
            Prefix=prefix,
            Delimiter=delimiter,
            **({"StartAfter": after} if after else {}),
            PaginationConfig={"PageSize": size},
        )
        found = list(pages)
        assert listed(found) == expected(prefix, delimiter, after)
        assert all(page["KeyCount"] <= size for page in found)

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(PREFIXES, DELIMITERS, st.integers(1, 9))
    def test_first_version(self, s3: Any, prefix: str, delimiter: str, size: int) -> None:
        pages = s3.get_paginator("list_objects").paginate(
            Bucket="box", Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        assert listed(pages) == expected(prefix, delimiter)


class TestAnswer:
    def test_says_what_was_asked(self, s3: Any) -> None:
        answer = s3.list_objects_v2(Bucket="box", Prefix="d e/", Delimiter="/", MaxKeys=5, StartAfter="a b")
        assert (answer["Name"], answer["Prefix"], answer["Delimiter"]) == ("box", "d e/", "/")
        assert (answer["MaxKeys"], answer["StartAfter"], answer["IsTruncated"]) == (5, "a b", False)

    def test_etags_are_those_of_the_objects(self, s3: Any) -> None:
        s3.put_object(Bucket="box", Key="a", Body=b"1")
        for each in s3.list_objects(Bucket="box")["Contents"]:
            head = s3.head_object(Bucket="box", Key=each["Key"])
            assert (each["ETag"], each["Size"]) == (head["ETag"], head["ContentLength"])

    def test_no_keys_asked_for(self, s3: Any) -> None:
        answer = s3.list_objects_v2(Bucket="box", MaxKeys=0)
        assert (answer["KeyCount"], answer["IsTruncated"]) == (0, False)

    def test_a_page_holds_a_thousand_keys_at_most(self, s3: Any, store: LocalStore) -> None:
        folder = store.root / "box" / "many"
        folder.mkdir()
        for n in range(1001):
            (folder / f"{n:04}").touch()
        answer = s3.list_objects_v2(Bucket="box", Prefix="many/", MaxKeys=5000)
        assert (answer["KeyCount"], answer["MaxKeys"], answer["IsTruncated"]) == (1000, 1000, True)
        token = answer["NextContinuationToken"]
        assert s3.list_objects_v2(Bucket="box", Prefix="many/", ContinuationToken=token)["KeyCount"] == 1

    def test_names_xml_cannot_hold(self, s3: Any, store: LocalStore) -> None:
        (store.root / "box" / "tab\tbell\x07").touch()
        assert s3.list_objects_v2(Bucket="box", Prefix="tab")["Contents"][0]["Key"] == "tab\tbell\x07"

    @pytest.mark.parametrize(
        "query", ["max-keys=x", "max-keys=-1", "list-type=2&continuation-token=%20!", "encoding-type=hex"]
    )
    def test_wrong_questions(self, url: str, raw: Callable[..., Any], query: str) -> None:
        answer = raw(url, "GET", f"/box?{query}")
        assert (answer.status, answer.code) == (400, "InvalidArgument")
