from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.object_parts import pack, unpack


@given(st.lists(st.tuples(st.integers(0, 5 << 30), st.binary(min_size=4, max_size=4)), max_size=20), st.booleans())
def test_what_was_packed_is_unpacked(parts: list[tuple[int, bytes]], summed: bool) -> None:
    given_parts = [(size, digest if summed else b"") for size, digest in parts]
    found = unpack(pack(given_parts))
    assert [(part.size, part.digest) for part in found] == given_parts
    assert [part.start for part in found] == [sum(size for size, _ in parts[:place]) for place in range(len(parts))]


def test_the_sizes_of_ten_thousand_parts_are_a_few_characters() -> None:
    assert len(pack([(8 << 20, b"")] * 9999 + [(1, b"")])) < 30
