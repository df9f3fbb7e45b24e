from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import CustomerError, DataError
from clary.vision import formats
from clary.vision.base.jobdir import Channel
from clary.vision.base.recordio import frame
from clary.vision.base.types import Box, Dataset
from clary.vision.formats._manifest import LabelFormat, classes_in, label_format
from clary.vision.formats._manifest_stream import read_records
from clary.vision.formats._masks import mask_png
from clary.vision.formats.augmented_manifest import AugmentedManifest

Jpeg = Callable[..., bytes]


@pytest.fixture
def root(tmp_path: Path, jpeg: Jpeg) -> Path:
    """Pictures a.jpg to d.jpg."""
    for seed, name in enumerate("abcd"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(seed=seed))
    return tmp_path


def write(root: Path, *lines: dict[str, Any] | str, name: str = "train.manifest") -> None:
    (root / name).write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))


def told(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "error"]


class TestGroundTruth:
    """What labelling jobs of Ground Truth write."""

    def test_single_label(self, root: Path) -> None:
        kind = {"type": "groundtruth/image-classification", "confidence": 0.9, "human-annotated": "yes"}
        write(
            root,
            {"source-ref": "s3://bucket/pets/a.jpg", "job": 1, "job-metadata": {**kind, "class-name": "dog"}},
            {"source-ref": "s3://bucket/pets/b.jpg", "job": 0, "job-metadata": {**kind, "class-name": "cat"}},
        )
        data = formats.read(root)
        assert (data.task, data.multi_label, data.class_names) == ("classification", False, ("cat", "dog"))
        assert data.problems == ()
        assert [sample.classes for sample in data.splits["train"]] == [(1,), (0,)]
        assert data.splits["train"][0].image.path == root / "a.jpg"
        assert data.splits["train"][0].source == "train.manifest:1"

    def test_multi_label_lists_are_class_ids(self, root: Path) -> None:
        meta = {"type": "groundtruth/image-classification-multilabel", "confidence-map": {"0": 1}}
        write(
            root,
            {"source-ref": "a.jpg", "job": [0, 1], "job-metadata": {**meta, "class-map": {"0": "cat", "1": "wet"}}},
            {"source-ref": "b.jpg", "job": [1, 2], "job-metadata": {**meta, "class-map": {"1": "wet", "2": "big"}}},
        )
        data = formats.read(root)
        assert (data.multi_label, data.class_names) == (True, ("cat", "wet", "big"))
        assert [sample.classes for sample in data.splits["train"]] == [(0, 1), (1, 2)]

    def test_boxes(self, root: Path) -> None:
        annotation = {"class_id": 1, "left": 3, "top": 4, "width": 20, "height": 30}
        value = {"image_size": [{"width": 64, "height": 48, "depth": 3}], "annotations": [annotation]}
        meta = {"class-map": {"0": "cat", "1": "dog"}, "objects": [{"confidence": 0.1}], "job-name": "x"}
        write(
            root,
            {"source-ref": "a.jpg", "boxes": value, "boxes-metadata": meta},
            {"source-ref": "b.jpg", "boxes": {**value, "annotations": []}, "boxes-metadata": meta},
        )
        data = formats.read(root)
        assert (data.task, data.problems) == ("detection", ())
        assert data.splits["train"][0].boxes == (Box(1, 3, 4, 23, 34),)
        assert data.splits["train"][1].boxes == ()
        assert data.class_names == ("cat", "dog")

    def test_masks(self, root: Path) -> None:
        (root / "m").mkdir()
        (root / "m" / "a.png").write_bytes(mask_png(np.zeros((48, 64), np.uint8)))
        colours = {
            "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 1},
            "1": {"class-name": "pet"},
        }
        line = {
            "source-ref": "a.jpg",
            "job-ref": "s3://other/m/a.png",
            "job-ref-metadata": {"internal-color-map": colours},
        }
        write(root, line)
        data = formats.read(root)
        assert (data.task, data.problems, data.class_names) == ("segmentation", (), ("BACKGROUND", "pet"))
        assert data.splits["train"][0].mask is not None


class TestReading:
    def test_several_attributes_are_choices(self, root: Path) -> None:
        value = {"image_size": [{"width": 64, "height": 48}], "annotations": []}
        lines: list[dict[str, Any] | str] = [
            {"source-ref": f"{name}.jpg", "breed": number, "kind": number % 2, "boxes": value}
            for number, name in enumerate("abcd")
        ]
        write(root, *lines)
        assert formats.read(root).class_names == ("0", "1", "2", "3")
        assert formats.read(root, labels="kind").class_names == ("0", "1")
        assert formats.read(root, task="detection").splits["train"][0].boxes == ()
        with pytest.raises(CustomerError, match="use breed or kind or boxes"):
            formats.read(root, labels="age")

    def test_splits_by_name_and_labels_as_strings(self, root: Path) -> None:
        write(
            root, {"source-ref": "a.jpg", "class": "0"}, {"source-ref": "b.jpg", "class": "1"}, name="pets-train.jsonl"
        )
        write(root, {"source-ref": "c.jpg", "class": "1"}, name="pets-validation.jsonl")
        data = formats.read(root)
        assert {split: len(found) for split, found in data.splits.items()} == {"train": 2, "validation": 1}
        assert data.splits["train"][1].classes == (1,)

    def test_lists_without_metadata_are_multi_hot_where_they_can_be(self, root: Path) -> None:
        write(root, {"source-ref": "a.jpg", "t": [1, 0, 1]}, {"source-ref": "b.jpg", "t": [0, 1, 0]})
        assert [s.classes for s in formats.read(root).splits["train"]] == [(0, 2), (1,)]
        write(root, {"source-ref": "a.jpg", "t": [1]}, {"source-ref": "b.jpg", "t": [0, 2]})
        assert [s.classes for s in formats.read(root).splits["train"]] == [(1,), (0, 2)]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("{", "train.manifest:2:2: is not JSON (Expecting property name enclosed in double quotes): `{`"),
            ("[1, 2]", "train.manifest:2: is `[1, 2]`, no JSON object"),
            ("[" * 100_000, "train.manifest:2: is not JSON (RecursionError)"),
            (
                {"class": 1},
                "train.manifest:2: has no `source-ref`, it has `class`; add `source-ref` or remove the line",
            ),
            ({"source-ref": "b.jpg", "klass": 1}, "has no `class`, it has `source-ref`, `klass`"),
            (
                {"source-ref": "b.jpg", "class-metadata": {"failure-reason": "no download"}},
                "train.manifest:2: has no `class`, its labelling failed: `no download`; remove the line",
            ),
            ({"source-ref": "b.jpg", "class": "dog"}, "`class` has the class id 'dog', which is not a whole number"),
            ({"source-ref": "b.jpg", "class": [1]}, "`class` is `[1]`, not one class id"),
            ({"source-ref": "b.jpg", "class": True}, "`class` has the class id True"),
            ({"source-ref": "b.jpg", "class": -1}, "which is negative"),
            ({"source-ref": 3, "class": 1}, "`source-ref` is `3`, which is no path or s3:// address"),
            ({"source-ref": "../x.jpg", "class": 1}, "`source-ref` is `../x.jpg`, which is no path"),
            (
                {"source-ref": "s3://b/x/y.jpg", "class": 1},
                "names `s3://b/x/y.jpg`, looked for as `x/y.jpg`, which is not",
            ),
        ],
    )
    def test_every_line_skipped_is_named(self, root: Path, line: dict[str, Any] | str, said: str) -> None:
        write(root, {"source-ref": "a.jpg", "class": 0}, line, {"source-ref": "c.jpg", "class": 1})
        data = formats.read(root, labels="class")
        assert len(data) == 2
        [problem] = told(data)
        assert said in problem

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (3, "is a JSON number, not an object with `image_size` and `annotations`"),
            ({"image_size": []}, "has no list `annotations`"),
            ({"annotations": [3]}, "annotation 0 is a JSON number, not an object"),
            ({"annotations": [{"left": 1}]}, "annotation 0 has no `class_id`"),
            ({"annotations": [{"class_id": 0, "left": 1, "top": 1, "width": 9}]}, "annotation 0 has no `height`"),
            ({"annotations": [{"class_id": 0, "left": "x", "top": 1, "width": 9, "height": 9}]}, "has left `x`"),
        ],
    )
    def test_boxes_that_cannot_be_used(self, root: Path, value: object, said: str) -> None:
        good = {"annotations": [{"class_id": 0, "left": 1, "top": 1, "width": 9, "height": 9}]}
        write(root, {"source-ref": "a.jpg", "b": good}, {"source-ref": "b.jpg", "b": value})
        [problem] = told(formats.read(root, task="detection"))
        assert problem.startswith("train.manifest:2: `b` ")
        assert said in problem


def wrapped(*records: bytes) -> bytes:
    return b"".join(map(frame, records))


class TestStream:
    """Picture and label as two records, the way a manifest arrives in Pipe mode."""

    def read(self, tmp_path: Path, *records: bytes, task: Any = "classification", kind: Any = "single") -> Any:
        path = tmp_path / "train.rec"
        path.write_bytes(wrapped(*records))
        return read_records(path, "train", task, kind, 3)

    def test_single_label_as_number_or_string(self, tmp_path: Path, jpeg: Jpeg) -> None:
        samples, problems = self.read(tmp_path, jpeg(seed=1), b"0", jpeg(seed=2), b'"2"')
        assert problems == []
        assert [sample.classes for sample in samples] == [(0,), (2,)]
        assert samples[1].image.read() == jpeg(seed=2)
        assert samples[1].source == "train channel record 2"

    def test_both_label_formats(self, tmp_path: Path, jpeg: Jpeg) -> None:
        assert self.read(tmp_path, jpeg(), b"[1, 0, 1]", kind="multi-hot")[0][0].classes == (0, 2)
        assert self.read(tmp_path, jpeg(), b"[1, 2]", kind="class-id")[0][0].classes == (1, 2)

    def test_boxes_and_masks(self, tmp_path: Path, jpeg: Jpeg) -> None:
        annotation = {"class_id": 1, "left": 3, "top": 4, "width": 20, "height": 30}
        value = json.dumps({"image_size": [{"width": 64, "height": 48}], "annotations": [annotation]}).encode()
        assert self.read(tmp_path, jpeg(), value, task="detection")[0][0].boxes == (Box(1, 3, 4, 23, 34),)
        mask = mask_png(np.zeros((48, 64), np.uint8))
        [sample] = self.read(tmp_path, jpeg(), mask, task="segmentation")[0]
        assert sample.mask.read() == mask

    @pytest.mark.parametrize(
        ("order", "said"),
        [
            ("", "Got empty batch from pipe. Please check if the manifest file contains valid batches"),
            ("lp", "Record 0 of the train channel is `0`, not a picture; AttributeNames must name the picture first"),
            ("pp", "Record 1 of the train channel is a picture, not a label in JSON; AttributeNames must name"),
            ("p", "The train channel sent a picture and no label"),
        ],
    )
    def test_names_missing_or_in_another_order(self, tmp_path: Path, jpeg: Jpeg, order: str, said: str) -> None:
        with pytest.raises(DataError) as caught:
            self.read(tmp_path, *({"p": jpeg(), "l": b"0"}[kind] for kind in order))
        assert said in str(caught.value)
        assert "the value of training job parameter AttributeNames matches attributes names" in str(caught.value)

    def test_masks_before_pictures(self, tmp_path: Path, jpeg: Jpeg, encoded: Callable[..., bytes]) -> None:
        mask = mask_png(np.zeros((48, 64), np.uint8))
        with pytest.raises(DataError, match="Record 0 of the train channel is a mask, record 1 a picture"):
            self.read(tmp_path, mask, encoded("PNG"), task="segmentation")

    @pytest.mark.parametrize(
        ("order", "kept", "said"),
        [
            ("plllpl", 2, ["record 2: is `0`, where a picture was expected", "record 3: is `0`, where a picture"]),
            ("plppl", 2, ["record 2: is a picture without a label"]),
            ("plp", 1, ["record 2: is a picture without a label"]),
            ("plpxpl", 2, ["record 2: has the label `not json`, which is not JSON"]),
            ("plpypl", 2, ["record 2: has a label that is `[0]`, not one class id"]),
        ],
    )
    def test_mixed_content_is_named_and_left_out(
        self, tmp_path: Path, jpeg: Jpeg, order: str, kept: int, said: list[str]
    ) -> None:
        records = {"p": jpeg(), "l": b"0", "x": b"not json", "y": b"[0]"}
        samples, problems = self.read(tmp_path, *(records[kind] for kind in order))
        assert len(samples) == kept
        assert len(problems) == len(said)
        assert all(text in str(problem) for text, problem in zip(said, problems, strict=True))

    def test_bytes_that_are_no_records(self, tmp_path: Path, jpeg: Jpeg) -> None:
        (tmp_path / "train.rec").write_bytes(jpeg())
        with pytest.raises(
            DataError, match=r"^Unable to parse record. Please make sure input data is in correct recor"
        ):
            read_records(tmp_path / "train.rec", "train", "classification")

    @settings(max_examples=80, deadline=None)
    @given(
        records=st.lists(
            st.sampled_from(
                [b"\xff\xd8x", b"\x89PNG\r\n\x1a\n" + b"0" * 20, b"0", b"[1]", b"{}", b"", b"nan", b"\xff"]
            ),
            max_size=8,
        ),
        task=st.sampled_from(["classification", "detection", "segmentation"]),
        kind=st.sampled_from(["single", "multi-hot", "class-id"]),
    )
    def test_any_records(
        self, tmp_path_factory: pytest.TempPathFactory, records: list[bytes], task: Any, kind: Any
    ) -> None:
        with suppress(DataError):
            samples, problems = self.read(tmp_path_factory.mktemp("any"), *records, task=task, kind=kind)
            assert len(samples) * 2 + len(problems) >= len(records) / 2
            assert all(str(problem).isprintable() for problem in problems)


class TestChannels:
    def channels(self, root: Path, options: str = "") -> dict[str, Channel]:
        kind = f"application/x-recordio{options}"
        return {n: Channel(n, root / n, kind, "Pipe", record_wrapper="RecordIO") for n in ("train", "validation")}

    def test_through_pipes(self, tmp_path: Path, jpeg: Jpeg) -> None:
        writers = []
        for name in ("train", "validation"):
            os.mkfifo(tmp_path / f"{name}_0")
            data = wrapped(jpeg(seed=1), b"[0, 2]", jpeg(seed=2), b"[1]")
            writers.append(threading.Thread(target=(tmp_path / f"{name}_0").write_bytes, args=(data,)))
            writers[-1].start()
        channels = self.channels(tmp_path, "; label-format=class-id")
        assert AugmentedManifest().takes(channels)
        found = AugmentedManifest().read_channels(channels, task="classification", num_classes=3, multi_label=True)
        for writer in writers:
            writer.join(10)
        assert found.multi_label
        assert found.class_names == ("0", "1", "2")
        assert [sample.classes for sample in found.splits["validation"]] == [(0, 2), (1,)]

    def test_an_unknown_label_format(self, tmp_path: Path) -> None:
        with pytest.raises(CustomerError, match="has the label-format `hot`; use multi-hot or class-id"):
            AugmentedManifest().read_channels(
                self.channels(tmp_path, "; label-format=hot"), task="classification", num_classes=3, multi_label=True
            )

    def test_records_of_im2rec_are_another_format(self, tmp_path: Path) -> None:
        plain = {"train": Channel("train", tmp_path, "application/x-recordio", "Pipe")}
        assert not AugmentedManifest().takes(plain)
        assert formats.FORMATS.get("recordio").takes(plain)
        assert not formats.FORMATS.get("recordio").takes(self.channels(tmp_path))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_label(value: object) -> None:
    kinds: tuple[LabelFormat, ...] = ("single", "multi-hot", "class-id")
    for kind in kinds:
        classes = classes_in(value, kind)
        assert isinstance(classes, str) or all(isinstance(c, int) and c >= 0 for c in classes)
    assert label_format([value]) in ("single", "multi-hot", "class-id")


class TestVideo:
    """Manifests of Ground Truth's video jobs, whose lines name sequences of frames."""

    @pytest.fixture
    def root(self, tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
        for number in range(3):
            path = tmp_path / "video1" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(jpeg(64, 48, number))
        frames = [{"frame-no": n, "frame": f"{n}.jpg"} for n in range(3)]
        sequence = {"seq-no": 1, "prefix": "s3://bucket/video1/", "number-of-frames": 3, "frames": frames}
        (tmp_path / "seq1.json").write_text(json.dumps(sequence))
        box = {"height": 20, "width": 30, "top": 5, "left": 10, "class-id": "1", "label-category-attributes": {}}
        labels = [
            {"annotations": [box, box | {"class-id": "0", "left": 20}], "frame-no": "0", "frame": "0.jpg"},
            {"annotations": [], "frame-no": "1", "frame": "1.jpg"},
        ]
        (tmp_path / "0").mkdir()
        (tmp_path / "0" / "SeqLabel.json").write_text(json.dumps({"detection-annotations": labels}))
        metadata = {"class-map": {"0": "car", "1": "bus"}, "type": "groundtruth/video-object-detection"}
        line = {"source-ref": "s3://bucket/seq1.json", "cars-ref": "s3://bucket/0/SeqLabel.json"}
        (tmp_path / "train.manifest").write_text(json.dumps({**line, "cars-ref-metadata": metadata}) + "\n")
        return tmp_path

    def test_a_line_becomes_a_picture_a_labelled_frame(self, root: Path) -> None:
        data = formats.read(root)
        assert (data.task, data.class_names, data.problems) == ("detection", ("car", "bus"), ())
        assert [sample.image.path.name for sample in data.splits["train"]] == ["0.jpg", "1.jpg"]
        assert [sample.boxes for sample in data.splits["train"]] == [
            (Box(1, 10, 5, 40, 25), Box(0, 20, 5, 50, 25)),
            (),
        ]

    def test_of_tracking(self, root: Path) -> None:
        path = root / "0" / "SeqLabel.json"
        path.write_text(path.read_text().replace("detection-annotations", "tracking-annotations"))
        manifest = root / "train.manifest"
        manifest.write_text(manifest.read_text().replace("object-detection", "object-tracking"))
        assert len(formats.read(root)) == 2

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("seq1.json", "no JSON", "`source-ref` names `seq1.json`, which is not JSON"),
            ("seq1.json", "{}", "`source-ref` has no `prefix`"),
            ("0/SeqLabel.json", "{}", "`cars-ref` has no list of frames"),
            (
                "0/SeqLabel.json",
                '{"detection-annotations": [{}]}',
                "`cars-ref` has a frame without the name of its pic",
            ),
        ],
    )
    def test_files_that_are_otherwise(self, root: Path, name: str, content: str, said: str) -> None:
        (root / name).write_text(content)
        [problem, *_] = formats.read(root).problems
        assert str(problem).startswith(f"train.manifest:1: {said}")

    def test_the_advice_of_a_job_leads_to_one_that_trains(
        self, root: Path, tmp_path: Path, cli: Callable[..., tuple[int, str, str]]
    ) -> None:
        """A job streams what a line names, which is no picture: its message says how to write lines that are."""
        pipe = tmp_path / "stream"
        pipe.write_bytes(frame((root / "seq1.json").read_bytes()) + frame((root / "0" / "SeqLabel.json").read_bytes()))
        with pytest.raises(DataError, match="is a sequence of video frames") as caught:
            read_records(pipe, "train", "detection")
        command = re.search("`clary (data convert FOLDER OUT --to augmented-manifest)`", str(caught.value))
        assert command
        words = [{"FOLDER": root, "OUT": tmp_path / "out"}.get(word, word) for word in command[1].split()]
        assert cli(*words)[0] == 0
        written = [json.loads(line) for line in (tmp_path / "out" / "train.manifest").read_text().splitlines()]
        records = [
            record
            for line in written
            for record in (
                (tmp_path / "out" / line["source-ref"]).read_bytes(),
                json.dumps(line["bounding-box"]).encode(),
            )
        ]
        pipe.write_bytes(b"".join(map(frame, records)))
        samples, problems = read_records(pipe, "train", "detection")
        assert [len(sample.boxes) for sample in samples] == [2, 0]
        assert problems == []
