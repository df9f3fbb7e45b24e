"""What clients may write into a call, over a model without TensorFlow: it is an answer, and never a worker's end."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clary.toolkit.serving.service import Request
from clary.toolkit.serving.tensorflow.rest_api import RestApi
from clary.toolkit.serving.tensorflow.service import TensorFlowService
from clary.toolkit.serving.tensorflow.tensors import TensorInfo


class Echo:
    """A model whose output is its input."""

    def __init__(self) -> None:
        info = {"x": TensorInfo("x:0", "float", np.dtype(np.float32))}
        self.signatures = {"serving_default": SimpleNamespace(inputs=info, outputs=info, run=self.run)}
        self.signature = self.signatures.__getitem__

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if feeds["x"].max() == 13:
            raise RuntimeError("of the library")
        return {"y": feeds["x"]}


def ask(body: bytes, attributes: str = "") -> tuple[int, Any]:
    models: Any = {"m": {1: Echo(), 2: Echo()}}
    service = TensorFlowService(RestApi(models), "m", None)
    found = service.answer(Request(body, "application/json", "", attributes, {}))
    return found.status, json.loads(found.body)


def test_a_version() -> None:
    assert ask(b'{"instances": [1]}', "tfs-model-version=1") == (200, {"predictions": [1.0]})
    assert ask(b'{"instances": [1]}', "tfs-model-version=3")[0] == 404


@pytest.mark.parametrize("version", ["abc", "1.0", "-1", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000])
def test_a_version_that_is_no_number(version: str) -> None:
    status, said = ask(b'{"instances": [1]}', f"tfs-model-version={version}")
    assert status == 400
    assert said["error"].startswith(f"Malformed request: POST /v1/models/m/versions/{version[:8]}")
    assert len(said["error"]) < 500


@pytest.mark.parametrize("body", [rb'{"instances": "\ud800"}', rb'{"instances": ["\ud800"]}', rb'{"\ud800": "\udfff"}'])
def test_half_a_character(body: bytes) -> None:
    status, said = ask(body)
    assert status == 400
    assert "?" in said["error"]


def test_an_object_as_deep_as_json_is_read() -> None:
    assert ask(b'{"instances":' + b'{"a":' * 1000 + b"1" + b"}" * 1001)[0] == 400


def test_what_nobody_has_foreseen(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(b'{"instances": [13]}') == (500, {"error": "RuntimeError: of the library"})
    assert "in run" in capsys.readouterr().err
