from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.vision import formats
from clary.vision.base.types import Box, Dataset
from clary.vision.formats.coco import Coco


@pytest.fixture
def root(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Two pictures as COCO 2017 names and numbers things."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "train2017").mkdir()
    for number in (1, 2):
        (tmp_path / "train2017" / f"{number:012}.jpg").write_bytes(jpeg(seed=number))
    write(tmp_path)
    return tmp_path


def write(root: Path, name: str = "annotations/instances_train2017.json", **changes: Any) -> None:
    value: dict[str, Any] = {
        "images": [{"id": n, "file_name": f"{n:012}.jpg", "width": 64, "height": 48} for n in (1, 2)],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 18, "name": "dog", "supercategory": "animal"}],
        "annotations": [
            {
                "id": 5,
                "image_id": 1,
                "category_id": 18,
                "bbox": [1.5, 2, 10, 20.25],
                "iscrowd": 0,
                "segmentation": [[0]],
            },
            {"id": 6, "image_id": 1, "category_id": 90, "bbox": [0, 0, 64, 48], "iscrowd": 1},
        ],
    }
    (root / name).write_text(json.dumps(value | changes))


def told(dataset: Dataset) -> list[str]:
    return [str(problem) for problem in dataset.problems if problem.severity == "error"]


def test_ids_become_dense_in_their_order(root: Path) -> None:
    data = formats.read(root)
    assert (data.format, data.task, data.problems) == ("coco", "detection", ())
    assert data.class_names == ("dog", "toothbrush")
    first, second = data.splits["train"]
    assert first.boxes == (Box(0, 1.5, 2, 11.5, 22.25), Box(1, 0, 0, 64, 48, difficult=True))
    assert first.classes == (0, 1)
    assert first.source == "annotations/instances_train2017.json image 1"
    assert second.boxes == ()


@pytest.mark.parametrize("place", ["train", "images/train2017", "images", "images/train"])
def test_where_pictures_may_lie(root: Path, place: str) -> None:
    (root / place).parent.mkdir(exist_ok=True)
    (root / "train2017").rename(root / place)
    assert len(formats.read(root)) == 2


def test_exports_with_a_file_in_each_folder(root: Path) -> None:
    for folder in ("train", "valid"):
        (root / folder).mkdir()
        for path in (root / "train2017").iterdir():
            (root / folder / path.name).write_bytes(path.read_bytes())
        write(root, f"{folder}/_annotations.coco.json")
    for path in [*(root / "annotations").iterdir(), *(root / "train2017").iterdir()]:
        path.unlink()
    (root / "annotations").rmdir()
    (root / "train2017").rmdir()
    assert {split: len(found) for split, found in formats.read(root).splits.items()} == {"train": 2, "validation": 2}


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        ({"bbox": [1, 2, -3, 4]}, "annotation `7` has an inverted box, xmin 1 ymin 2 xmax -2 ymax 6"),
        ({"bbox": [1, 2, 0, 4]}, "annotation `7` has a box of zero area"),
        ({"bbox": [50, 2, 20, 4]}, "has a box outside its picture of 64x48 pixels"),
        ({"bbox": [1, 2, 3]}, "has no `bbox` of four numbers: x, y, width, height"),
        ({"bbox": [1, 2, "3", 4]}, "has the `bbox` `[1, 2, '3', 4]`, with numbers in quotes"),
        ({"bbox": [1, 2, "x", 4]}, "has no `bbox` of four numbers"),
        ({"bbox": [1, 2, 10**400, 4]}, "has no `bbox` of four numbers"),
        ({"category_id": 3}, "has the unknown category_id `3`; the categories are 18, 90"),
        ({"category_id": None}, "has the unknown category_id `None`"),
        ({"image_id": 9}, "has the image_id `9`, which no image has"),
    ],
)
def test_annotations_left_out_are_named(root: Path, annotation: dict[str, Any], said: str) -> None:
    whole = {"id": 7, "image_id": 1, "category_id": 18, "bbox": [1, 2, 3, 4]}
    write(root, annotations=[whole | annotation, {**whole, "id": 8, "image_id": 2}])
    data = formats.read(root)
    [problem] = told(data)
    assert problem.startswith("annotations/instances_train2017.json: ")
    assert said in problem
    assert len(data) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": None}, "has no list `images`"),
        ({"images": [3, {"id": 1, "file_name": "000000000001.jpg"}]}, "has 1 entries of `images` that are no objects"),
        (
            {"images": [{"id": "a", "file_name": "x"}]},
            "image `a` has the `id` `a`, which is text: ids are whole numbers",
        ),
        ({"images": [{"id": 1.5, "file_name": "x"}]}, "image `1.5` has the `id` `1.5`, which is not a whole number"),
        ({"images": [{"file_name": "x"}]}, "image `None` has no `id`"),
        ({"images": [{"id": 1, "file_name": 3}]}, "image `1` has the `file_name` `3`, which is not text"),
        ({"images": [{"id": 1, "file_name": "no.jpg"}]}, "names 1 picture not in train2017, left out: no.jpg"),
        ({"images": [{"id": 1, "file_name": "../a.jpg"}]}, "image `1` has the path `../a.jpg`, which leaves"),
        ({"categories": [{"id": 1}]}, "category `1` has no `name`"),
    ],
)
def test_files_that_are_wrong(root: Path, changes: dict[str, Any], said: str) -> None:
    write(root, **changes)
    assert any(said in problem for problem in told(formats.read(root)))


def test_no_json(root: Path) -> None:
    (root / "annotations/instances_train2017.json").write_text('{"images": [\n}')
    assert told(formats.read(root))[0].startswith("annotations/instances_train2017.json:2:1: is not JSON (")


def test_boxes_may_stick_out_a_pixel(root: Path) -> None:
    box = {"id": 7, "image_id": 1, "category_id": 18, "bbox": [-0.5, 0, 65, 48.9]}
    write(root, annotations=[box])
    data = formats.read(root)
    assert told(data) == []
    assert data.splits["train"][0].boxes == (Box(0, 0, 0, 64, 48),)


def test_what_is_written_is_what_others_read(root: Path, tmp_path: Path) -> None:
    Coco().write(formats.read(root), tmp_path / "out")
    value = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())
    assert value["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "toothbrush"}]
    assert value["images"][0] == {"id": 1, "file_name": "000000000001.jpg", "width": 64, "height": 48}
    first = value["annotations"][0]
    assert (first["bbox"], first["area"], first["image_id"]) == ([1.5, 2, 10, 20.25], 202.5, 1)
    assert (tmp_path / "out/train/000000000001.jpg").is_file()
