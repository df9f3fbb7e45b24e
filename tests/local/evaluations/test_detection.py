"""Evaluation of a network that finds rectangles by their colour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clary.errors import UsageError
from clary.local.evaluate import evaluate
from clary.local.evaluations.detection import BoxComparison, DetectionEvaluation, _judged
from clary.vision.base.types import Blob, Box, Detections, Sample
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
    assert all(comparison.missed == comparison.wrong > 0 for comparison in worst)
    assert [comparison.missed + comparison.wrong for comparison in worst] == sorted(
        (comparison.missed + comparison.wrong for comparison in worst), reverse=True
    )
    assert found.worst(1) == worst[:1]
    assert right.split == "train"


def test_what_is_wrong_is_said(wrong, box_model):
    found = measured(box_model, wrong)
    assert {comparison.reason for comparison in found.worst()} <= {f"{n} missed, {n} of another class" for n in (1, 2)}
    assert all(not comparison.reason for comparison in found.comparisons if not (comparison.missed or comparison.wrong))


def test_verdicts():
    """By hand: hit, hit again, badly placed, of another class, of nothing; the second true box is missed."""
    true = np.array([[0, 0.1, 0.1, 0.5, 0.5], [1, 0.6, 0.6, 0.9, 0.9]])
    boxes = np.array(
        [
            [0.1, 0.1, 0.5, 0.5],
            [0.1, 0.1, 0.5, 0.48],
            [0.3, 0.1, 0.7, 0.5],
            [0.6, 0.6, 0.9, 0.9],
            [0.6, 0.0, 0.8, 0.2],
        ],
        np.float32,
    )
    scores = np.linspace(0.9, 0.4, 5, dtype=np.float32)
    found = Detections(boxes, scores, np.zeros(5, np.int64), ("cat", "dog"), 100, 100)
    verdicts, hit = _judged(true, found)
    assert verdicts == ("right", "double", "badly placed", "of another class", "false")
    assert hit == (True, False)
    comparison = BoxComparison(
        Sample(Blob(Path("a.jpg"))), (Box(0, 10, 10, 50, 50), Box(1, 60, 60, 90, 90)), found, verdicts, hit
    )
    assert comparison.reason == "1 missed, 1 of another class, 1 badly placed, 1 double, 1 false"
    assert (comparison.missed, comparison.wrong) == (1, 4)
    assert _judged(true, found.above(1)) == ((), (False, False))
    assert _judged(true[:0], found) == (("false",) * 5, ())


def test_difficult_boxes_count_like_others(data, box_model):
    """SageMaker's measure knows no such mark."""
    from dataclasses import replace

    found = read(data, task="detection")
    marked = [
        replace(sample, boxes=tuple(replace(box, difficult=True) for box in sample.boxes))
        for sample in found.splits["test"]
    ]
    evaluated = measured(box_model, found.with_splits({"train": (), "test": marked}))
    assert evaluated.metrics["mAP"] == 1
    assert evaluated.measure.truths.sum() == sum(len(sample.boxes) for sample in marked) > 0


def test_curves_are_those_of_the_measure(wrong, box_model):
    found = measured(box_model, wrong)
    areas = [curve.area for curve in found.curves()]
    np.testing.assert_allclose(areas[:2], found.measure.average_precision()[:2])


def test_json(wrong, box_model):
    value = json.loads(measured(box_model, wrong).to_json())
    assert value["task"] == "detection"
    assert set(value["metrics"]) == {"mAP", "AP", "AP50", "AP75"}
    assert value["classes"][2]["average_precision"] is None
    assert set(value["mistakes"][0]) == {"image", "boxes", "missed", "wrong", "reason"}


def test_pictures_without_boxes_count_too(data, box_model, tmp_path):
    from dataclasses import replace

    found = read(data, task="detection")
    bare = tuple(replace(sample, boxes=(), classes=()) for sample in found.splits["test"])
    evaluated = measured(box_model, found.with_splits({"train": (), "test": bare}))
    assert evaluated.metrics["mAP"] == 0
    assert all(comparison.wrong and not comparison.missed for comparison in evaluated.worst())


def test_a_damaged_picture_is_named(data, box_model, tmp_path):
    import shutil

    copy = shutil.copytree(data, tmp_path / "copy")
    bad = next(path for path in sorted(copy.rglob("test*.png")))
    bad.write_bytes(bad.read_bytes()[:80])
    found = measured(box_model, copy)
    assert found.count == 7
    assert [problem.where for problem in found.skipped] == [str(bad)]


def test_a_data_set_of_another_task(colours, box_model, tmp_path):
    images = colours(tmp_path / "pictures", {"train": 1})
    with pytest.raises(UsageError, match="holds no detection data"):
        evaluate(box_model, images)
    with pytest.raises(UsageError, match="is read for classification, the model is for detection"):
        evaluate(box_model, read(images))


def test_a_loaded_model_and_its_progress(data, box_model):
    done: list[int] = []
    with load(box_model, "onnxruntime") as model:
        assert measured(model, data, advance=done.append).engine == "onnxruntime"
    assert sum(done) == 8
