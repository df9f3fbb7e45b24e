"""Hugging Face's defaults, with a pipeline that stands in for the library's: it is in no test environment."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from clary.errors import CustomerError
from clary.toolkit.serving import hugging_face
from clary.toolkit.serving.service import Service, load

from .contract import ServiceContract, asked

Make = Callable[..., Path]

LIBRARY = """
def pipeline(task, model, device):
    def call(inputs, **parameters):
        kind = type(inputs).__name__
        return [{"label": task, "inputs": inputs if kind in ("str", "list") else kind, **parameters}]
    return call
"""
CONFIG = {"config.json": json.dumps({"architectures": ["BertForSequenceClassification"]}).encode()}


class TestContract(ServiceContract):
    good = asked('{"inputs": "a text"}', "application/json")
    bad = asked("no JSON", "application/json")

    @pytest.fixture
    def model(self, make_model: Make) -> Path:
        return make_model({"lib/transformers.py": LIBRARY}, CONFIG)

    def load(self, model: Path) -> Service:
        return load("hugging-face", model, {})


@pytest.fixture
def service(make_model):
    return hugging_face.load(make_model({"lib/transformers.py": LIBRARY}, CONFIG), {})


def told(service: Service, body: bytes | str, content_type: str) -> dict[str, object]:
    answer = service.answer(asked(body, content_type))
    assert answer.status == 200, answer.body
    found: dict[str, object] = json.loads(answer.body)[0]
    return found


def test_inputs_and_parameters(service):
    body = json.dumps({"inputs": "a text", "parameters": {"top_k": 2}})
    expected = {"label": "text-classification", "inputs": "a text", "top_k": 2}
    assert told(service, body, "application/json") == expected


def test_a_csv_with_a_head(service):
    assert told(service, "inputs\nfirst\nsecond\n", "text/csv")["inputs"] == ["first", "second"]


def test_a_picture(service):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    assert told(service, stream.getvalue(), "image/png")["inputs"] == "Image"


def test_errors_are_as_its_model_server_has_them(service):
    answer = service.answer(asked("a", "text/csv"))
    assert answer.status == 400
    said = json.loads(answer.body)
    assert (said["code"], said["type"]) == (400, "InternalServerException")
    assert said["message"].startswith("You need to provide the correct CSV")


def test_hf_task_before_what_the_configuration_says(make_model):
    model = make_model({"lib/transformers.py": LIBRARY}, CONFIG)
    service = hugging_face.load(model, {"HF_TASK": "zero-shot-classification"})
    assert told(service, '{"inputs": "a"}', "application/json")["label"] == "zero-shot-classification"


@pytest.mark.parametrize(
    ("network", "task"),
    [
        ("ViTForImageClassification", "image-classification"),
        ("DetrForObjectDetection", "object-detection"),
        ("SegformerForSemanticSegmentation", "image-segmentation"),
        ("GPT2LMHeadModel", None),
        ("", None),
    ],
)
def test_the_task_of_a_network(tmp_path, network, task):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"architectures": [network]} if network else {}))
    if task:
        assert hugging_face.task_of(config) == task
    else:
        with pytest.raises(CustomerError, match="set HF_TASK in the model's env"):
            hugging_face.task_of(config)


def test_functions_of_a_script(make_model):
    """As in AWS's own examples, which name the model's argument otherwise."""
    script = """
    import base64, json
    from sagemaker_huggingface_inference_toolkit import decoder_encoder
    def model_fn(model_dir):
        return lambda data: data["inputs"][::-1]
    def predict_fn(data, model):
        return {"turned": model(data)}
    def output_fn(prediction, accept):
        return decoder_encoder.encode(prediction, accept)
    """
    answer = hugging_face.load(make_model({"inference.py": script}), {}).answer(
        asked('{"inputs": "abc"}', "application/json")
    )
    assert json.loads(answer.body) == {"turned": "cba"}


def test_a_model_of_the_hub_is_not_downloaded_in_silence(make_model):
    with pytest.raises(
        CustomerError, match=r"HF_MODEL_ID is distil/bert, and nothing is downloaded .* --local-dir model"
    ):
        hugging_face.load(make_model(), {"HF_MODEL_ID": "distil/bert", "HF_TASK": "fill-mask"})


def test_no_model_at_all(make_model):
    with pytest.raises(
        CustomerError, match=r"has no config.json of a Hugging Face model, and inference.py no model_fn"
    ):
        hugging_face.load(make_model(), {})


def test_what_pipelines_answer_with(make_model):
    make_model()
    script = """
    import datetime, numpy
    from PIL import Image
    def model_fn(model_dir): return None
    def predict_fn(data, model):
        return {"n": numpy.float32(0.5), "a": numpy.arange(2), "mask": Image.new("L", (1, 1)),
                "when": datetime.datetime(2026, 1, 2)}
    """
    answer = hugging_face.load(make_model({"inference.py": script}), {}).answer(asked("{}", "application/json"))
    found = json.loads(answer.body)
    assert (found["n"], found["a"], found["when"]) == (0.5, [0, 1], "2026-01-02 00:00:00")
    assert Image.open(io.BytesIO(base64.b64decode(found["mask"]))).size == (1, 1)
