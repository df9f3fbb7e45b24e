from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import DataError
from clary.vision.base.types import Box
from clary.vision.formats._voc import MAX_BYTES, annotation, read_boxes

IDS = {"cat": 0, "dog": 1}


def box(draw: tuple[int, float, float, float, float, bool]) -> Box:
    class_id, x, y, width, height, difficult = draw
    return Box(class_id, x, y, x + width, y + height, difficult)


corner = st.floats(0, 300).map(lambda value: round(value, 2))
extent = st.floats(0.5, 300).map(lambda value: round(value, 2))
boxes = st.tuples(st.integers(0, 1), corner, corner, extent, extent, st.booleans()).map(box)


@settings(max_examples=60, deadline=None)
@given(st.lists(boxes, max_size=4))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, wanted: list[Box]) -> None:
    path = tmp_path_factory.mktemp("voc") / "a.xml"
    path.write_bytes(annotation("a.jpg", 640, 640, wanted, ("cat", "dog")))
    found, problems = read_boxes(path, "a.xml", IDS)
    assert problems == []
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.class_id, one.difficult) == (other.class_id, other.difficult)
        for side in ("xmin", "ymin", "xmax", "ymax"):
            assert abs(getattr(one, side) - getattr(other, side)) < 1e-6


def test_whole_pixels_are_written_as_the_official_files_have_them() -> None:
    text = annotation("a.jpg", 600, 400, [Box(0, 332, 71, 425, 158)], ("cat", "dog")).decode()
    for part in ("<xmin>333</xmin>", "<ymin>72</ymin>", "<xmax>425</xmax>", "<ymax>158</ymax>", "<name>cat</name>"):
        assert part in text


def test_corners_from_zero_are_taken_too(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(annotation("a.jpg", 64, 48, [Box(0, -1, 0, 64, 48)], ("cat", "dog")))
    assert read_boxes(path, "a.xml", IDS) == ((Box(0, 0, 0, 64, 48),), [])


def test_a_file_that_is_no_annotation(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(DataError, match=r"a\.xml: is above 1 MiB, no annotation"):
        read_boxes(path, "a.xml", IDS)
    path.write_bytes(b"<annotation>" + b"<a>" * 80_000 + b"</a>" * 80_000 + b"</annotation>")
    assert read_boxes(path, "a.xml", IDS) == ((), [])
    with pytest.raises(DataError, match="cannot be read"):
        read_boxes(tmp_path / "no.xml", "no.xml", IDS)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 8), junk=st.binary(max_size=20))
def test_mutations_never_raise(tmp_path_factory: pytest.TempPathFactory, seed: int, edits: int, junk: bytes) -> None:
    rng = random.Random(seed)
    data = bytearray(annotation("a.jpg", 64, 48, [Box(0, 1, 2, 30, 40), Box(1, 0, 0, 64, 48)], ("cat", "dog")))
    for _ in range(edits):
        at = rng.randrange(len(data))
        data[at : at + rng.randrange(3)] = rng.choice([b"", b"<", b"&", b"\xff", b"\0", b"-", b"9" * 400, b"e", junk])
    path = tmp_path_factory.mktemp("voc") / "a.xml"
    path.write_bytes(data)
    try:
        found, problems = read_boxes(path, "a.xml", IDS)
    except DataError as error:
        assert str(error).isprintable()  # noqa: PT017
        assert error.where.startswith("a.xml")  # noqa: PT017
        return
    for one in found:
        assert 0 <= one.xmin < one.xmax
        assert 0 <= one.ymin < one.ymax
    assert all(str(problem).isprintable() and problem.where.startswith("a.xml") for problem in problems)
