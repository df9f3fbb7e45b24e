from __future__ import annotations

from xml.etree.ElementTree import fromstring

from hypothesis import given
from hypothesis import strategies as st

from clary.control.wire.xml import IMPOSSIBLE, escaped


def read(text: str) -> str | None:
    return fromstring(f"<a>{escaped(text)}</a>").text


def test_every_character_of_the_first_plane_is_read_back() -> None:
    for number in range(1, 0x10000):
        wanted = IMPOSSIBLE.sub("\ufffd", chr(number))
        assert read(chr(number)) == wanted, hex(number)


@given(st.text(st.characters(), min_size=1))
def test_any_text(text: str) -> None:
    assert read(text) == IMPOSSIBLE.sub("\ufffd", text)
