"""COCO as people and their scripts write it: read with a note where it can mean one thing only, else told just that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clary.vision import formats
from clary.vision.base.types import Box, Dataset
from clary.vision.datasets.check import check

Jpeg = Callable[..., bytes]
Value = dict[str, Any]


@pytest.fixture
def coco(tmp_path: Path, jpeg: Jpeg) -> Callable[..., Path]:
    """Two pictures with a box and a polygon each; ``change`` may spoil the file."""

    def make(change: Callable[[Value], object] = lambda value: None) -> Path:
        for number in (1, 2):
            (tmp_path / "train").mkdir(exist_ok=True)
            (tmp_path / "train" / f"{number}.jpg").write_bytes(jpeg(64, 48, number))
        polygon = [[1, 1, 20, 1, 20, 20]]
        value: Value = {
            "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            "images": [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in (1, 2)],
            "annotations": [
                {"id": n, "image_id": n, "category_id": n, "bbox": [1, 1, 20, 20], "segmentation": polygon}
                for n in (1, 2)
            ],
        }
        change(value)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / "instances_train.json").write_text(json.dumps(value))
        return tmp_path

    return make


def told(dataset: Dataset, severity: str = "note") -> list[str]:
    file = "annotations/instances_train.json"
    return [str(p).removeprefix(f"{file}: ") for p in dataset.problems if p.severity == severity and file in p.where]


def read_whole(root: Path, task: str = "detection") -> Dataset:
    """What is read, which must be all there is."""
    found = check(root, task=task)
    assert [str(problem) for problem in found.errors] == []
    assert len(found.dataset) == 2
    return found.dataset


def in_quotes(*keys: str) -> Callable[[Value], None]:
    def change(value: Value) -> None:
        for entry in (*value["categories"], *value["images"], *value["annotations"]):
            for key in keys:
                if key in entry:
                    entry[key] = str(entry[key])

    return change


def test_ids_in_quotes(coco: Callable[..., Path]) -> None:
    found = read_whole(coco(in_quotes("id", "image_id", "category_id")))
    assert found.class_names == ("cat", "dog")
    assert [sample.boxes for sample in found.splits["train"]] == [(Box(0, 1, 1, 21, 21),), (Box(1, 1, 1, 21, 21),)]
    assert told(found) == ["has 8 numbers in quotes, first `id` `'1'`, read as numbers; write numbers without quotes"]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_sizes_in_quotes(coco: Callable[..., Path], task: str) -> None:
    assert (
        "has 4 numbers in quotes, first `width` `'64'`" in told(read_whole(coco(in_quotes("width", "height")), task))[0]
    )


def test_an_id_as_text_and_as_a_number_are_told_apart(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        value["images"][0]["id"] = "one"
        value["annotations"][0]["image_id"] = "one"

    errors = told(formats.read(coco(change)), "error")
    assert errors[0] == "image `one` has the `id` `one`, which is text: ids are whole numbers; mend it or remove it"
    assert errors[1].startswith("annotation `1` has the image_id `one`, which no image has")


@pytest.mark.parametrize("size", [-1, 0])
def test_sizes_that_are_none(coco: Callable[..., Path], size: int) -> None:
    def change(value: Value) -> None:
        for image in value["images"]:
            image |= {"width": size, "height": size}

    root = coco(change)
    assert told(read_whole(root)) == [
        f"image 1 has the size `{size}` x `{size}`, which is none in pixels; of 2 pictures the file's own is taken; "
        "write width and height in pixels, or neither"
    ]
    assert told(formats.read(root, task="segmentation"), "error")[0] == (
        f"image `1` has the size `{size}` x `{size}`, which is none in pixels, which its mask needs; "
        "mend it or remove it"
    )


def test_a_box_outside_is_still_found_where_sizes_are_none(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        value["images"][0] |= {"width": -1, "height": -1}
        value["annotations"][0]["bbox"] = [50, 1, 40, 20]

    assert any("outside its 64 x 48 pixels" in problem.what for problem in check(coco(change)).errors)


def test_a_flat_segmentation(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        for annotation in value["annotations"]:
            [annotation["segmentation"]] = annotation["segmentation"]

    root = coco()
    before = [sample.mask.read() for sample in formats.read(root, task="segmentation").splits["train"] if sample.mask]
    found = read_whole(coco(change), "segmentation")
    assert [sample.mask.read() for sample in found.splits["train"] if sample.mask] == before
    assert told(found) == [
        "has 2 polygons as a flat list of numbers, read as one polygon each; write [[x, y, x, y, ...]]"
    ]


def test_a_flat_segmentation_that_is_no_polygon(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        value["annotations"][0]["segmentation"] = [1, 1, 20]

    [error] = told(formats.read(coco(change), task="segmentation"), "error")
    assert error.startswith("annotation `1` has a flat `segmentation` of 3 numbers, it is a list of polygons: [[x, y")


@pytest.mark.parametrize("before", ["train\\", "C:\\Users\\me\\pets\\train\\", "\\\\server\\pets\\", "/home/me/pets/"])
def test_paths_of_another_machine(coco: Callable[..., Path], before: str) -> None:
    def change(value: Value) -> None:
        for image in value["images"]:
            image["file_name"] = before + image["file_name"]

    found = read_whole(coco(change))
    [note] = told(found)
    assert note.startswith("names 2 pictures by paths of another machine, first `")
    assert "; they are found in " in note


def test_a_path_that_could_be_of_two_pictures_is_no_guess(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        for image, side in zip(value["images"], ("left", "right"), strict=True):
            image["file_name"] = f"C:\\{side}\\1.jpg"

    errors = told(formats.read(coco(change)), "error")
    assert sum("which leaves the picture folder" in error for error in errors) == 2


def test_a_category_of_two_names_that_look_alike(coco: Callable[..., Path]) -> None:
    def change(value: Value) -> None:
        value["categories"] = [
            {"id": 1, "name": "caf\u00e9"},
            {"id": 1, "name": "cafe\u0301"},
            {"id": 2, "name": "dog"},
        ]

    [error] = told(formats.read(coco(change)), "error")
    assert r"category `1` is `'cafe\u0301'` here, `'caf\xe9'` elsewhere" in error
