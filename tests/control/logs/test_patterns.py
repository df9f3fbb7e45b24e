"""Filter patterns of CloudWatch Logs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.logs.patterns import compile_pattern
from clary.control.wire.errors import ServiceError


@pytest.mark.parametrize(
    ("pattern", "message", "matches"),
    [
        ("", "anything", True),
        ("  ", "anything", True),
        ("ERROR", "an ERROR here", True),
        ("ERROR", "an error here", False),
        ("ERROR disk", "disk: ERROR", True),
        ("ERROR disk", "ERROR", False),
        ('"disk full"', "the disk full again", True),
        ('"disk full"', "full disk", False),
        (r'"a \"b\" \\ c"', r'so a "b" \ c', True),
        ("ERROR -Exiting", "ERROR", True),
        ("ERROR -Exiting", "ERROR Exiting", False),
        ('-"two words"', "two words", False),
        ('-"two words"', "two", True),
        ("?ERROR ?WARN", "a WARN", True),
        ("?ERROR ?WARN", "an INFO", False),
        ("?ERROR ?WARN -disk", "a WARN of disk", False),
        ("validation:accuracy=0.9", "Epoch[3] validation:accuracy=0.95", True),
        ("a-b", "a-b", True),
        ("-", "a-b", True),
        ("?", "a", False),
    ],
)
def test_patterns(pattern: str, message: str, matches: bool) -> None:
    assert compile_pattern(pattern)(message) is matches


@pytest.mark.parametrize("pattern", ['{ $.x = "y" }', "[ip, user]", "%a+%", '"open', 'a"b"', '""x', '-"open'])
def test_what_is_refused(pattern: str) -> None:
    with pytest.raises(ServiceError, match="Invalid filter pattern") as caught:
        compile_pattern(pattern)
    assert caught.value.code == "InvalidParameterException"


@given(pattern=st.text(alphabet='ab?-"\\ %{[', max_size=20) | st.text(max_size=20), message=st.text(max_size=20))
def test_any_pattern_compiles_or_is_refused(pattern: str, message: str) -> None:
    with contextlib.suppress(ServiceError):
        compile_pattern(pattern)(message)


@given(phrase=st.text(max_size=20), message=st.text(max_size=20))
def test_a_quoted_phrase_is_found_as_it_is(phrase: str, message: str) -> None:
    quoted = '"' + phrase.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert compile_pattern(quoted)(message) is (phrase in message)
    assert compile_pattern(quoted)(f"x{phrase}y") is True
