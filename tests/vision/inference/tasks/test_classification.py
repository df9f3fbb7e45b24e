"""Scores as answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from clary.vision.base.types import Prediction
from clary.vision.inference.tasks import MODEL_TASKS
from clary.vision.inference.tasks.classification import ClassificationServing
from clary.vision.tasks import TASKS

PREDICTION = Prediction(np.array([0.25, 0.5, 0.25], np.float32), ("a", "b", "c"))
JSON, LINE = ClassificationServing.responses


@pytest.mark.parametrize(
    ("kind", "batch", "body"),
    [
        (JSON, False, [0.25, 0.5, 0.25]),
        (JSON, True, {"prediction": [0.25, 0.5, 0.25]}),
        (LINE, False, {"prediction": [0.25, 0.5, 0.25]}),
        (LINE, True, {"prediction": [0.25, 0.5, 0.25]}),
    ],
)
def test_form(kind, batch, body):
    data = kind.encode(PREDICTION, batch=batch)
    assert json.loads(data) == body
    assert b"\n" not in data


def test_numbers_are_exact():
    scores = np.random.default_rng(0).random(50, np.float32)
    data = JSON.encode(Prediction(scores, ()), batch=False)
    np.testing.assert_array_equal(np.array(json.loads(data), np.float32), scores)


def test_there_is_a_file_for_every_task():
    assert sorted(MODEL_TASKS.names()) == sorted(TASKS.names())
