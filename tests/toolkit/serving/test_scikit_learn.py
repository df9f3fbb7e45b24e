"""scikit-learn's defaults and its own errors; XGBoost's model, drawn here."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from clary.toolkit.serving import scikit_learn
from clary.toolkit.serving.service import Service, load

from .contract import ServiceContract, asked

Make = Callable[..., Path]

SCRIPT = """
import os, pickle
class Sums:
    def predict(self, rows):
        return rows.sum(axis=1)
def model_fn(model_dir):
    with open(os.path.join(model_dir, "offset.pkl"), "rb") as file:
        offset = pickle.load(file)
    return Sums()
"""


class TestContract(ServiceContract):
    good = asked("1,2\n3,4", "text/csv")
    bad = asked("a,b\nc", "text/csv")

    @pytest.fixture
    def model(self, make_model: Make) -> Path:
        return make_model({"inference.py": SCRIPT}, {"offset.pkl": pickle.dumps(1)})

    def load(self, model: Path) -> Service:
        return load("scikit-learn", model, {})


@pytest.fixture
def service(make_model):
    return scikit_learn.load(make_model({"inference.py": SCRIPT}, {"offset.pkl": pickle.dumps(1)}), {})


def test_defaults(service):
    answer = service.answer(asked("1,2\n3,4", "text/csv"))
    assert (json.loads(answer.body), answer.content_type) == ([3.0, 7.0], "application/json")


@pytest.mark.parametrize(("content_type", "accept", "status"), [("image/png", "", 415), ("text/csv", "image/png", 406)])
def test_types_that_there_are_none_for(service, content_type, accept, status):
    answer = service.answer(asked("1,2\n3,4", content_type, accept))
    told = json.loads(answer.body)
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert told["error"] == "UnsupportedFormatError"
    assert told["error-message"] == "Content type image/png is not supported by this framework."
    assert told["stack-trace"].startswith("Traceback")


def test_other_errors_are_500(service):
    assert service.answer(asked("1", "text/csv")).status == 500


def test_xgboost_gets_a_matrix_of_its_own(make_model):
    script = """
    def model_fn(model_dir):
        class Booster:
            def predict(self, matrix):
                return [matrix.shape[0], matrix.shape[1]]
        return Booster()
    """
    stand_in = "def DMatrix(rows):\n    return rows\n"
    service = load("xgboost", make_model({"inference.py": script, "xgboost.py": stand_in}), {})
    assert json.loads(service.answer(asked("1,2,3", "text/csv")).body) == [1, 3]
