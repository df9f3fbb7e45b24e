from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clary.errors import DataError
from clary.vision import formats
from clary.vision.base.types import Box, Dataset
from clary.vision.datasets.check import check
from clary.vision.formats._masks import mask_png
from clary.vision.formats._voc import MAX_BYTES, annotation
from clary.vision.formats._wording import FAULTY
from clary.vision.formats.voc import CLASSES


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Four pictures: two to train, one to validate, one to test."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for seed, name in enumerate(("1", "2", "3", "4")):
        (tmp_path / f"JPEGImages/{name}.jpg").write_bytes(jpeg(seed=seed))
        boxes = [Box(seed % 2, 1, 2, 30, 40)]
        (tmp_path / f"Annotations/{name}.xml").write_bytes(annotation("x.jpg", 64, 48, boxes, ("dog", "cat")))
    lists(tmp_path, train="1\n2\n", val="3\n", trainval="1\n2\n3\n", test="4\n")
    return tmp_path


def lists(root: Path, kind: str = "Main", **texts: str) -> None:
    (root / "ImageSets" / kind).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (root / "ImageSets" / kind / f"{name}.txt").write_text(text)


def told(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "error"]


def test_boxes(root: Path) -> None:
    data = formats.read(root)
    assert (data.format, data.task, data.problems) == ("voc", "detection", ())
    assert data.class_names == ("cat", "dog")
    assert {split: len(found) for split, found in data.splits.items()} == {"train": 2, "validation": 1, "test": 1}
    assert data.splits["train"][0].boxes == (Box(1, 1, 2, 30, 40),)
    assert data.splits["train"][0].source == "ImageSets/Main/train.txt:1"


def test_trainval_where_there_is_no_train(root: Path) -> None:
    (root / "ImageSets/Main/train.txt").unlink()
    (root / "ImageSets/Main/val.txt").unlink()
    assert len(formats.read(root).splits["train"]) == 3


def test_without_lists_all_is_train(root: Path) -> None:
    for path in (root / "ImageSets/Main").iterdir():
        path.unlink()
    assert {split: len(found) for split, found in formats.read(root).splits.items()} == {"train": 4}


def test_masks_have_the_classes_of_the_challenge(root: Path) -> None:
    (root / "SegmentationClass").mkdir()
    (root / "SegmentationClass/1.png").write_bytes(mask_png(np.zeros((48, 64), np.uint8)))
    lists(root, "Segmentation", train="1\n2\n")
    data = formats.read(root, task="segmentation")
    assert data.class_names == CLASSES
    assert len(CLASSES) == 21
    assert len(data) == 1
    assert told(data) == [
        "ImageSets/Segmentation/train.txt:2: names 2, which has no SegmentationClass/2.png; add its mask"
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("9", "names `9`, which is not in JPEGImages/"),
        ("1", "lists `1` again, first in ImageSets/Main/train.txt:1"),
        ("../1", "has `../1`, which is no name of a picture"),
    ],
)
def test_lines_left_out_are_named(root: Path, line: str, said: str) -> None:
    lists(root, train=f"1\n2\n{line}\n")
    [problem] = told(formats.read(root))
    assert problem.startswith("ImageSets/Main/train.txt:3: ")
    assert said in problem


def test_objects_of_unknown_class(root: Path) -> None:
    (root / "classes.txt").write_text("dog\n")
    data = formats.read(root)
    assert data.class_names == ("dog",)
    assert "Annotations/2.xml: object 1 is called `cat`, none of dog" in told(data)[0]


def test_a_picture_without_annotation(root: Path) -> None:
    (root / "Annotations/2.xml").unlink()
    assert "ImageSets/Main/train.txt:2: names 2, which has no Annotations/2.xml" in told(formats.read(root))[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<annotation><object>", "is no well-formed XML"),
        (b'<?xml version="1.0" encoding="klingon"?><annotation/>', "is no"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "is XML of `Error`, no annotation"),
        (b" " * (MAX_BYTES + 1), "is above 1 MiB"),
        (None, "cannot be read"),
    ],
)
def test_a_picture_whose_annotation_cannot_be_read_is_no_background(root: Path, text: bytes | None, said: str) -> None:
    """It trained as a picture without objects, where nobody knows what is in it."""
    path = root / "Annotations/2.xml"
    if text is None:
        path.unlink()
        path.symlink_to("2.xml")
    else:
        path.write_bytes(text)
    result = check(root)
    [problem] = result.errors
    assert problem.where.startswith("Annotations/2.xml")
    assert said in problem.what
    assert [sample.source for sample in result.dataset.splits["train"]] == ["ImageSets/Main/train.txt:1"]
    assert result.left_out[FAULTY] == 1
    with pytest.raises(DataError):
        result.refuse(job=False)
    result.refuse(job=True)


def test_an_annotation_without_objects_says_that_nothing_is_to_be_seen(root: Path) -> None:
    (root / "Annotations/2.xml").write_text("<annotation/>")
    data = formats.read(root)
    assert [sample.boxes for sample in data.splits["train"]] == [(Box(1, 1, 2, 30, 40),), ()]
    assert not told(data)
