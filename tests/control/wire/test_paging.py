"""Tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.wire.errors import ValidationException
from clary.control.wire.paging import decode, encode

POSITIONS = st.lists(st.text() | st.integers() | st.floats(allow_nan=False) | st.none(), max_size=4)


@given(st.text(), POSITIONS)
def test_round_trip(listing, position):
    token = encode(listing, position)
    assert token == encode(listing, position)
    assert decode(listing, token) == position


@given(st.text(max_size=40))
def test_other_tokens_are_refused(token):
    with pytest.raises(ValidationException, match="Invalid NextToken"):
        decode("ListModels", token)


def test_a_token_of_another_listing_is_refused():
    with pytest.raises(ValidationException):
        decode("ListModels", encode("ListEndpoints", [1]))


@given(st.data())
def test_a_changed_token_is_refused(data):
    token = encode("ListModels", ["name", 3])
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("abcdefXYZ019-_").filter(lambda c: c != token[place]))
    changed = token[:place] + other + token[place + 1 :]
    try:
        assert decode("ListModels", changed) == ["name", 3]  # bits of the last character that say nothing
        assert place == len(token) - 1
    except ValidationException:
        pass
