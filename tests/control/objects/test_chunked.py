from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.objects.chunked import ChunkedDecoder
from clary.control.wire.errors import ServiceError


def framed(pieces: list[bytes], trailers: dict[str, str] | None = None, *, signed: bool = False) -> bytes:
    """``pieces`` as an SDK sends them."""
    extension = b";chunk-signature=" + b"0" * 64 if signed else b""
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    lines = "".join(f"{name}:{value}\r\n" for name, value in (trailers or {}).items())
    return body + b"0" + extension + b"\r\n" + lines.encode() + b"\r\n"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted(min(cut, len(data)) for cut in cuts)
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_any_split_of_the_stream_gives_the_content(
    pieces: list[bytes], cuts: list[int], signed: bool, trailing: bool
) -> None:
    trailers = {"x-amz-checksum-crc32": "AAAAAA=="} if trailing else {}
    decoder = ChunkedDecoder()
    content = b"".join(decoder.feed(part) for part in split(framed(pieces, trailers, signed=signed), cuts))
    assert content == b"".join(pieces)
    assert decoder.finished
    assert decoder.trailers == trailers


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4), st.integers(0, 10_000))
def test_a_stream_that_ends_early_is_not_finished(pieces: list[bytes], place: int) -> None:
    data = framed(pieces)
    decoder = ChunkedDecoder()
    decoder.feed(data[: place % len(data)])
    assert not decoder.finished


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_anything_else_is_refused_or_unfinished_whatever_the_split(data: bytes, cuts: list[int]) -> None:
    def outcome(parts: list[bytes]) -> tuple[bytes, bool] | str:
        decoder = ChunkedDecoder()
        try:
            return b"".join(decoder.feed(part) for part in parts), decoder.finished
        except ServiceError as error:
            return error.code

    whole = outcome([data])
    assert outcome(split(data, cuts)) == whole
    assert isinstance(whole, tuple) or whole == "InvalidRequest"


@pytest.mark.parametrize(
    "data",
    [
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"zz\r\n",
        b"-1\r\n",
        b"\r\n",
        b"3\nabc\r\n",
        b"11111111111111111\r\n",
        b"0\r\n\r\nmore",
        b"0\r\nno trailer\r\n\r\n",
        b"a" * 10_000,
    ],
)
def test_broken_framing_is_refused(data: bytes) -> None:
    with pytest.raises(ServiceError, match="aws-chunked"):
        ChunkedDecoder().feed(data)
