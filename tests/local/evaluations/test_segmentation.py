"""Evaluation of a network that tells the colours of pixels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.local.evaluate import evaluate
from clary.local.evaluations.segmentation import KEPT, SegmentationEvaluation


def measured(*arguments: Any, **options: Any) -> SegmentationEvaluation:
    found = evaluate(*arguments, **options)
    assert isinstance(found, SegmentationEvaluation)
    return found


@pytest.fixture(scope="module")
def data(rectangles, tmp_path_factory) -> Path:
    folder: Path = rectangles(tmp_path_factory.mktemp("data") / "set", "segmentation", {"train": 2, "test": 6})
    return folder


@pytest.fixture
def copy(data, tmp_path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "copy"))


def masks(root: Path) -> list[Path]:
    """Masks of the test split, or of the only one."""
    return sorted((root / "masks").rglob("test*.png")) or sorted((root / "masks").rglob("*.png"))


def change(path: Path, edit) -> np.ndarray:
    with Image.open(path) as image:
        ids = np.array(image)
    changed = edit(ids.copy())
    Image.fromarray(changed).save(path)
    return ids


def test_nothing_is_wrong(data, pixel_model):
    found = measured(pixel_model, data)
    assert (found.split, found.count, found.class_names) == ("test", 6, ("ground", "blue", "green", "red"))
    assert found.metrics == {"pixel_accuracy": 1, "mIOU": 1, "mIOU_present": 1}
    assert found.worst() == []
    assert found.by_image.tolist() == [1] * 6
    assert sum(row["support"] for row in found.class_rows()) == 6 * 96 * 80
    assert found.summary() == "mIOU 1.0000 on 6 test pictures, pixel accuracy 1.0000"


def test_numbers_by_hand(copy, pixel_model):
    """In one mask half of the picture is called red."""
    path = masks(copy)[2]

    def half_red(ids: np.ndarray) -> np.ndarray:
        ids[:, :48] = 3
        return ids

    before = change(path, half_red)
    found = measured(pixel_model, copy)
    wrong = int((before[:, :48] != 3).sum())
    whole = 6 * 96 * 80
    assert found.metrics["pixel_accuracy"] == pytest.approx(1 - wrong / whole)
    red = next(row for row in found.class_rows() if row["name"] == "red")
    assert red["precision"] == 1
    assert red["iou"] == pytest.approx(1 - wrong / red["support"], abs=1e-6)
    (worst,) = found.worst()
    assert worst.iou == found.by_image.min() < 1
    assert (worst.true != worst.predicted).sum() == wrong


def test_ignored_pixels_do_not_count(copy, pixel_model):
    def unknown(ids: np.ndarray) -> np.ndarray:
        ids[:] = 255
        ids[0, 0] = 0
        return ids

    change(masks(copy)[0], unknown)
    found = measured(pixel_model, copy)
    assert found.counts.table.sum() == 5 * 96 * 80 + 1


def test_what_is_wrong_with_masks_is_named(copy, pixel_model):
    first, second, third, fourth, *_ = masks(copy)
    change(first, lambda ids: ids[:40])
    second.write_bytes(second.read_bytes()[:60])
    third.write_bytes(b"")
    with Image.open(fourth) as image:
        coloured = image.convert("RGB")
    coloured.save(fourth)
    found = measured(pixel_model, copy)
    assert found.count == 2
    assert [problem.where for problem in found.skipped] == [str(path) for path in (first, second, third, fourth)]
    said = [problem.what for problem in found.skipped]
    assert said[0] == "is a mask of 96 x 40 pixels, the picture 96 x 80"
    assert "damaged" in said[1]
    assert "empty" in said[2]
    assert "RGB" in said[3]


def test_the_lowest_are_kept(rectangles, pixel_model, tmp_path):
    data = rectangles(tmp_path / "set", "segmentation", {"train": KEPT + 6})
    for number, path in enumerate(masks(data)):

        def some_red(ids: np.ndarray, rows: int = 1 + number) -> np.ndarray:
            ids[:rows] = 3
            return ids

        change(path, some_red)
    found = measured(pixel_model, data)
    assert len(found.comparisons) == KEPT
    assert [comparison.iou for comparison in found.comparisons] == sorted(found.by_image.tolist())[:KEPT]
    assert found.worst(3) == list(found.comparisons[:3])


def test_json(copy, pixel_model):
    change(masks(copy)[0], lambda ids: np.full_like(ids, 2))
    value = json.loads(measured(pixel_model, copy).to_json())
    assert value["task"] == "segmentation"
    assert set(value["metrics"]) == {"pixel_accuracy", "mIOU", "mIOU_present"}
    assert np.array(value["confusion"]).sum() == 6 * 96 * 80
    assert value["mistakes"][0]["iou"] < 1
