"""Evaluation of a network that finds rectangles by their colour."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from clary.errors import UsageError
from clary.local.evaluate import evaluate
from clary.local.evaluations.detection import DetectionEvaluation
from clary.vision.formats import read
from clary.vision.inference.predictor import load


def measured(*arguments: Any, **options: Any) -> DetectionEvaluation:
    found = evaluate(*arguments, **options)
    assert isinstance(found, DetectionEvaluation)
    return found


@pytest.fixture(scope="module")
def data(rectangles, tmp_path_factory):
    return rectangles(tmp_path_factory.mktemp("data") / "set", "detection", {"train": 2, "test": 8})


@pytest.fixture
def wrong(data, tmp_path):
    """The same with every red box called blue."""
    import shutil

    copy = shutil.copytree(data, tmp_path / "wrong")
    changed = 0
    for path in copy.rglob("*.xml"):
        text = path.read_text()
        changed += text.count("<name>red</name>")
        path.write_text(text.replace("<name>red</name>", "<name>blue</name>"))
    assert changed
    return copy


def test_nothing_is_wrong(data, box_model):
    found = measured(box_model, data)
    assert (found.split, found.count, found.class_names) == ("test", 8, ("blue", "green", "red"))
    assert found.metrics["mAP"] == found.metrics["AP50"] == 1
    assert found.worst() == []
    assert [row["average_precision"] for row in found.class_rows()] == [1, 1, 1]
    assert sum(row["support"] for row in found.class_rows()) == 4 * 1 + 4 * 2
    assert found.summary().startswith("mAP 1.0000 on 8 test pictures (COCO AP 0.")


def test_mistakes_are_counted(wrong, box_model):
    """Each red box is one that was missed and one that is wrong."""
    found = measured(box_model, wrong)
    right = measured(box_model, wrong, split="train")
    assert found.metrics["mAP"] < 1
    rows = {row["name"]: row for row in found.class_rows()}
    assert rows["red"]["average_precision"] is None
    assert rows["red"]["support"] == 0
    assert rows["green"]["average_precision"] == 1
    assert rows["blue"]["recall"] < 1
    worst = found.worst()
    assert worst
    assert all(look.missed == look.wrong > 0 for look in worst)
    assert [look.missed + look.wrong for look in worst] == sorted(
        (look.missed + look.wrong for look in worst), reverse=True
    )
    assert found.worst(1) == worst[:1]
    assert right.split == "train"


def test_curves_are_those_of_the_measure(wrong, box_model):
    found = measured(box_model, wrong)
    areas = [curve.area for curve in found.curves()]
    np.testing.assert_allclose(areas[:2], found.measure.average_precision()[:2])


def test_json(wrong, box_model):
    value = json.loads(measured(box_model, wrong).to_json())
    assert value["task"] == "detection"
    assert set(value["metrics"]) == {"mAP", "AP", "AP50", "AP75"}
    assert value["classes"][2]["average_precision"] is None
    assert set(value["mistakes"][0]) == {"image", "boxes", "missed", "wrong"}


def test_pictures_without_boxes_count_too(data, box_model, tmp_path):
    from dataclasses import replace

    found = read(data, task="detection")
    bare = tuple(replace(sample, boxes=(), classes=()) for sample in found.splits["test"])
    evaluated = measured(box_model, found.with_splits({"train": (), "test": bare}))
    assert evaluated.metrics["mAP"] == 0
    assert all(look.wrong and not look.missed for look in evaluated.worst())


def test_a_damaged_picture_is_named(data, box_model, tmp_path):
    import shutil

    copy = shutil.copytree(data, tmp_path / "copy")
    bad = next(path for path in sorted(copy.rglob("test*.png")))
    bad.write_bytes(bad.read_bytes()[:80])
    found = measured(box_model, copy)
    assert found.count == 7
    assert [problem.where for problem in found.skipped] == [str(bad)]


def test_a_data_set_of_another_task(colours, box_model, tmp_path):
    pictures = colours(tmp_path / "pictures", {"train": 1})
    with pytest.raises(UsageError, match="holds no detection data"):
        evaluate(box_model, pictures)
    with pytest.raises(UsageError, match="is read for classification, the model is for detection"):
        evaluate(box_model, read(pictures))


def test_a_loaded_model_and_its_progress(data, box_model):
    done: list[int] = []
    with load(box_model, "onnxruntime") as model:
        assert measured(model, data, advance=done.append).engine == "onnxruntime"
    assert sum(done) == 8
