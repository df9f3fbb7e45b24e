"""When a presigned address ends."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.wire.presigned import end_of

DATE = "20240506T070809Z"
SIGNED = 1714979289.0


def test_version_4():
    assert end_of({"X-Amz-Date": DATE, "X-Amz-Expires": "60"}) == SIGNED + 60
    assert end_of({"X-Amz-Date": DATE}, default="900") == SIGNED + 900
    assert end_of({"X-Amz-Date": DATE, "X-Amz-Expires": "604800"}) == SIGNED + 604_800


def test_version_2():
    assert end_of({"Expires": "1714979289", "Signature": "x"}) == SIGNED


@pytest.mark.parametrize("query", [{}, {"Expires": "1"}, {"X-Amz-Date": DATE}])
def test_what_is_not_presigned(query):
    assert end_of(query) is None


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"X-Amz-Expires": "60"}, "must be a time and a number"),
        ({"X-Amz-Date": "yesterday", "X-Amz-Expires": "60"}, "must be a time and a number"),
        ({"X-Amz-Date": DATE, "X-Amz-Expires": ""}, "must be a time and a number"),
        ({"X-Amz-Date": DATE, "X-Amz-Expires": "0"}, "between 1 and 604800 seconds"),
        ({"X-Amz-Date": DATE, "X-Amz-Expires": "604801"}, "between 1 and 604800 seconds"),
        ({"Expires": "soon", "Signature": "x"}, "seconds since epoch"),
        ({"Expires": "²", "Signature": "x"}, "seconds since epoch"),
    ],
)
def test_what_is_no_end(query, why):
    with pytest.raises(ValueError, match=why):
        end_of(query)


@given(st.dictionaries(st.sampled_from(["X-Amz-Date", "X-Amz-Expires", "Expires", "Signature"]), st.text(max_size=30)))
def test_nothing_but_value_errors(query):
    with suppress(ValueError):
        end_of(query)
