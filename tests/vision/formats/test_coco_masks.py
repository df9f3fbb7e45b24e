"""COCO's polygons and run lengths as masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clary.vision.base.decoding import decode_mask
from clary.vision.base.types import Dataset
from clary.vision.datasets.check import check
from clary.vision.formats import FORMATS, detect, read

# pycocotools has not taken up a change of numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Jpeg = Callable[..., bytes]
SQUARE = [[8, 8, 24, 8, 24, 24, 8, 24]]


def coco(root: Path, jpeg: Jpeg, annotations: list[dict[str, Any]], name: str = "instances", **image: Any) -> Path:
    (root / "train").mkdir(parents=True)
    (root / "train" / "a.jpg").write_bytes(jpeg(seed=1))
    (root / "annotations").mkdir()
    value = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48, **image}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 18, "name": "dog"}],
        "annotations": [{"id": n, "image_id": 7, **one} for n, one in enumerate(annotations)],
    }
    (root / "annotations" / f"{name}_train.json").write_text(json.dumps(value))
    return root


def ids(dataset: Dataset) -> np.ndarray:
    [sample] = dataset.splits["train"]
    assert sample.mask
    return decode_mask(sample.mask.read(), sample.mask_values)


def test_instances_lie_on_background(tmp_path: Path, jpeg: Jpeg) -> None:
    crowd = {"size": [48, 64], "counts": [48 * 60, 48 * 4]}
    root = coco(
        tmp_path,
        jpeg,
        [{"category_id": 18, "segmentation": SQUARE}, {"category_id": 3, "segmentation": crowd, "iscrowd": 1}],
    )
    found = read(root, task="segmentation")
    assert found.problems == ()
    assert found.class_names == ("background", "cat", "dog")
    mask = ids(found)
    assert mask.shape == (48, 64)
    assert (mask == 2).sum() == 256
    assert mask[10, 10] == 2
    assert (mask[:, 60:] == 1).all()
    assert (mask == 0).sum() == 48 * 60 - 256
    assert check(root, task="segmentation").errors == []


def test_a_category_may_be_the_background(tmp_path: Path, jpeg: Jpeg) -> None:
    root = coco(tmp_path, jpeg, [{"category_id": 18, "segmentation": SQUARE}])
    path = root / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"cat"', '"Background"'))
    found = read(root, task="segmentation")
    assert found.class_names == ("Background", "dog")
    assert set(np.unique(ids(found)).tolist()) == {0, 1}


def test_stuff_covers_every_pixel_that_counts(tmp_path: Path, jpeg: Jpeg) -> None:
    root = coco(tmp_path, jpeg, [{"category_id": 18, "segmentation": SQUARE}], "stuff")
    assert detect(root).task_of(root) == "segmentation"
    found = read(root)
    assert found.class_names == ("cat", "dog")
    assert set(np.unique(ids(found)).tolist()) == {1, 255}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segmentation": []}, "annotation `0` has no `segmentation`"),
        ({"segmentation": [[1, 2, 3]]}, "annotation `0` has a polygon that is no list"),
        ({"category_id": 5}, "annotation `0` has the unknown category_id `5`; the categories are 3, 18"),
        ({"image_id": 8}, "annotation `0` has the image_id `8`, which no image has"),
        ({"segmentation": {"size": [2, 2], "counts": [4]}}, "annotation `0` has run lengths for a size of"),
    ],
    ids=str,
)
def test_regions_left_out_are_named(tmp_path: Path, jpeg: Jpeg, changes: dict[str, Any], said: str) -> None:
    root = coco(tmp_path, jpeg, [{"category_id": 18, "segmentation": SQUARE, **changes}])
    [problem] = [
        p for p in read(root, task="segmentation").problems if p.severity == "error" and "annotation" in p.what
    ]
    assert problem.where == "annotations/instances_train.json"
    assert said in problem.what


def test_a_picture_must_say_its_size(tmp_path: Path, jpeg: Jpeg) -> None:
    root = coco(tmp_path, jpeg, [], width=None)
    assert "has no `width` in pixels, which its mask needs" in read(root, task="segmentation").problems[0].what


def test_a_mask_of_another_size_than_its_picture(tmp_path: Path, jpeg: Jpeg) -> None:
    root = coco(tmp_path, jpeg, [{"category_id": 18, "segmentation": SQUARE}], width=60)
    [problem] = check(root, task="segmentation").errors
    assert problem.where == "annotations/instances_train.json image 7"
    assert "is 60 x 48 pixels, its picture 64 x 48" in problem.what


def test_masks_are_written_as_pycocotools_reads_them(tmp_path: Path, jpeg: Jpeg) -> None:
    theirs = pytest.importorskip("pycocotools.mask")
    root = coco(tmp_path / "in", jpeg, [{"category_id": 18, "segmentation": SQUARE}])
    found = read(root, task="segmentation")
    FORMATS.get("coco").write(found, tmp_path / "out")
    value = json.loads((tmp_path / "out" / "annotations" / "stuff_train.json").read_text())
    drawn = {one["category_id"]: theirs.decode(one["segmentation"]) for one in value["annotations"]}
    np.testing.assert_array_equal(drawn[3].astype(bool), ids(found) == 2)
    assert (drawn[1] + drawn[3] == 1).all()
    assert [one["area"] for one in value["annotations"]] == [48 * 64 - 256, 256]
    assert [one["bbox"] for one in value["annotations"]] == [[0, 0, 64, 48], [8, 8, 16, 16]]
    for format in ("masks", "voc", "sagemaker-png", "augmented-manifest"):
        FORMATS.get(format).write(found, tmp_path / format)
        np.testing.assert_array_equal(ids(read(tmp_path / format, task="segmentation")), ids(found))
