from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import AlgorithmError, CustomerError, DataError
from clary.vision import formats
from clary.vision.base import pipes
from clary.vision.base.boxes import label_width
from clary.vision.base.jobdir import Channel
from clary.vision.base.recordio import MAGIC, ImageRecord, frame, pack
from clary.vision.base.types import Box, Dataset, Problem
from clary.vision.formats._vectors import vector_of, vector_to_boxes
from clary.vision.formats.recordio import RecordIO

Jpeg = Callable[..., bytes]


def rec(path: Path, *records: ImageRecord, extra: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(frame(pack(record)) for record in records) + extra)
    return path


def errors(dataset: Dataset) -> list[Problem]:
    return [problem for problem in dataset.problems if problem.severity == "error"]


def one_label(label: float, image: bytes, id: int = 0) -> ImageRecord:
    return ImageRecord((label,), id, image)


def vector(labels: list[float], image: bytes) -> ImageRecord:
    return ImageRecord(tuple(labels), 0, image, vector=True)


class TestClassification:
    def test_single_labels_also_as_vectors_of_one(self, tmp_path: Path, jpeg: Jpeg) -> None:
        two = ImageRecord((1.0,), 7, jpeg(seed=2), vector=True)
        rec(tmp_path / "train.rec", one_label(0, jpeg(seed=1)), two)
        data = formats.read(tmp_path)
        assert (data.task, data.multi_label, data.problems) == ("classification", False, ())
        assert [sample.classes for sample in data.splits["train"]] == [(0,), (1,)]
        assert data.splits["train"][1].image.read() == jpeg(seed=2)
        assert data.splits["train"][0].source == "train.rec record 0 at byte 0"

    def test_a_picture_that_holds_the_magic_is_whole_again(self, tmp_path: Path) -> None:
        image = b"\xff\xd8" + b"x" * 10 + MAGIC * 3 + b"end"
        rec(tmp_path / "train.rec", one_label(0, image), one_label(1, b"\xff\xd8other"))
        data = formats.read(tmp_path)
        assert [sample.image.read() for sample in data.splits["train"]] == [image, b"\xff\xd8other"]
        assert data.splits["train"][0].image.rest

    def test_a_header_that_holds_the_magic(self, tmp_path: Path) -> None:
        record = ImageRecord((0.0,), int.from_bytes(MAGIC, "little"), b"\xff\xd8picture")
        rec(tmp_path / "train.rec", record, one_label(1, b"\xff\xd8other"))
        data = formats.read(tmp_path)
        assert data.problems == ()
        assert data.splits["train"][0].image.read() == b"\xff\xd8picture"

    def test_other_multi_label_values_are_taken_as_there(self, tmp_path: Path, jpeg: Jpeg) -> None:
        """Counts, as one of AWS's own notebooks packs them; a 2 in front is no box's header."""
        labels: list[list[float]] = [[2, 0, 1], [1, 0.5, 0], [0, 0, 1]]
        rec(tmp_path / "train.rec", *(vector(found, jpeg(seed=n)) for n, found in enumerate(labels)))
        data = formats.read(tmp_path)
        assert (data.task, data.multi_label) == ("classification", True)
        assert [sample.classes for sample in data.splits["train"]] == [(0, 2), (0, 1), (2,)]
        assert [str(problem) for problem in data.problems if problem.left_out == 0] == [
            "train.rec: has other multi-label values than 0 and 1 in 2 records (2, 0.5); they are taken as 1, there"
        ]

    def test_multi_label(self, tmp_path: Path, jpeg: Jpeg) -> None:
        rec(tmp_path / "train.rec", vector([1, 0, 1], jpeg(seed=1)), vector([0, 0, 0], jpeg(seed=2)))
        data = formats.read(tmp_path)
        assert data.multi_label
        assert data.class_names == ("0", "1", "2")
        assert [sample.classes for sample in data.splits["train"]] == [(0, 2), ()]

    @pytest.mark.parametrize(
        ("records", "said"),
        [
            ([one_label(1.5, b"x")], "has the class id 1.5, which is not a whole number; class ids are 0, 1, 2"),
            ([one_label(-1, b"x")], "has the class id -1, which is negative"),
            ([one_label(float("nan"), b"x")], "has the class id nan"),
            ([one_label(1e9, b"x")], "which is unknown: class ids run from 0 to 99999"),
            ([vector([1, 0, 1], b"x")], "has 3 labels, not 1; set multi_label to 1"),
            ([one_label(1, b"")], "holds no picture"),
        ],
    )
    def test_records_that_cannot_be_used_are_named(
        self, tmp_path: Path, jpeg: Jpeg, records: list[ImageRecord], said: str
    ) -> None:
        first = one_label(0, jpeg(seed=1))
        rec(tmp_path / "train.rec", first, *records, one_label(1, jpeg(seed=2)))
        data = formats.read(tmp_path)
        [problem] = data.problems
        assert problem.where == f"train.rec record 1 at byte {len(frame(pack(first)))}"
        assert said in str(problem)
        assert len(data) == 2

    def test_a_payload_too_short_for_its_labels(self, tmp_path: Path) -> None:
        payload = struct.pack("<IfQQ", 1000, 0, 0, 0) + b"1234"
        (tmp_path / "train.rec").write_bytes(frame(payload) + frame(b"short"))
        told = [problem.what for problem in formats.read(tmp_path).problems]
        assert told[0] == "says it has 1,000 labels, more than its 28 bytes hold"
        assert told[1] == "holds 5 bytes, too few for an image record"


class TestDetection:
    def test_extra_header_and_difficult_objects(self, tmp_path: Path, jpeg: Jpeg) -> None:
        labels = [4, 6, 640, 480, 1, 0.25, 0.5, 0.75, 1.0, 1]
        rec(tmp_path / "train.rec", vector(labels, jpeg()), vector([2, 5], jpeg(seed=1)))
        data = formats.read(tmp_path)
        assert (data.task, data.problems) == ("detection", ())
        assert data.splits["train"][0].boxes == (Box(1, 16, 24, 48, 48, difficult=True),)
        assert data.splits["train"][1].boxes == ()
        assert data.class_names == ("0", "1")

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ([1.0], "Not enough annotation packed in the list file or the RecordIO file."),
            ([2, 4, 0, 0.1, 0.1, 0.5], "Each object requires at least five numbers [label_id, xmin, ymin, ymax]"),
            ([9, 5, 0.1], "has a label of 3 numbers whose header size is 9"),
            ([2, 5, 0, 0.1, 0.1, 0.5], "has 4 numbers after its header, not a multiple of the 5 each object has"),
            ([2, 5, 0, 0.5, 0.1, 0.4, 0.9], "object 0 has an inverted box"),
            ([2, 5, 0, 0.5, 0.1, 0.5, 0.9], "object 0 has a box of zero area"),
            ([2, 5, 0, 10, 10, 40, 40], "corners are fractions 0..1, not pixels"),
            ([2, 5, -1, 0.1, 0.1, 0.4, 0.4], "object 0 has the class id -1, which is negative"),
            ([2, 5, 0.5, 0.1, 0.1, 0.4, 0.4], "which is not a whole number"),
        ],
    )
    def test_vectors_that_cannot_be_used(self, tmp_path: Path, jpeg: Jpeg, labels: list[float], said: str) -> None:
        good = vector([2, 5, 0, 0.1, 0.1, 0.5, 0.5], jpeg(seed=1))
        rec(tmp_path / "train.rec", good, vector(labels, jpeg()))
        data = formats.read(tmp_path, task="detection")
        [problem] = errors(data)
        assert problem.where.startswith("train.rec record 1 at byte ")
        assert said in str(problem)

    def test_a_picture_without_a_size(self, tmp_path: Path, jpeg: Jpeg) -> None:
        labels = [2, 5, 0, 0.1, 0.1, 0.5, 0.5]
        rec(tmp_path / "train.rec", vector(labels, jpeg()), vector(labels, b"no picture at all"))
        [problem] = errors(formats.read(tmp_path))
        assert "what it holds is not a picture" in str(problem)

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 50), st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.01, 1), st.floats(0.01, 1),
                st.booleans(),
            ),
            max_size=5,
        )
    )  # fmt: skip
    def test_any_boxes_survive_a_vector(self, drawn: list[tuple[int, float, float, float, float, bool]]) -> None:
        boxes = tuple(
            Box(c, 640 * x, 480 * y, 640 * (x + (1 - x) * w), 480 * (y + (1 - y) * h), hard)
            for c, x, y, w, h, hard in drawn
        )
        back, faults = vector_to_boxes(vector_of(boxes, 640, 480), (640, 480))
        assert faults == []
        assert len(vector_of(boxes, 640, 480)) == label_width(boxes)
        assert [(b.class_id, b.difficult) for b in back] == [(b.class_id, b.difficult) for b in boxes]
        for one, other in zip(back, boxes, strict=True):
            assert all(abs(getattr(one, s) - getattr(other, s)) < 1e-9 for s in ("xmin", "ymin", "xmax", "ymax"))

    @settings(max_examples=200)
    @given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), max_size=14))
    def test_any_numbers(self, labels: list[float]) -> None:
        try:
            boxes, faults = vector_to_boxes(labels, (64, 48))
        except DataError:
            return
        assert all(0 <= b.xmin < b.xmax <= 64 and 0 <= b.ymin < b.ymax <= 48 for b in boxes)
        assert all("\n" not in what for what, _ in faults)


class TestDamage:
    def test_a_truncated_file(self, tmp_path: Path, jpeg: Jpeg) -> None:
        path = rec(tmp_path / "train.rec", *(one_label(n % 2, jpeg(seed=n)) for n in range(3)))
        start = len(frame(pack(one_label(0, jpeg(seed=0))))) + len(frame(pack(one_label(1, jpeg(seed=1)))))
        path.write_bytes(path.read_bytes()[: start + 500])
        [problem] = formats.read(tmp_path).problems
        assert str(problem).startswith(f"train.rec record 2 at byte {start}: is cut off: 492 of ")

    def test_a_file_of_something_else(self, tmp_path: Path, jpeg: Jpeg) -> None:
        (tmp_path / "train.rec").write_bytes(jpeg())
        first = formats.read(tmp_path).problems[0]
        assert str(first).startswith("train.rec record 0 at byte 0: begins with ff d8 ff e0, not with the magic")

    @pytest.mark.parametrize(
        ("index", "said"),
        [
            ("0\t0\n1\t99\n", "train.idx:2: has record 1 at byte 99, in train.rec it is at byte 40"),
            ("0\t0\n", "train.idx:1: lists 1 records, train.rec holds 2"),
            ("0\t0\n1\t40\n2\t80\n", "train.idx:3: lists 3 records, train.rec holds 2"),
            ("0 0\n1 40\n", "train.idx:1: is '0 0', not key, tab, byte offset"),
        ],
    )
    def test_an_index_that_does_not_match(self, tmp_path: Path, index: str, said: str) -> None:
        rec(tmp_path / "train.rec", one_label(0, b"\xff\xd8abcdef"), one_label(1, b"\xff\xd8ab"))
        (tmp_path / "train.idx").write_text(index)
        [problem] = formats.read(tmp_path).problems
        assert str(problem).startswith(said)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        (tmp_path / "train.rec").touch()
        assert str(formats.read(tmp_path).problems[0]) == "train.rec: is empty; pack it again"

    def test_fewer_names_than_classes(self, tmp_path: Path) -> None:
        rec(tmp_path / "train.rec", one_label(0, b"\xff\xd8ab"), one_label(2, b"\xff\xd8cd"))
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
        data = formats.read(tmp_path)
        assert data.class_names == ("cat", "dog", "2")
        assert str(data.problems[0]).startswith(
            "classes.txt: has 2 names, the records have class ids up to 2, first train.rec record 1 at byte 36; add the"
        )


class TestChannels:
    def channels(self, root: Path, mode: str = "File") -> dict[str, Channel]:
        return {n: Channel(n, root / n, "application/x-recordio", mode) for n in ("train", "validation")}

    def read(self, channels: dict[str, Channel], **more: object) -> Dataset:
        options: dict[str, object] = {"task": "classification", "num_classes": 2, "multi_label": False} | more
        return RecordIO().read_channels(channels, **options)  # type: ignore[arg-type]

    def test_files(self, tmp_path: Path, jpeg: Jpeg) -> None:
        for name in ("train", "validation"):
            rec(tmp_path / name / "any.rec", one_label(0, jpeg(seed=1)), one_label(1, jpeg(seed=2)))
            (tmp_path / name / "any.idx").write_text("nonsense, and not looked at")
        data = self.read(self.channels(tmp_path))
        assert data.problems == ()
        assert {split: len(found) for split, found in data.splits.items()} == {"train": 2, "validation": 2}
        assert data.splits["validation"][1].source.startswith("validation/any.rec record 1 at byte ")

    def test_more_classes_than_records_show(self, tmp_path: Path, jpeg: Jpeg) -> None:
        rec(tmp_path / "train/a.rec", one_label(0, jpeg(seed=1)), one_label(1, jpeg(seed=2)))
        channels = {"train": self.channels(tmp_path)["train"]}
        assert self.read(channels, num_classes=5).class_names == ("0", "1", "2", "3", "4")

    def test_damage_ends_the_job_in_the_words_of_the_original(self, tmp_path: Path, jpeg: Jpeg) -> None:
        for name in ("train", "validation"):
            rec(tmp_path / name / "a.rec", one_label(0, jpeg(seed=1)), extra=MAGIC)
        with pytest.raises(DataError) as caught:
            self.read(self.channels(tmp_path))
        text = "Unable to parse record. Please make sure input data is in correct recordio format. "
        assert str(caught.value).startswith(f"{text}train/a.rec record 1 at byte ")

    def test_no_file_or_two_or_an_empty_one(self, tmp_path: Path) -> None:
        (tmp_path / "train").mkdir()
        with pytest.raises(CustomerError, match=r"The train channel holds no \.rec files"):
            self.read(self.channels(tmp_path))
        (tmp_path / "train/a.rec").touch()
        with pytest.raises(DataError, match=r"Unable to start training. Empty \.rec file in train channel\."):
            self.read(self.channels(tmp_path))
        (tmp_path / "train/b.rec").touch()
        with pytest.raises(CustomerError, match=r"The train channel holds 2 \.rec files"):
            self.read(self.channels(tmp_path))

    def test_pipes(self, tmp_path: Path, jpeg: Jpeg) -> None:
        writers = []
        for name in ("train", "validation"):
            data = rec(tmp_path / f"{name}.bytes", one_label(0, jpeg(seed=1)), one_label(1, jpeg(seed=2))).read_bytes()
            os.mkfifo(tmp_path / f"{name}_0")
            writers.append(threading.Thread(target=(tmp_path / f"{name}_0").write_bytes, args=(data,)))
        for writer in writers:
            writer.start()
        found = self.read(self.channels(tmp_path, "Pipe"))
        for writer in writers:
            writer.join(10)
        assert found.problems == ()
        assert [sample.image.read() for sample in found.splits["validation"]] == [jpeg(seed=1), jpeg(seed=2)]
        assert found.splits["train"][0].source == "train record 0 at byte 0"

    def test_a_pipe_that_sends_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "train_0").touch()
        with pytest.raises(DataError, match="Got empty batch from pipe"):
            self.read(self.channels(tmp_path, "Pipe"))

    def test_a_pipe_that_does_not_appear(self, tmp_path: Path) -> None:
        with pytest.raises(AlgorithmError, match="The pipe of the train channel did not appear"):
            pipes.spooled(self.channels(tmp_path, "Pipe")["train"], patience=0)


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_no_picture_is_copied_to_read_a_set(tmp_path: Path, jpeg: Jpeg, task: str) -> None:
    """A sample is a place in the packed file."""
    labels = (1.0,) if task == "classification" else (2.0, 5.0, 1.0, 0.0, 0.0, 1.0, 1.0)
    records = [ImageRecord(labels, n, jpeg(seed=n), vector=len(labels) > 1) for n in range(4)]
    path = rec(tmp_path / "train.rec", *records)
    samples = formats.read(tmp_path).splits["train"]
    assert {sample.image.path for sample in samples} == {path}
    assert [sample.image.read() for sample in samples] == [jpeg(seed=n) for n in range(4)]
