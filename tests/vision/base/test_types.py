from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.vision.base.types import Blob, Dataset, Prediction, Problem, Sample


def test_a_blob_is_a_file_or_a_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert Blob(path).read() == b"0123456789"
    assert Blob(path, 3).read() == b"3456789"
    assert Blob(path, 3, 4).read() == b"3456"
    assert Blob(path, 8, 100).read() == b"89"
    assert (str(Blob(path)), str(Blob(path, 3, 4))) == (str(path), f"{path}@3")


def test_a_blob_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    blob = Blob(path, 1, 2, ((5, 1), (7, 3)))
    assert blob.read() == b"125789"
    assert blob.size == 6
    assert (Blob(path).size, Blob(path, 3).size, Blob(path, 3, 4).size) == (10, 7, 4)


def test_counts() -> None:
    samples = tuple(Sample(Blob(Path("x")), classes) for classes in ((0,), (2,), (0, 2), ()))
    data = Dataset(Path("."), "memory", ("a", "b", "c"), {"train": samples, "test": ()}, multi_label=True)
    assert data.counts("train") == [2, 0, 2]
    assert data.counts("test") == [0, 0, 0]
    assert len(data) == 4


def test_other_splits_leave_the_data_set(tmp_path: Path) -> None:
    data = Dataset(tmp_path, "memory", ("a",), {"train": (Sample(Blob(tmp_path), (0,)),)})
    other = data.with_splits({"train": [], "validation": list(data.splits["train"])})
    assert (len(data.splits["train"]), len(other.splits["validation"])) == (1, 1)
    assert isinstance(other.splits["validation"], tuple)
    assert len(repr(data)) < 300


@given(st.text(), st.text(), st.text())
def test_a_problem_is_one_printable_line(where: str, what: str, hint: str) -> None:
    assert str(Problem(where, what, hint)).isprintable()


def test_problems() -> None:
    assert str(Problem("a.jpg", "is empty", "remove it")) == "a.jpg: is empty; remove it"
    assert str(Problem("a.jpg", "is empty")) == "a.jpg: is empty"


class TestPrediction:
    scores = np.array([0.1, 0.6, 0.2, 0.1], dtype=np.float32)

    def test_best(self) -> None:
        found = Prediction(self.scores, ("a", "b", "c", "d"))
        assert found.label == "b"
        assert found.score == pytest.approx(0.6)

    def test_top_with_equal_scores_in_order(self) -> None:
        found = Prediction(self.scores, ("a", "b", "c", "d"))
        assert [name for name, _ in found.top(9)] == ["b", "c", "a", "d"]
        assert [name for name, _ in found.top(2)] == ["b", "c"]
