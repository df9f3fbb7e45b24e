from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.conditions import check_conditions, not_modified, parse_copy_range, parse_range
from clary.control.wire.errors import ServiceError

DATE = "Thu, 01 Jan 1970 00:01:40 GMT"  # 100 seconds


@given(st.integers(0, 50), st.integers(0, 60), st.integers(1, 40))
def test_a_range_is_a_slice(start: int, length: int, size: int) -> None:
    data = bytes(range(size))
    text = f"bytes={start}-{start + length}"
    if start >= size:
        with pytest.raises(ServiceError) as caught:
            parse_range(text, size)
        assert caught.value.status == 416
    else:
        found = parse_range(text, size)
        assert found is not None
        assert data[slice(*found)] == data[start : start + length + 1]


@given(st.integers(1, 60), st.integers(1, 40))
def test_a_range_from_the_end(last: int, size: int) -> None:
    assert parse_range(f"bytes=-{last}", size) == (max(0, size - last), size)


@given(st.text(max_size=20))
def test_any_other_text_is_no_range(text: str) -> None:
    try:
        found = parse_range(text, 10)
    except ServiceError:
        return
    assert found is None or 0 <= found[0] < found[1] <= 10


@pytest.mark.parametrize("text", ["bytes=0-1,3-4", "bytes=2-1", "lines=0-1", "bytes=-", "bytes", "", "bytes=a-b"])
def test_what_is_sent_whole(text: str) -> None:
    assert parse_range(text, 10) is None


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_what_lies_beyond(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_range(text, 10)
    assert caught.value.members["headers"] == {"content-range": "bytes */10"}


@pytest.mark.parametrize(
    ("headers", "holds"),
    [
        ({}, True),
        ({"if-match": '"e"'}, True),
        ({"if-match": '"x", "e"'}, True),
        ({"if-match": "*"}, True),
        ({"if-match": '"x"'}, False),
        ({"if-unmodified-since": DATE}, True),
        ({"if-unmodified-since": "Thu, 01 Jan 1970 00:01:39 GMT"}, False),
        ({"if-match": '"e"', "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, True),
    ],
)
def test_preconditions(headers: dict[str, str], holds: bool) -> None:
    if holds:
        check_conditions(headers, "e", 100.5)
    else:
        with pytest.raises(ServiceError) as caught:
            check_conditions(headers, "e", 100.5)
        assert caught.value.status == 412


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, False),
        ({"if-none-match": '"e"'}, True),
        ({"if-none-match": 'W/"e"'}, True),
        ({"if-none-match": '"x"'}, False),
        ({"if-modified-since": DATE}, True),
        ({"if-modified-since": "Thu, 01 Jan 1970 00:01:39 GMT"}, False),
        ({"if-none-match": '"x"', "if-modified-since": DATE}, False),
    ],
)
def test_not_modified(headers: dict[str, str], same: bool) -> None:
    assert not_modified(headers, "e", 100.5) == same


def test_what_is_no_date() -> None:
    with pytest.raises(ServiceError, match="no date"):
        not_modified({"if-modified-since": "yesterday"}, "e", 100)


@pytest.mark.parametrize(("text", "found"), [(None, (0, 5)), ("bytes=0-4", (0, 5)), ("bytes=1-1", (1, 2))])
def test_a_range_to_copy(text: str | None, found: tuple[int, int]) -> None:
    assert parse_copy_range(text, 5) == found


@pytest.mark.parametrize(
    "text", ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=0-2,3-5", "bytes=2-1", ""]
)
def test_what_is_no_range_to_copy(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_copy_range(text, 5)
    assert (caught.value.code, caught.value.status) == ("InvalidArgument", 400)


@pytest.mark.parametrize("text", ["bytes=0-21", "bytes=0-5", "bytes=7-9"])
def test_a_range_to_copy_lies_inside(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_copy_range(text, 5)
    assert (caught.value.code, caught.value.status) == ("InvalidRange", 416)
