"""Boxes: out of a network's outputs, and as answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from clary.errors import ArtifactError
from clary.vision.artifact.manifest import Input, Manifest, Provenance
from clary.vision.base.preprocessing import Preprocess
from clary.vision.base.types import Detections
from clary.vision.inference.predictor import load
from clary.vision.inference.tasks import Prepared, task_of
from clary.vision.inference.tasks.detection import DetectionServing
from clary.vision.tasks import TASKS

MANIFEST = Manifest(
    task="detection",
    algorithm="object-detection",
    labels=("cat", "dog"),
    network={},
    input=Input(Preprocess(64, 64, crop="squash")),
    provenance=Provenance("0.1.0", "2026-01-01T00:00:00Z"),
    outputs=TASKS.get("detection").outputs,
)
IMAGE = Prepared(np.zeros((64, 64, 3), np.uint8), (640, 480))
ROWS, ANNOTATION, LINE = DetectionServing.responses

FOUND = Detections(
    boxes=np.array([[0.125, 0.204, 0.4875, 0.811], [0.5, 0.25, 0.75, 1.0]], np.float32),
    scores=np.array([0.9312, 0.4027], np.float32),
    class_ids=np.array([2, 0]),
    class_names=("a", "b", "c"),
    width=640,
    height=480,
)
NONE = FOUND.above(1.0)


def found(boxes: list[list[float]], scores: list[list[float]], **hyperparameters: float) -> Detections:
    task = task_of(replace(MANIFEST, hyperparameters=hyperparameters))
    outputs = (np.array([boxes], np.float32), np.array([scores], np.float32))
    (prediction,) = task.predictions(outputs, [IMAGE])
    assert isinstance(prediction, Detections)
    return prediction


class TestPredictions:
    BOXES = [[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.48], [0.6, 0.6, 0.9, 0.9]]  # noqa: RUF012

    def test_best_first_and_suppressed_within_a_class(self):
        one = found(self.BOXES, [[0.5, 0.02], [0.8, 0.01], [0.3, 0.6]])
        assert one.class_ids.tolist() == [0, 1, 0, 1]
        np.testing.assert_allclose(one.scores, [0.8, 0.6, 0.3, 0.02])
        np.testing.assert_allclose(one.boxes[0], self.BOXES[1])
        assert (one.width, one.height) == (640, 480)

    def test_the_threshold_of_the_manifest(self):
        scores = [[0.5, 0.0], [0.8, 0.0], [0.0, 0.0]]
        assert len(found(self.BOXES, scores)) == 1
        assert len(found(self.BOXES, scores, nms_threshold=0.99)) == 2
        assert len(found(self.BOXES, scores, nms_threshold=0.99, nms_topk=1)) == 1

    def test_at_most_400_go_in(self):
        rng = np.random.default_rng(0)
        low = rng.random((3000, 2)) * 0.9
        boxes = np.concatenate([low, low + 0.01], axis=1).tolist()
        assert len(found(boxes, rng.uniform(0.2, 1, (3000, 2)).tolist(), nms_threshold=1)) == 400

    def test_nothing(self):
        assert len(found(self.BOXES, [[0.0, 0.01]] * 3)) == 0

    @pytest.mark.parametrize("value", ["0.4", 0, -1, 1.5, True, float("nan"), []])
    def test_a_manifest_with_another_threshold(self, value):
        with pytest.raises(ArtifactError, match=r"`hyperparameters\.nms_threshold` is"):
            task_of(replace(MANIFEST, hyperparameters={"nms_threshold": value}))


class TestAnswers:
    def test_rows(self):
        assert json.loads(ROWS.encode(FOUND, batch=False)) == {
            "prediction": [[2.0, 0.9312, 0.125, 0.204, 0.4875, 0.811], [0.0, 0.4027, 0.5, 0.25, 0.75, 1.0]]
        }
        assert ROWS.encode(FOUND, batch=True) == ROWS.encode(FOUND, batch=False) == LINE.encode(FOUND, batch=True)
        assert b"\n" not in LINE.encode(FOUND, batch=True)
        assert b"[[2.0, " in ROWS.encode(FOUND, batch=False), "a class is a float, as the original writes it"

    def test_annotations(self):
        assert json.loads(ANNOTATION.encode(FOUND, batch=False)) == {
            "image_size": [{"width": 640, "height": 480, "depth": 3}],
            "annotations": [
                {"class_id": 2, "score": 0.9312, "left": 80, "top": 98, "width": 232, "height": 291},
                {"class_id": 0, "score": 0.4027, "left": 320, "top": 120, "width": 160, "height": 360},
            ],
        }

    def test_nothing(self):
        assert json.loads(ROWS.encode(NONE, batch=False)) == {"prediction": []}
        assert json.loads(ANNOTATION.encode(NONE, batch=False))["annotations"] == []


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_network_that_knows_where_things_are(box_model, rectangle_image, engine):
    with load(box_model, engine) as model:
        for seed in range(6):
            pixels, true = rectangle_image(seed, 200, 150)
            (prediction,) = model.predict(pixels)
            places = {int(c): box for c, box in zip(prediction.class_ids, prediction.pixels, strict=True)}
            assert sorted(places) == sorted(colour for colour, *_ in true)
            for colour, *place in true:
                np.testing.assert_allclose(places[colour], place, atol=200 / 64 + 1)
