"""inference.py's functions, called as SageMaker's toolkits call them. The scripts are written as public ones are."""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import CustomerError
from clary.toolkit.serving import functions
from clary.toolkit.serving.functions import Functions
from clary.toolkit.serving.service import Service, load

from .contract import ServiceContract, asked
from .models import models

Make = Callable[..., Path]

DOUBLING = """
import json

def model_fn(model_dir):
    return 2

def input_fn(request_body, request_content_type):
    if request_content_type == 'application/json':
        return json.loads(request_body)['inputs']
    raise ValueError('Unsupported content type: ' + str(request_content_type))

def predict_fn(input_data, model):
    return [model * value for value in input_data]

def output_fn(prediction, accept):
    return json.dumps(prediction), accept
"""


class TestContract(ServiceContract):
    good = asked('{"inputs": [1, 2]}', "application/json")
    bad = asked(b"\xff\xd8", "image/jpeg")

    @pytest.fixture
    def model(self, make_model: Make) -> Path:
        return make_model({"inference.py": DOUBLING})

    def load(self, model: Path) -> Service:
        return load("", model, {})


def test_collections_of_garbage_pass_over_what_is_loaded(make_model: Make) -> None:
    service = load("", make_model({"inference.py": DOUBLING}), {})
    assert not any(one is service for one in gc.get_objects())
    gc.unfreeze()
    assert any(one is service for one in gc.get_objects())


def loaded(model: Path, **variables: str) -> Functions:
    return functions.load(model, variables)


def seen(make_model: Make, text: str) -> Functions:
    """A script of which only what it does between request and answer matters."""
    return loaded(make_model({"inference.py": "import json\ndef model_fn(model_dir):\n    return 'model'\n" + text}))


class TestWhatTheFunctionsGet:
    TELLING = """
def input_fn(data, content_type):
    return [type(data).__name__, content_type]
def predict_fn(data, model):
    return [*data, model]
def output_fn(prediction, accept):
    return json.dumps([*prediction, accept])
"""

    @pytest.mark.parametrize(
        ("content_type", "kind"),
        [
            ("application/json", "str"),
            ("text/csv", "str"),
            ("image/jpeg", "bytearray"),
            ("application/x-npy", "bytearray"),
            ("text/csv; charset=utf-8", "bytearray"),  # the toolkit compares the whole string
        ],
    )
    def test_json_and_csv_are_text_and_all_else_bytes(self, make_model, content_type, kind):
        answer = seen(make_model, self.TELLING).answer(asked("1", content_type, "text/csv"))
        assert json.loads(answer.body) == [kind, content_type, "model", "text/csv"]
        assert answer.content_type == "text/csv"

    def test_no_content_type_is_none(self, make_model):
        assert json.loads(seen(make_model, self.TELLING).answer(asked("1")).body)[:2] == ["bytearray", None]

    @pytest.mark.parametrize("accept", ["", "*/*"])
    def test_accept_is_json_unless_something_is_wanted(self, make_model, accept):
        model = make_model(
            {"inference.py": "import json\ndef model_fn(model_dir):\n    return 'model'\n" + self.TELLING}
        )
        assert loaded(model).answer(asked("1", "text/csv", accept)).content_type == "application/json"
        found = loaded(model, SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="text/csv").answer(asked("1", "text/csv", accept))
        assert found.content_type == "text/csv"

    def test_the_model_folder_is_text(self, make_model):
        script = "import os\ndef model_fn(model_dir):\n    return os.path.join(model_dir + '/model.pth')\n"
        model = make_model({"inference.py": script + "def predict_fn(data, model):\n    return model\n"})
        answer = loaded(model).answer(asked("[1]", "application/json"))
        assert json.loads(answer.body) == f"{model}/model.pth"

    def test_context(self, make_model):
        found = seen(
            make_model,
            """
def transform_fn(model, data, content_type, accept, context):
    told = [
        context.system_properties.get("model_dir")[-5:],
        context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes"),
        context.request_processor[0].get_request_properties()["Content-Type"],
        context.get_all_request_header(0).get("content-type"),
    ]
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "trace=2")
    context.set_response_content_type(0, "application/x-told")
    context.set_response_status(code=202)
    context.metrics.add_counter("calls", 1)
    return json.dumps(told)
""",
        )
        answer = found.answer(asked("a", "text/csv", x_amzn_sagemaker_custom_attributes="trace=1"))
        assert json.loads(answer.body) == ["model", "trace=1", "text/csv", "text/csv"]
        assert (answer.status, answer.content_type, answer.custom_attributes) == (202, "application/x-told", "trace=2")
        again = found.answer(asked("a", "text/csv"))
        assert json.loads(again.body)[1] is None, "of the call before nothing is left"

    def test_context_for_every_function(self, make_model):
        model = make_model(
            {
                "inference.py": """
                def model_fn(model_dir, context): return context
                def input_fn(data, content_type, context): return context
                def predict_fn(data, model, context): return data is model is context
                def output_fn(prediction, accept, context): return str(prediction)
                """
            }
        )
        assert loaded(model).answer(asked("a", "text/csv")).body == b"True"

    def test_before_and_after_the_model(self, make_model):
        model = make_model(
            {
                "inference.py": """
                order = []
                def pre_model_fn(model_dir): order.append("before")
                def model_fn(model_dir):
                    order.append("model")
                    return "m"
                def model_warmup_fn(model_dir, model): order.append("after " + model)
                def transform_fn(model, data, content_type, accept): return ", ".join(order)
                """
            }
        )
        assert loaded(model).answer(asked("a", "text/csv")).body == b"before, model, after m"


class TestAnswers:
    @pytest.mark.parametrize(
        ("returned", "body"),
        [
            ("'text'", b"text"),
            ("b'bytes'", b"bytes"),
            ("bytearray(b'bytes')", b"bytes"),
            ("memoryview(b'bytes')", b"bytes"),
            ("__import__('io').BytesIO(b'bytes')", b"bytes"),
            ("{'a': [1]}", b'{"a": [1]}'),
            ("[0.5]", b"[0.5]"),
        ],
    )
    def test_bodies(self, make_model, returned, body):
        script = f"def transform_fn(model, data, content_type, accept):\n    return {returned}\n"
        answer = seen(make_model, script).answer(asked("a", "text/csv", "application/json"))
        assert (answer.status, answer.body, answer.content_type) == (200, body, "application/json")

    def test_a_body_and_its_type(self, make_model):
        script = "def transform_fn(model, data, content_type, accept):\n    return 'a,b', 'text/csv'\n"
        answer = seen(make_model, script).answer(asked("a", "text/csv", "application/json"))
        assert (answer.body, answer.content_type) == (b"a,b", "text/csv")

    def test_what_is_no_body(self, make_model):
        script = "def transform_fn(model, data, content_type, accept):\n    return object()\n"
        answer = seen(make_model, script).answer(asked("a", "text/csv"))
        assert answer.status == 500
        assert answer.body.startswith(b"output_fn returned object, which is no body of an answer; return text, bytes")

    def test_worker_response(self, make_model):
        """scikit-learn's scripts of 2018 to 2020."""
        script = """
from sagemaker_containers.beta.framework import encoders, worker
def transform_fn(model, data, content_type, accept):
    return worker.Response(encoders.encode([1, 2], accept), accept, mimetype=accept)
"""
        answer = seen(make_model, script).answer(asked("a", "text/csv", "application/json"))
        assert (answer.body, answer.content_type) == (b"[1, 2]", "application/json")


class TestErrors:
    def test_message_and_traceback(self, make_model):
        found = seen(make_model, "def transform_fn(model, data, content_type, accept):\n    return {}['lost']\n")
        answer = found.answer(asked("a", "text/csv"))
        message, _, trace = answer.body.decode().partition("\n")
        assert (answer.status, message) == (500, "'lost'")
        assert trace.startswith("Traceback (most recent call last):")
        assert "return {}['lost']" in trace
        assert trace.endswith("KeyError: 'lost'\n")

    def test_one_with_a_status_of_its_own(self, make_model):
        script = """
from sagemaker_inference import errors
def transform_fn(model, data, content_type, accept):
    raise errors.BaseInferenceToolkitError(422, "too few columns", "Unprocessable")
"""
        answer = seen(make_model, script).answer(asked("a", "text/csv"))
        assert (answer.status, answer.body.partition(b"\n")[0]) == (422, b"too few columns")

    @pytest.mark.parametrize(
        ("name", "words"), [("input_fn", "data"), ("predict_fn", "data, model, context, more"), ("output_fn", "")]
    )
    def test_another_number_of_arguments(self, make_model, name, words):
        script = "def predict_fn(data, model): return data\n" if name != "predict_fn" else ""
        answer = seen(make_model, f"{script}def {name}({words}): return '1'\n").answer(asked("[1]", "application/json"))
        count = len(words.split(", ")) if words else 0
        assert (answer.status, answer.body.decode().partition("\n")[0]) == (
            500,
            f"{name} takes {count} arguments but 2 were given.",
        )

    def test_model_fn_of_another_number_of_arguments_is_not_served(self, make_model):
        with pytest.raises(TypeError, match="model_fn takes 0 arguments but 1 were given"):
            loaded(make_model({"inference.py": "def model_fn(): pass"}))

    @pytest.mark.parametrize("name", ["input_fn", "predict_fn", "output_fn"])
    def test_transform_fn_beside_what_it_replaces(self, make_model, name):
        script = f"def model_fn(d): pass\ndef transform_fn(m, d, c, a): pass\ndef {name}(a, b): pass\n"
        with pytest.raises(ValueError, match="Cannot use transform_fn implementation in conjunction with"):
            loaded(make_model({"inference.py": script}))

    def test_no_model_fn(self, make_model):
        with pytest.raises(NotImplementedError, match="Please provide a model_fn implementation"):
            loaded(make_model({"inference.py": ""}))

    def test_text_that_is_none(self, make_model):
        found = seen(make_model, "def transform_fn(model, data, content_type, accept): return data\n")
        assert found.answer(asked(b"\xff\xfe\xfd", "text/csv")).status == 500


class TestWhereTheCodeLies:
    def test_what_lies_beside_it_and_in_lib_comes_first(self, make_model, monkeypatch):
        monkeypatch.delitem(sys.modules, "yaml", raising=False)  # another test's
        model = make_model(
            {
                "inference.py": "import helper, yaml\ndef model_fn(d): return helper.A + yaml.B\n"
                "def transform_fn(m, d, c, a): return m\n",
                "helper.py": "A = 'beside '",
                "lib/yaml.py": "B = 'in lib'",
            }
        )
        assert loaded(model).answer(asked("a", "text/csv")).body == b"beside in lib"

    @pytest.mark.parametrize("program", ["serve_it.py", "serve_it", "steps/serve_it.py"])
    def test_sagemaker_program(self, make_model, program):
        script = "def model_fn(d): return 'mine'\ndef transform_fn(m, d, c, a): return m\n"
        file = program if program.endswith(".py") else f"{program}.py"
        found = loaded(make_model({file: script}), SAGEMAKER_PROGRAM=program)
        assert found.answer(asked("a", "text/csv")).body == b"mine"

    def test_a_program_that_is_not_there(self, make_model):
        model = make_model({"inference.py": "", "helper.py": ""})
        with pytest.raises(
            CustomerError, match=r"names inferense.py, which is not in the model's code; did you mean inf"
        ):
            loaded(model, SAGEMAKER_PROGRAM="inferense.py")

    @pytest.mark.parametrize("given", ["s3://b/sourcedir.tar.gz", "/opt/ml/code"])
    def test_code_beside_the_model(self, make_model, given):
        model = make_model()
        (model.parent / "code").mkdir()
        script = "def model_fn(d): return 'beside'\ndef transform_fn(m, d, c, a): return m\n"
        (model.parent / "code" / "train.py").write_text(script)
        found = loaded(model, SAGEMAKER_SUBMIT_DIRECTORY=given, SAGEMAKER_PROGRAM="train.py")
        assert found.answer(asked("a", "text/csv")).body == b"beside"


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    script = "def model_fn(d): return 0\ndef predict_fn(data, model): return data\n"
    with models(tmp_path_factory.mktemp("echo")) as make:
        yield loaded(make({"inference.py": script}))


class TestMediaTypes:
    """The toolkit's own decoders and encoders, by way of the default functions."""

    @given(st.lists(st.lists(st.integers(-99, 99), min_size=2, max_size=2), min_size=2, max_size=5))
    def test_there_and_back(self, echo, rows):
        array = np.array(rows)
        stream = io.BytesIO()
        np.save(stream, array)
        bodies = {
            "application/json": json.dumps(rows).encode(),
            "text/csv": "\n".join(",".join(map(str, row)) for row in rows).encode(),
            "application/x-npy": stream.getvalue(),
        }
        for sent, body in bodies.items():
            for wanted in bodies:
                answer = echo.answer(asked(body, sent, wanted))
                assert (answer.status, answer.content_type) == (200, wanted), answer.body
                assert np.array_equal(read(answer.body, wanted), array)

    @given(st.binary(max_size=64), st.sampled_from(["application/json", "text/csv", "application/x-npy"]), st.text())
    def test_any_body_is_answered(self, echo, body, content_type, accept):
        answer = echo.answer(asked(body, content_type, accept))
        assert answer.status in (200, 500)

    def test_the_first_of_a_list_that_is_known(self, echo):
        answer = echo.answer(asked("[1]", "application/json", "image/png, text/csv;q=0.9, application/json"))
        assert (answer.body, answer.content_type) == (b"1\n", "text/csv")

    def test_none_that_is_known(self, echo):
        answer = echo.answer(asked("[1]", "application/json", "image/png"))
        assert answer.status == 500
        assert answer.body.startswith(b"Content type image/png is not supported by this framework.\nTraceback")

    def test_pickles_of_a_stranger_are_not_loaded(self, echo):
        stream = io.BytesIO()
        np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        answer = echo.answer(asked(stream.getvalue(), "application/x-npy"))
        assert (answer.status, answer.body.partition(b"\n")[0]) == (
            500,
            b"Object arrays cannot be loaded when allow_pickle=False",
        )


def read(body: bytes, content_type: str) -> np.ndarray:
    if content_type == "application/json":
        return np.array(json.loads(body))
    if content_type == "text/csv":
        return np.genfromtxt(io.StringIO(body.decode()), delimiter=",")
    array: np.ndarray = np.load(io.BytesIO(body))
    return array
