"""What every format must do. A new format is tested the day its file appears: see test_contract.py.

A format of another distribution uses the class the same way, with a ``format`` fixture of its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.errors import ClaryError, DataError, UsageError
from clary.vision import formats
from clary.vision.base.types import Blob, Box, Dataset, Sample
from clary.vision.datasets.check import check
from clary.vision.formats import FORMATS, Format

INDEX_FILES = {".txt", ".lst", ".xml", ".json", ".csv"}


def content(dataset: Dataset) -> dict[str, Counter[Any]]:
    """What a data set says, wherever its files lie and in whichever order its classes are."""

    def names(sample: Sample) -> tuple[str, ...]:
        return tuple(dataset.class_names[c] for c in sample.classes)

    return {
        split: Counter((_digest(s.image), names(s), s.boxes, _digest(s.mask)) for s in samples)
        for split, samples in dataset.splits.items()
    }


def _digest(blob: Blob | None) -> str:
    return hashlib.sha1(blob.read()).hexdigest() if blob else ""


class FormatContract:
    @pytest.fixture
    def format(self) -> Format:
        raise NotImplementedError("the format under test")

    @pytest.fixture
    def example(self, tmp_path: Path, jpeg: Callable[..., bytes], encoded: Callable[..., bytes]) -> Dataset:
        """Three classes, two splits, boxes and a mask; file names that clash and one that is no word."""
        source = tmp_path / "source"
        source.mkdir()
        splits: dict[Any, tuple[Sample, ...]] = {}
        seed = 0
        for split, count in (("train", 4), ("test", 2)):
            samples = []
            for class_id in range(3):
                for number in range(count):
                    seed += 1
                    path = source / f"{split}-{class_id}" / ("same.jpg" if number else "with space é.jpg")
                    path = path.with_stem(f"{path.stem}{number // 2}")
                    path = path if not path.exists() else path.with_suffix(".jpeg")
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(jpeg(seed=seed))
                    samples.append(Sample(Blob(path), (class_id,)))
            splits[split] = tuple(samples)
        mask = source / "mask.png"
        mask.write_bytes(encoded("PNG"))
        first = splits["train"][0]
        boxed = Sample(first.image, first.classes, (Box(1, 3, 4, 30, 40.5, difficult=True),), Blob(mask))
        splits["train"] = (boxed, *splits["train"][1:])
        return Dataset(source, "memory", ("Abyssinian", "american_bulldog", "Bengal"), splits)

    @pytest.fixture
    def written(self, format: Format, example: Dataset, tmp_path: Path) -> Path:
        root = tmp_path / "written"
        format.write(example, root)
        return root

    def test_is_described(self, format: Format) -> None:
        assert format.name
        assert format.name == format.name.lower()
        assert format.layout
        assert format.tasks

    def test_written_reads_back_equal(self, format: Format, example: Dataset, written: Path) -> None:
        back = format.read(written)
        assert back.problems == ()
        assert sorted(back.class_names) == sorted(example.class_names)
        assert back.format == format.name
        got, wanted = content(back), content(example)
        if any(sample.boxes or sample.mask for samples in back.splits.values() for sample in samples):
            assert got == wanted
        else:  # a layout for classes only
            assert {k: Counter(x[:2] for x in v.elements()) for k, v in got.items()} == {
                k: Counter(x[:2] for x in v.elements()) for k, v in wanted.items()
            }

    def test_writing_twice_gives_the_same(self, format: Format, written: Path, tmp_path: Path) -> None:
        first = format.read(written)
        format.write(first, tmp_path / "again")
        assert content(format.read(tmp_path / "again")) == content(first)

    def test_writing_leaves_its_input(self, format: Format, example: Dataset, tmp_path: Path) -> None:
        before = content(example), repr(example.splits)
        format.write(example, tmp_path / "out")
        assert (content(example), repr(example.splits)) == before

    def test_writes_into_empty_folders_only(self, format: Format, example: Dataset, written: Path) -> None:
        before = sorted(written.rglob("*"))
        with pytest.raises(UsageError, match="not empty"):
            format.write(example, written)
        assert sorted(written.rglob("*")) == before

    def test_nothing_is_left_of_a_failed_write(self, format: Format, example: Dataset, tmp_path: Path) -> None:
        example.splits["test"][-1].image.path.unlink()
        with pytest.raises(ClaryError):
            format.write(example, tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]

    def test_every_sample_has_a_source(self, format: Format, written: Path) -> None:
        sources = [s.source for samples in format.read(written).splits.values() for s in samples]
        assert all(sources)
        assert len(set(sources)) == len(sources)

    def test_is_recognised_and_by_itself_only(self, format: Format, written: Path) -> None:
        assert [other.name for other in FORMATS if other.sniff(written)] == [format.name]
        assert formats.detect(written) is format

    def test_foreign_folders_are_refused(self, format: Format, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "text" / "notes").mkdir(parents=True)
        (tmp_path / "text" / "notes" / "a.txt").write_text("hello")
        (tmp_path / "file").write_text("hello")
        for name in ("empty", "text", "file", "missing"):
            assert not format.sniff(tmp_path / name), name
            with pytest.raises(DataError):
                format.read(tmp_path / name)

    def test_other_tasks_and_labels_are_refused(self, format: Format, written: Path) -> None:
        with pytest.raises(UsageError, match="labels"):
            format.read(written, labels="no such labels")
        for task in ("classification", "detection", "segmentation"):
            if task not in format.tasks:
                with pytest.raises(UsageError, match=task):
                    format.read(written, task=task)

    def test_a_truncated_index_names_file_and_position(self, format: Format, written: Path) -> None:
        indices = [path for path in written.rglob("*") if path.suffix in INDEX_FILES]
        for path in indices:
            whole = path.read_bytes()
            self._cut(path)
            where = path.relative_to(written).as_posix()
            found = [problem.where for problem in format.read(written).problems]
            assert any(place.startswith(f"{where}:") for place in found), (where, found)
            path.write_bytes(whole)

    def test_a_truncated_picture_is_named(self, format: Format, written: Path) -> None:
        picture = format.read(written).splits["train"][-1].image.path
        data = picture.read_bytes()
        picture.unlink()  # it may be a hard link
        picture.write_bytes(data[: len(data) // 2])
        [problem] = check(written).errors
        assert picture.relative_to(written).as_posix() in problem.where
        assert "truncated" in problem.what

    def test_reading_opens_no_picture(self, format: Format, written: Path) -> None:
        for samples in format.read(written).splits.values():
            for sample in samples:
                sample.image.path.unlink()
                sample.image.path.write_bytes(b"")
        assert len(format.read(written)) == 18

    @staticmethod
    def _cut(path: Path) -> None:
        """Leave a quarter of the last line, or of the file where it has no lines."""
        *lines, last = path.read_text().rstrip("\n").split("\n")
        text = "\n".join([*lines, last[: max(2, len(last) // 4)]])
        path.unlink()
        path.write_text(text)
