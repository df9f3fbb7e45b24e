"""What is answered for a task that brings no answer of its own."""

from __future__ import annotations

import json
from typing import Any, cast

import numpy as np

from clary.local.predictions import PredictionView, view_of
from clary.vision.artifact.manifest import Input, Manifest, Provenance
from clary.vision.base.preprocessing import Preprocess
from clary.vision.inference.tasks import Prepared, task_of
from clary.vision.tasks import Output

IMAGES = [Prepared(np.zeros((4, 4, 3), np.uint8), (4, 4))] * 2


def manifest(*outputs: str) -> Manifest:
    return Manifest(
        task="counting",
        algorithm="counting",
        labels=("sheep",),
        network={},
        input=Input(Preprocess(4, 4)),
        provenance=Provenance(clary="0.1.0", created="2026-01-01T00:00:00Z"),
        outputs=tuple(map(Output, outputs)),
    )


def test_rows_of_one_output() -> None:
    task = task_of(manifest("count"))
    assert task.name == "counting"
    found = task.predictions((np.array([[3.0], [5.0]], np.float32),), IMAGES)
    assert [json.loads(task.responses[0].encode(one, batch=False)) for one in found] == [
        {"prediction": [3.0]},
        {"prediction": [5.0]},
    ]


def test_rows_of_several_outputs_have_names() -> None:
    task = task_of(manifest("count", "spread"))
    outputs = (np.array([[3.0], [5.0]], np.float32), np.array([[0.5], [1.0]], np.float32))
    assert json.loads(task.responses[1].encode(task.predictions(outputs, IMAGES)[1], batch=True)) == {
        "prediction": {"count": [5.0], "spread": [1.0]}
    }


def test_what_the_command_line_shows() -> None:
    task = task_of(manifest("count"))
    view = view_of(task, top=5, least=0.3)
    assert type(view) is PredictionView
    assert view.as_json(np.array([3.0], np.float32)) == {"prediction": [3.0]}
    assert view.lines(np.array([3.0], np.float32)) == [("[3.0]",)]
    assert not view.draws


def test_numbers_of_numpy() -> None:
    answer = task_of(manifest("count")).responses[0]
    assert json.loads(answer.encode({"n": np.float32(0.5), "of": cast(Any, {1})}, batch=False)) == {
        "prediction": {"n": 0.5, "of": "{1}"}
    }
