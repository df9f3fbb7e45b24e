from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.errors import CustomerError
from clary.vision import formats
from clary.vision.base.jobdir import Channel
from clary.vision.base.types import Box, Dataset
from clary.vision.datasets.left_out import count_left_out
from clary.vision.formats._wording import FAULTY
from clary.vision.formats.sagemaker_json import SageMakerJson


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Two splits of two pictures, one of them in a folder of its own."""
    for split in ("train", "validation"):
        for seed, name in enumerate(("yard/1", "2")):
            (tmp_path / split / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / split / f"{name}.jpg").write_bytes(jpeg(seed=seed))
            write(tmp_path, f"{split}_annotation/{name}.json")
    return tmp_path


def write(root: Path, name: str, **changes: Any) -> None:
    value = {
        "file": "yard/1.jpg",
        "image_size": [{"width": 64, "height": 48, "depth": 3}],
        "annotations": [{"class_id": 1, "left": 8, "top": 9, "width": 23, "height": 29}],
        "categories": [{"class_id": 1, "name": "forklift"}],
    }
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(value | changes))


@pytest.mark.parametrize(("text", "pictures"), [("{", 1), ("[]", 1), ("null", 1), ("{}", 1), (None, 0)])
def test_a_picture_left_out_for_its_annotation_is_counted(root: Path, text: str | None, pictures: int) -> None:
    """They were named, and in no count; of an annotation with one bad box the picture stays."""
    if text is None:
        bad = {"class_id": 1, "left": 500, "top": 9, "width": 23, "height": 29}
        write(root, "train_annotation/2.json", annotations=[bad])
    else:
        (root / "train_annotation/2.json").write_text(text)
    dataset = formats.read(root, task="detection")
    assert len(dataset.splits["train"]) == 2 - pictures
    assert count_left_out(dataset.problems) == ({FAULTY: 1} if pictures else {})


def told(dataset: Dataset, severity: str = "error") -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == severity]


def channels(root: Path) -> dict[str, Channel]:
    names = ("train", "validation", "train_annotation", "validation_annotation")
    return {name: Channel(name, root / name, "image/jpeg") for name in names}


def test_a_folder(root: Path) -> None:
    data = formats.read(root)
    assert (data.format, data.task, data.problems) == ("sagemaker-json", "detection", ())
    assert data.class_names == ("0", "forklift")
    assert data.splits["train"][1].boxes == (Box(1, 8, 9, 31, 38),)
    assert data.splits["train"][1].source == "train_annotation/yard/1.json"


def test_channels(root: Path) -> None:
    data = SageMakerJson().read_channels(channels(root), task="detection", num_classes=5, multi_label=False)
    assert len(data.class_names) == 5
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 2, "validation": 2}


def test_annotations_missing(root: Path) -> None:
    given = channels(root)
    del given["validation_annotation"]
    with pytest.raises(
        CustomerError, match="The validation_annotation channel is missing; add it with a JSON a picture"
    ):
        SageMakerJson().read_channels(given, task="detection", num_classes=2, multi_label=False)


def test_pictures_and_annotations_that_stand_alone(root: Path) -> None:
    (root / "train_annotation/2.json").rename(root / "train_annotation/3.json")
    notes = told(formats.read(root), "note")
    assert any("train_annotation: has no annotation for 1 picture, left out: train/2.jpg" in note for note in notes)
    assert any("train_annotation: has 1 file without a picture of that name" in note for note in notes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"annotations": None}, "has no list `annotations`"),
        (
            {"annotations": [{"class_id": 1, "left": 60, "top": 9, "width": 23, "height": 29}]},
            "outside its picture of 64x48",
        ),
        ({"annotations": [{"class_id": 1, "left": 8, "top": 9, "width": -3, "height": 9}]}, "has an inverted box"),
        ({"annotations": [{"class_id": "x", "left": 8, "top": 9, "width": 3, "height": 9}]}, "has the class id 'x'"),
        ({"image_size": [{"width": 0, "height": 48}]}, "has an `image_size` of 0x48 pixels"),
        ({"image_size": []}, "has an `image_size` that is no list of one object"),
    ],
)
def test_what_is_left_out_is_named(root: Path, changes: dict[str, Any], said: str) -> None:
    write(root, "train_annotation/2.json", **changes)
    problems = told(formats.read(root))
    assert problems[0].startswith("train_annotation/2.json: ")
    assert said in problems[0]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"annotations": [[]]}', "[" * 99_999])
def test_files_that_are_no_annotation(root: Path, text: str) -> None:
    (root / "train_annotation/2.json").write_text(text)
    assert any(problem.startswith("train_annotation/2.json") for problem in told(formats.read(root)))


def test_a_class_with_two_names(root: Path) -> None:
    write(root, "train_annotation/2.json", categories=[{"class_id": 1, "name": "truck"}, {"class_id": -1, "name": "x"}])
    notes = " ".join(told(formats.read(root), "note"))
    assert "calls class 1 `forklift`, it was `truck` before" in notes
    assert "has the category" in notes


@pytest.mark.parametrize(("class_id", "said"), [(1, []), (7, [7])])
def test_fewer_names_than_classes(root: Path, class_id: int, said: list[int]) -> None:
    (root / "classes.txt").write_text("cat\ndog\n")
    box = {"class_id": class_id, "left": 8, "top": 9, "width": 23, "height": 29}
    write(root, "train_annotation/2.json", annotations=[box], categories=[])
    assert told(formats.read(root)) == [
        f"classes.txt: has 2 names, the records have class ids up to {highest}, first train_annotation/2.json; "
        "add the names that are missing or mend the class id"
        for highest in said
    ]
