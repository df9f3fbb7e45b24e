"""Points in time."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.wire import timestamps

WHEN = datetime(2024, 5, 6, 7, 8, 9, 120_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["1714979289.12", "2024-05-06T07:08:09.120Z", "2024-05-06T09:08:09.120+02:00", "2024-05-06T07:08:09.120"],
)
def test_parse(text):
    assert timestamps.parse(text) == WHEN


def test_parse_http_date():
    assert timestamps.parse("Mon, 06 May 2024 07:08:09 GMT") == WHEN.replace(microsecond=0)


@given(st.text(max_size=20) | st.sampled_from(["nan", "inf", "1e400", "-1e300", "9999999999999", "0000-00-00", ""]))
def test_what_is_no_time_is_a_value_error(text):
    with suppress(ValueError):
        assert timestamps.parse(text).tzinfo is not None


@given(st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)))
def test_formats_are_read_back(moment):
    to_the_millisecond = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert timestamps.parse(timestamps.format_iso(to_the_millisecond)) == to_the_millisecond


def test_formats():
    berlin = WHEN.astimezone(timezone(timedelta(hours=2)))
    for value in (WHEN, WHEN.timestamp(), WHEN.replace(tzinfo=None), berlin):
        assert timestamps.format_iso(value) == "2024-05-06T07:08:09.120Z"
        assert timestamps.format_http(value) == "Mon, 06 May 2024 07:08:09 GMT"
        assert timestamps.epoch(value) == 1714979289.12
    assert timestamps.format_iso(0) == "1970-01-01T00:00:00Z"
