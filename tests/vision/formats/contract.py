"""What every format must do. A new format is tested the day its file appears: see test_contract.py.

A format of another distribution uses the class the same way, with fixtures ``format`` and ``task`` of its own.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clary.errors import ClaryError, DataError, UsageError
from clary.vision import formats
from clary.vision.base.decoding import decode_mask
from clary.vision.base.image_formats import is_image
from clary.vision.base.types import Blob, Box, Dataset, Problem, Sample, TaskName
from clary.vision.datasets.check import check
from clary.vision.formats import FORMATS, Format
from clary.vision.formats._masks import mask_png
from clary.vision.tasks import TASKS

INDEX_FILES = {".txt", ".lst", ".xml", ".json", ".csv", ".manifest", ".yaml"}
NAMES = ("Abyssinian", "american_bulldog", "Bengal")
FIXED_NAMES: dict[tuple[str, TaskName], tuple[str, ...]] = {  # of layouts made for one data set
    ("oxford", "detection"): ("cat", "dog"),
    ("oxford", "segmentation"): ("pet", "background", "border"),
}


def content(dataset: Dataset) -> dict[str, Counter[Any]]:
    """What a data set says, wherever its files lie and in whichever order its classes are."""
    names = dataset.class_names

    def said(sample: Sample) -> tuple[Any, ...]:
        image = _digest(sample.image), tuple(sorted(names[c] for c in sample.classes))
        return (
            *image,
            tuple(_box(box, names if dataset.task == "detection" else None) for box in sample.boxes),
            _mask(sample, dataset.task),
        )

    return {split: Counter(map(said, samples)) for split, samples in dataset.splits.items()}


def _box(box: Box, names: tuple[str, ...] | None) -> tuple[Any, ...]:
    corners = (box.xmin, box.ymin, box.xmax, box.ymax)
    return (names[box.class_id] if names else box.class_id, *(round(corner, 3) for corner in corners), box.difficult)


def _mask(sample: Sample, task: TaskName) -> str:
    if sample.mask and task == "segmentation":
        ids = decode_mask(sample.mask.read(), sample.mask_values)
        return f"{ids.shape} {hashlib.sha1(ids.tobytes()).hexdigest()}"
    return _digest(sample.mask)


def _digest(blob: Blob | None) -> str:
    return hashlib.sha1(blob.read()).hexdigest() if blob else ""


def classes_only(found: dict[str, Counter[Any]]) -> dict[str, Counter[Any]]:
    return {split: Counter(said[:2] for said in samples.elements()) for split, samples in found.items()}


def example_of(
    task: TaskName,
    source: Path,
    image: Callable[[int], bytes],
    counts: tuple[tuple[str, int], ...],
    names: tuple[str, ...] = NAMES,
) -> Dataset:
    """Three classes, two splits; file names that clash and one that is no word. ``picture(seed)``: 64x48 pixels."""
    splits: dict[Any, list[Sample]] = {}
    seed = 0
    for split, count in counts:
        splits[split] = []
        for class_id in range(3):
            for number in range(count):
                seed += 1
                path = source / f"{split}-{class_id}" / ("same.jpg" if number else "with space é.jpg")
                path = path.with_stem(f"{path.stem}{number // 2}")
                path = path if not path.exists() else path.with_suffix(".jpeg")
                path.parent.mkdir(exist_ok=True, parents=True)
                path.write_bytes(image(seed))
                splits[split].append(_sample(task, path, class_id % len(names), number))
    if task == "classification":  # what else is known of it does no harm
        first = splits["train"][0]
        mask = source / "mask.png"
        mask.write_bytes(image(99))
        boxes = (Box(1, 3, 4, 30, 40.5, difficult=True),)
        splits["train"][0] = Sample(first.image, first.classes, boxes, Blob(mask))
    return Dataset(source, "memory", names, {split: tuple(found) for split, found in splits.items()}, task)


def _sample(task: TaskName, path: Path, class_id: int, number: int) -> Sample:
    if task == "classification":
        return Sample(Blob(path), (class_id,))
    if task == "detection":
        boxes = (Box(class_id, 3 + number, 4, 30, 40.5), Box(class_id, 0, 0, 64, 48))[: 2 - number % 3]
        return Sample(Blob(path), (class_id,) if boxes else (), boxes)
    ids = np.full((48, 64), class_id, np.uint8)
    ids[10:20, 5 + number : 30] = 2
    ids[40:, :] = 255
    mask = path.with_name(f"{path.stem}-{path.suffix[1:]}-mask.png")
    table = bytes([0, 10, 1, 2, *([255] * 252)]) if number else None  # every mask but the first has values of its own
    mask.write_bytes(mask_png(np.choose(np.minimum(ids, 3), [0, 2, 3, 255]).astype(np.uint8) if table else ids))
    return Sample(Blob(path), mask=Blob(mask), mask_values=table)


def indices(root: Path) -> list[Path]:
    """The files of a data set that are no pictures, and its packed ones."""
    return [path for path in sorted(root.rglob("*")) if path.is_file() and not is_image(path)]


class FormatContract:
    @pytest.fixture
    def format(self) -> Format:
        raise NotImplementedError("the format under test")

    @pytest.fixture
    def task(self) -> TaskName:
        raise NotImplementedError("the task it is tested for")

    @pytest.fixture
    def names(self, format: Format, task: TaskName) -> tuple[str, ...]:
        return FIXED_NAMES.get((format.name, task), NAMES)

    @pytest.fixture
    def example(self, tmp_path: Path, task: TaskName, names: tuple[str, ...], jpeg: Callable[..., bytes]) -> Dataset:
        source, counts = tmp_path / "source", (("train", 4), ("test", 2))
        return example_of(task, source, lambda seed: jpeg(seed=seed), counts, names)

    @pytest.fixture
    def written(self, format: Format, example: Dataset, tmp_path: Path) -> Path:
        root = tmp_path / "written"
        format.write(example, root)
        return root

    @pytest.fixture
    def small(
        self, format: Format, task: TaskName, names: tuple[str, ...], tmp_path: Path, jpeg: Callable[..., bytes]
    ) -> Path:
        """A written set of three pictures, so that its files are short."""
        example = example_of(task, tmp_path / "tiny", lambda seed: jpeg(seed=seed, quality=5), (("train", 1),), names)
        format.write(example, tmp_path / "small")
        return tmp_path / "small"

    def test_is_described(self, format: Format) -> None:
        assert format.name
        assert format.name == format.name.lower()
        assert format.layout
        assert format.tasks
        assert format.tasks <= set(TASKS.names())

    def test_written_reads_back_equal(self, format: Format, task: TaskName, example: Dataset, written: Path) -> None:
        back = format.read(written, task=task)
        assert back.problems == ()
        assert back.task == task
        assert sorted(back.class_names) == sorted(example.class_names)
        assert back.format == format.name
        got, wanted = content(back), content(example)
        extras = any(sample.boxes or sample.mask for samples in back.splits.values() for sample in samples)
        if task == "classification" and not extras:  # a layout for classes only
            got, wanted = classes_only(got), classes_only(wanted)
        assert got == wanted

    def test_says_what_it_is_for(self, format: Format, task: TaskName, written: Path) -> None:
        told = "classification" if format.name == "oxford" else task  # that layout holds all three at once
        assert format.task_of(written) == told
        assert formats.read(written).task == told

    def test_writing_twice_gives_the_same(self, format: Format, task: TaskName, written: Path, tmp_path: Path) -> None:
        first = format.read(written, task=task)
        format.write(first, tmp_path / "again")
        assert content(format.read(tmp_path / "again", task=task)) == content(first)

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

    def test_every_sample_has_a_source(self, format: Format, task: TaskName, written: Path) -> None:
        sources = [s.source for samples in format.read(written, task=task).splits.values() for s in samples]
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

    def test_other_tasks_and_labels_are_refused(self, format: Format, task: TaskName, written: Path) -> None:
        with pytest.raises(UsageError, match="labels"):
            format.read(written, task=task, labels="no such labels")
        for other in TASKS.names():
            if other not in format.tasks:
                with pytest.raises(UsageError, match=other):
                    format.read(written, task=other)

    def test_a_truncated_index_names_file_and_position(self, format: Format, task: TaskName, written: Path) -> None:
        for path in [path for path in indices(written) if path.suffix in INDEX_FILES and path.name != "classes.txt"]:
            whole = path.read_bytes()
            if not whole.strip():
                continue  # a picture without a box
            self._cut(path)
            where = path.relative_to(written).as_posix()
            found = [problem.where for problem in format.read(written, task=task).problems]
            assert any(place.startswith(f"{where}:") for place in found), (where, found)
            path.write_bytes(whole)

    @pytest.mark.slow  # of all formats and tasks together: thousands of readings
    def test_files_cut_at_every_byte(self, format: Format, task: TaskName, small: Path) -> None:
        """Cut anywhere, a file leaves an error of ours or a named problem, unless a whole line or name is gone."""
        wanted = content(format.read(small, task=task))
        for path in indices(small):
            whole = path.read_bytes()
            for cut in self._cuts(len(whole)):
                path.unlink()  # it may be a hard link
                path.write_bytes(whole[:cut])
                problems, got = self._outcome(format, task, small)
                text_ends = whole[:cut].endswith(b"\n") or whole[cut : cut + 1] == b"\n" or cut == 0
                names = path.name in ("classes.txt", "data.yaml")
                assert problems or got == wanted or text_ends or names, (path.name, cut)
            path.write_bytes(whole)

    def test_any_change_of_a_file_is_survived(self, format: Format, task: TaskName, small: Path) -> None:
        rng = random.Random(4)
        files = indices(small) or [small]
        for _ in range(120 if files[0] != small else 0):
            path = rng.choice(files)
            whole = path.read_bytes()
            path.unlink()
            path.write_bytes(_changed(whole, rng))
            problems, _ = self._outcome(format, task, small)
            assert all(str(problem).isprintable() and len(str(problem)) < 1500 for problem in problems)
            path.write_bytes(whole)

    def test_a_truncated_picture_is_named(
        self, format: Format, task: TaskName, example: Dataset, tmp_path: Path
    ) -> None:
        image = example.splits["train"][-1].image.path
        data = image.read_bytes()
        image.write_bytes(data[: len(data) // 2])
        format.write(example, tmp_path / "written")
        train = format.read(tmp_path / "written", task=task).splits["train"]
        [broken] = [sample for sample in train if sample.image.read() == data[: len(data) // 2]]
        [problem] = check(tmp_path / "written", task=task).errors
        assert broken.source in problem.where or broken.image.path.name in problem.where
        assert "truncated" in problem.what

    def test_reading_opens_no_picture(self, format: Format, task: TaskName, written: Path) -> None:
        if task in format.opens_images:
            pytest.skip("its boxes are fractions, or its pictures are packed")
        for samples in format.read(written, task=task).splits.values():
            for sample in samples:
                sample.image.path.unlink()
                sample.image.path.write_bytes(b"")
        assert len(format.read(written, task=task)) == 18

    def _outcome(
        self, format: Format, task: TaskName, root: Path
    ) -> tuple[list[Problem], dict[str, Counter[Any]] | None]:
        """What reading and checking say; any exception that is not ours fails the test."""
        try:
            found = check(root, task=task)
        except ClaryError as error:
            return [Problem(error.where, error.what, error.hint)], None
        return list(found.problems), content(found.dataset)

    @staticmethod
    def _cuts(length: int) -> Iterator[int]:
        """Every length of a short file; of a longer one the beginning, the end and some between."""
        step = max(1, (length - 160) // 60)
        yield from sorted({*range(min(length, 100)), *range(max(0, length - 60), length), *range(0, length, step)})

    @staticmethod
    def _cut(path: Path) -> None:
        """Leave a quarter of the last line, or of the file where it has no lines."""
        *lines, last = path.read_text().rstrip("\n").split("\n")
        text = "\n".join([*lines, last[: max(2, len(last) // 4)]])
        path.unlink()
        path.write_text(text)


def _changed(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    pool = [
        b"",
        b"\n",
        b"\t",
        b"0",
        b"-",
        b"9" * 30,
        b"nan",
        b'"',
        b"{",
        b"[",
        b"<",
        b"\xff",
        b"\0",
        b"..",
        b"/",
        b"null",
    ]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        changed[at : at + rng.randint(0, 3)] = rng.choice([*pool, rng.randbytes(3)])
    return bytes(changed)
