"""Models of TensorFlow as SageMaker's serving image answers for them, asked as clients ask."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np
import pytest
from tests.toolkit.tensorflow_environment import OLD

from .conftest import Host, LoadFailed, Served, hosted

pytestmark = pytest.mark.slow  # TensorFlow's import


@pytest.fixture(scope="module")
def half(host: Host) -> Served:
    return host.serve({"half_plus_two/1": "half_plus_two"})


@pytest.fixture(scope="module")
def two(host: Host) -> Served:
    return host.serve({"export/Servo/1700000000": "two_inputs"})


@pytest.fixture(scope="module")
def old(host: Host) -> Served:
    return host.serve({"1": "of_version_1"})


class TestBodies:
    """The image's table of what becomes of which body."""

    @pytest.mark.parametrize(
        ("body", "content_type", "predictions"),
        [
            ('{"instances": [1.0, 2.0, 5.0]}', "application/json", [2.5, 3.0, 4.5]),
            # As boto3's programs write it.
            ('{"signature_name": "serving_default", "instances": [1, 2]}', "application/json", [2.5, 3.0]),
            ("1.0\n2.0\n5.0\n", "text/csv", [2.5, 3.0, 4.5]),
            ("1.0\r\n2.0", "text/csv", [2.5, 3.0]),
            ("7", "application/json", [5.5]),
        ],
    )
    def test_rows(self, half, body, content_type, predictions):
        found = half.answer(body, content_type)
        assert found.status == 200, found.body
        assert json.loads(found.body) == {"predictions": predictions}
        assert found.content_type == "application/json"

    @pytest.mark.parametrize("rows", [1, 3])
    def test_what_the_sdk_sends_of_an_array(self, old, rows):
        array = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        found = old.json(array.tolist(), accept="application/json")
        np.testing.assert_allclose(found["predictions"], array[:, :2])

    def test_several_values(self, old):
        lines = "[1, 2, 3]\n[4, 5, 6]\n"
        for content_type in ("application/jsonlines", "application/jsons", "application/json"):
            found = old.answer(lines, content_type)
            assert json.loads(found.body) == {"predictions": [[1.0, 2.0], [4.0, 5.0]]}
        named = '{"inputs_": 1}'
        assert old.answer(f"{named}\n{named}", "application/jsonlines").status == 400

    def test_csv_of_several_columns(self, old):
        assert json.loads(old.answer("1,2,3\n4,5,6", "text/csv").body) == {"predictions": [[1, 2], [4, 5]]}

    @pytest.mark.parametrize("content_type", ["application/x-npy", "image/jpeg", "application/json; charset=utf-8", ""])
    def test_other_types_are_refused(self, half, content_type):
        found = half.answer(b"\x93NUMPY", content_type)
        assert found.status == 415
        assert json.loads(found.body) == {"error": f"Unsupported Media Type: {content_type or 'Unknown'}"}

    @pytest.mark.parametrize(
        ("accept", "content_type", "lines"),
        [
            ("", "application/json", 4),
            ("*/*", "application/json", 4),
            ("application/json", "application/json", 1),
            ("application/jsonlines", "application/jsonlines", 1),
            ("text/csv, application/json", "text/csv", 1),
        ],
    )
    def test_accept(self, half, accept, content_type, lines):
        found = half.answer('{"instances": [1.0]}', accept=accept)
        assert found.content_type == content_type
        assert len(found.body.splitlines()) == lines
        assert json.loads(found.body) == {"predictions": [2.5]}


class TestSignatures:
    ROWS = ({"a": [1, 2], "b": [3, 4]}, {"a": [5, 6], "b": [0, 1]})

    def test_named_tensors_in_rows(self, two):
        found = two.json({"instances": self.ROWS})
        assert found == {
            "predictions": [{"product": [3, 8], "sum": [4, 6]}, {"product": [0, 6], "sum": [5, 7]}],
        }

    def test_named_tensors_in_columns(self, two):
        found = two.json({"inputs": {"a": [[1, 2], [5, 6]], "b": [[3, 4], [0, 1]]}})
        assert found == {"outputs": {"product": [[3, 8], [0, 6]], "sum": [[4, 6], [5, 7]]}}

    def test_one_by_its_name(self, two):
        found = two.json({"signature_name": "difference", "instances": self.ROWS})
        assert found == {"predictions": [[-2, -2], [5, 5]]}

    def test_one_that_is_not_there(self, two):
        message = 'Serving signature name: "serving" not found in signature def; this model has difference, '
        assert two.error({"signature_name": "serving", "instances": self.ROWS}) == f"{message}serving_default, total"

    def test_an_output_without_rows(self, two):
        columns = {"a": [[1, 2]], "b": [[3, 4]]}
        assert two.json({"signature_name": "total", "inputs": columns}) == {"outputs": 10}
        rows = {"signature_name": "total", "instances": self.ROWS}
        assert two.error(rows) == "Tensor name: total has no shape information "

    def test_one_input_in_columns(self, half):
        assert half.json({"inputs": [1.0, 2.0]}) == {"outputs": [2.5, 3.0]}
        assert half.json({"inputs": {"x": [1.0]}}) == {"outputs": [2.5]}

    def test_every_type_there_and_back(self, host):
        served = host.serve({"m/1": "types"})
        given: dict[str, list[Any]] = {
            f"{name}_": [41] for name in ("int8", "uint8", "int16", "int32", "int64", "uint32")
        }
        given |= {"float16_": [0.5], "float32_": [0.1], "float64_": [0.1]}
        given |= {"bool_": [True], "string_": ["ü"], "uint64_": [2**63]}
        found = served.json({"inputs": given})["outputs"]
        assert found.pop("string") == ["üü"]
        assert found.pop("bool") == [False]
        assert found.pop("uint64") == [2**63 + 1]
        assert found.pop("float16") == [1.5]
        # As short as it reads back the same: no digits that a float32 never had.
        assert found.pop("float32") == [1.1]
        assert found.pop("float64") == [1.1]
        assert set(found) == {"int8", "uint8", "int16", "int32", "int64", "uint32"}
        assert all(values == [42] for values in found.values())

    def test_bytes(self, host):
        served = host.serve({"m/1": "pictures"})
        encoded = base64.b64encode(b"\xff\xd8\xff").decode()
        (row,) = served.json({"instances": [{"b64": encoded}]})["predictions"]
        assert row == {"classes": "3", "copy_bytes": {"b64": encoded}, "length": 3}
        (named,) = served.json({"instances": [{"image_bytes": {"b64": encoded}}]})["predictions"]
        assert named == row
        assert served.error({"instances": [{"b64": "%"}]}).endswith("Unable to base64 decode")

    def test_what_is_no_number(self, host):
        served = host.serve({"m/1": "logarithm"})
        found = served.answer('{"instances": [0.0, -1.0, 1.0, NaN]}')
        assert b"[-Infinity,NaN,0.0,NaN" in found.body
        values = json.loads(found.body)["predictions"]
        assert values[0] == -math.inf
        assert math.isnan(values[1])


class TestErrors:
    """TensorFlow Serving's own words, status 400."""

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"instances": 1}, "Excepting 'instances' to be an list/array"),
            ({"instances": []}, "No values in 'instances' array"),
            ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances' keys to exist "),
            ({"examples": [1]}, "Missing 'inputs' or 'instances' key"),
            ({"signature_name": 7, "instances": [1]}, "'signature_name' key must be a string value."),
            ({"instances": ["a"]}, 'JSON Value: "a" Type: String is not of expected type: float'),
            ({"instances": [None]}, "JSON Value: null Type: Null is not of expected type: float"),
            ({"instances": [True]}, "JSON Value: true Type: True is not of expected type: float"),
            ({"instances": [{"y": 1}]}, "JSON object: does not have named input: y"),
            ({"instances": [1, [2]]}, "element: 1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape []"),
            ({"instances": [[1], [2, 3]]}, "Expecting tensor size: 1 but got: 2"),
            ({"instances": [[[1], 2]]}, "found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
            ({"instances": [16777217]}, "Cannot convert JSON value: 16777217 to float without loss of precision."),
            ({"instances": [1e39]}, "to float without loss of precision."),
            ({"inputs": {"z": [1]}}, "Missing named input: x in 'inputs' object."),
        ],
    )
    def test_a_document(self, half, document, message):
        assert message in half.error(document)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("", "JSON Parse error: The document is empty"),
            ("nonsense", "JSON Parse error: Invalid value. at offset: 0"),
            ('{"instances": [1.0 2.0]}', "Missing a comma or ] after an array element. at offset: 19"),
            ('{"instances" [1.0]}', "Missing a colon after a name of object member. at offset: 13"),
        ],
    )
    def test_what_is_no_json(self, half, body, message):
        found = half.answer(body)
        assert (found.status, found.content_type) == (400, "application/json")
        assert message in json.loads(found.body)["error"]

    def test_a_plain_list_for_several_inputs(self, two):
        assert two.error({"instances": [[1, 2]]}).startswith("instances is a plain list, but expecting list of objects")
        assert two.error({"inputs": [[1, 2]]}).startswith("inputs is a plain value/list, but expecting an object")
        assert "keys must be equal to: a,b" in two.error({"instances": [{"a": [1, 2]}]})

    def test_shapes_are_the_operations_to_refuse(self, old):
        message = old.error({"instances": [[1.0, 2.0]]})
        assert message.startswith("Matrix size-incompatible: In[0]: [1,2], In[1]: [3,2]")
        # The next one is answered.
        assert old.json({"instances": [[1, 2, 3]]}) == {"predictions": [[1, 2]]}


class TestClassifyAndRegress:
    EXAMPLES = ({"x": [0.25, 0.5, 0.0]}, {"x": [1.0, 2.0, 0.0]})

    def test_classify(self, old):
        document = {"signature_name": "classify", "examples": self.EXAMPLES}
        found = old.json(document, attributes="tfs-method=classify")
        assert found == {"results": [[["cat", 0.25], ["dog", 0.5]], [["cat", 1.0], ["dog", 2.0]]]}

    def test_regress(self, old):
        document = {"signature_name": "regress", "examples": self.EXAMPLES}
        assert old.json(document, attributes="tfs-method=regress") == {"results": [0.25, 1.0]}

    def test_features_that_all_have(self, old):
        document = {"signature_name": "regress", "context": {"x": [3.0, 0.0, 0.0]}, "examples": [{}]}
        assert old.json(document, attributes="tfs-method=regress") == {"results": [3.0]}

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            (
                {"examples": [{"x": [1.0]}]},
                "Expected classification signature method_name to be tensorflow/serving/cla",
            ),
            ({"signature_name": "no", "examples": [{}]}, "No signature was found with the name: no"),
            ({"instances": [1]}, "When method is classify, key 'examples' is expected and was not found"),
            ({"examples": []}, "'examples' value is an empty array"),
            ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
            ({"examples": [{"x": [1, 2.0]}]}, "Unexpected element type in feature: x expecting type: int64"),
            ({"examples": [{"x": [None]}]}, "Feature: x has element with unexpected JSON type: Null"),
            ({"signature_name": "classify", "examples": [{}]}, "Name: <unknown>, Feature: x (data type: float) is req"),
        ],
    )
    def test_errors(self, old, document, message):
        assert message in old.error(document, attributes="tfs-method=classify")

    def test_another_method(self, old):
        assert old.error({"instances": [1]}, attributes="tfs-method=train").startswith("Malformed request: POST ")


class TestModels:
    def test_the_one_that_the_attributes_name(self, host):
        served = host.serve({"a/1": "half_plus_two", "a/2": "half_plus_three", "b/7": "half_plus_three"})
        one = {"instances": [1.0]}
        # The first model's highest version.
        assert served.json(one) == {"predictions": [3.5]}
        assert served.json(one, attributes="tfs-model-name=a,tfs-model-version=1") == {"predictions": [2.5]}
        assert served.json(one, attributes="tfs-model-name=b,tfs-method=predict") == {"predictions": [3.5]}
        missing = served.json(one, attributes="tfs-model-name=c", status=404)
        assert missing == {"error": "Servable not found for request: Latest(c)"}
        missing = served.json(one, attributes="tfs-model-version=9", status=404)
        assert missing == {"error": "Servable not found for request: Specific(a, 9)"}

    def test_a_default_of_the_models_env(self, host):
        variables = {"SAGEMAKER_TFS_DEFAULT_MODEL_NAME": "b"}
        served = host.serve({"a/1": "half_plus_two", "b/7": "half_plus_three"}, variables=variables)
        assert served.json({"instances": [1.0]}) == {"predictions": [3.5]}

    def test_none(self, host):
        with pytest.raises(
            LoadFailed, match=r"no SavedModel bundles found!; save it as <name>/<number>/saved_model.pb"
        ):
            host.serve({}, {"inference.py": ""})

    def test_a_model_that_is_broken(self, host):
        folder = host.model_dir({})
        (folder / "m/1").mkdir(parents=True)
        (folder / "m/1/saved_model.pb").write_bytes(b"nonsense")
        with pytest.raises(LoadFailed, match=r"Cannot parse file .*saved_model.pb"):
            host("load", str(folder), {})

    @pytest.mark.parametrize("name", ["keras_file", "keras_h5", "keras_export"])
    def test_what_only_clary_serves(self, host, name):
        served = host.serve({"mine": name})
        assert served.json({"instances": [[1.0, 2.0], [3.0, 4.0]]}) == {"predictions": [[3.0], [7.0]]}
        assert "served all the same, by Clary alone" in host.log()

    def test_a_model_of_keras_3_that_tensorflow_wrote(self, host):
        served = host.serve({"frozen/1": "keras_frozen"})
        assert served.json({"instances": [[1.0, 2.0], [3.0, 6.0]]}) == {"predictions": [[0.0], [4.0]]}
        assert "model frozen: written by tf.saved_model.save of a Keras 3 model" in host.log()

    def test_keras_2_for_images_of_its_time(self, tmp_path):
        with hosted(tmp_path, OLD) as host:
            served = host.serve({"mine": "keras_h5"})
            assert served.json({"instances": [[1.0, 2.0]]}) == {"predictions": [[3.0]]}
            script = "import os\ndef handler(d, c):\n    return os.environ['TF_USE_LEGACY_KERAS'], 'text/plain'\n"
            assert host.serve({"m/1": "half_plus_two"}, {"inference.py": script}).answer("").body == b"1"

    def test_weights_alone_are_no_model(self, host):
        with pytest.raises(LoadFailed, match=r"net.weights.h5: holds weights without a model; save the whole"):
            host.serve({"mine": "keras_weights"})

    def test_variables_without_effect_are_named(self, host):
        host.serve({"a/1": "half_plus_two"}, variables={"SAGEMAKER_TFS_ENABLE_BATCHING": "true"})
        assert "without effect here: SAGEMAKER_TFS_ENABLE_BATCHING" in host.log()
        host.serve({"a/1": "half_plus_two"}, variables={"SAGEMAKER_GUNICORN_WORKERS": "4"})
        assert "without effect here: SAGEMAKER_GUNICORN_WORKERS" in host.log()
        with pytest.raises(LoadFailed, match="SAGEMAKER_TFS_INTRA_OP_PARALLELISM: is 'two', not a whole number"):
            host.serve({"a/1": "half_plus_two"}, variables={"SAGEMAKER_TFS_INTRA_OP_PARALLELISM": "two"})


# The image's own documentation has these two.
BOTH_HANDLERS = """
import json

def input_handler(data, context):
    if context.request_content_type == 'application/json':
        d = data.read().decode('utf-8')
        return d if len(d) else ''
    if context.request_content_type == 'text/csv':
        return json.dumps({'instances': [float(x) for x in data.read().decode('utf-8').split(',')]})
    raise ValueError('{{"error": "unsupported content type {}"}}'.format(context.request_content_type or "unknown"))


def output_handler(data, context):
    if data.status_code != 200:
        raise ValueError(data.content.decode('utf-8'))
    response_content_type = context.accept_header
    prediction = data.content
    return prediction, response_content_type
"""
ONE_HANDLER = """
import io
import json
import numpy as np
import requests

def handler(data, context):
    if context.request_content_type == "application/x-npy":
        instances = np.load(io.BytesIO(data.read())).tolist()
    else:
        instances = json.loads(data.read().decode("utf-8"))["instances"]
    response = requests.post(context.rest_uri, data=json.dumps({"instances": instances}))
    return json.dumps({"found": response.json(), "told": context._asdict()}), "application/json"
"""


@pytest.fixture(scope="module")
def both(host: Host) -> Served:
    return host.serve({"half_plus_two/1": "half_plus_two"}, {"inference.py": BOTH_HANDLERS})


@pytest.fixture(scope="module")
def one(host: Host) -> Served:
    models = {"half_plus_three/3": "half_plus_three", "half_plus_two/1": "half_plus_two"}
    return host.serve(models, {"inference.py": ONE_HANDLER})


class TestHandlers:
    def test_what_the_input_handler_makes_is_posted(self, both):
        assert both.streams == 1
        assert both.json({"instances": [1.0, 2.0]}) == {"predictions": [2.5, 3.0]}
        found = both.answer("1.0,2.0,5.0", "text/csv", "application/json")
        assert json.loads(found.body) == {"predictions": [2.5, 3.0, 4.5]}
        assert found.content_type == "application/json"

    def test_errors_of_theirs_are_500(self, both):
        found = both.json({"instances": ["a"]}, status=500)
        assert "is not of expected type: float" in found["error"]
        found = json.loads(both.answer("x", "text/plain").body)
        assert found == {"error": '{"error": "unsupported content type text/plain"}'}

    def test_a_handler_asks_by_http(self, one):
        import io

        stream = io.BytesIO()
        np.save(stream, np.array([1.0, 2.0]))
        found = one.answer(stream.getvalue(), "application/x-npy", "", "tfs-model-name=half_plus_two,mine=1")
        assert found.status == 200, found.body
        told = json.loads(found.body)
        assert told["found"] == {"predictions": [2.5, 3.0]}
        assert told["told"] | {"rest_uri": ""} == {
            "model_name": "half_plus_two",
            "model_version": None,
            "method": None,
            "rest_uri": "",
            "grpc_port": None,
            "channel": None,
            "custom_attributes": "tfs-model-name=half_plus_two,mine=1",
            "request_content_type": "application/x-npy",
            "accept_header": "application/json",
            "content_length": len(stream.getvalue()),
        }
        assert told["told"]["rest_uri"].endswith("/v1/models/half_plus_two:predict")
        # The default model, where none is named.
        assert one.json({"instances": [1.0]})["found"] == {"predictions": [3.5]}

    def test_the_rest_api_has_more(self, host):
        script = (
            "import requests\n"
            "def handler(data, context):\n"
            "    uri = context.rest_uri.rpartition(':')[0]\n"
            "    return requests.get(uri + data.read().decode()).content, 'application/json'\n"
        )
        served = host.serve({"m/1": "half_plus_two", "m/2": "half_plus_two"}, {"inference.py": script})
        states = json.loads(served.answer("").body)["model_version_status"]
        assert [(one["version"], one["state"]) for one in states] == [("2", "AVAILABLE"), ("1", "AVAILABLE")]
        told = json.loads(served.answer("/versions/1/metadata").body)
        assert told["model_spec"]["version"] == "1"
        inputs = told["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
        assert inputs["x"]["dtype"] == "DT_FLOAT"
        assert b"Malformed request: GET " in served.answer("/nonsense").body

    def test_what_the_code_brings_along(self, host):
        script = "import of_lib\ndef handler(data, context):\n    return of_lib.WORD, 'text/plain'\n"
        served = host.serve({"m/1": "half_plus_two"}, {"inference.py": script, "lib/of_lib.py": "WORD = b'lib'\n"})
        assert served.answer("{}").body == b"lib"

    @pytest.mark.parametrize(
        ("script", "kind", "message"),
        [
            (
                "def predict_fn(a, b): pass\n",
                "NotImplementedError",
                "Handlers are not implemented correctly in user sc",
            ),
            ("import of_nobody\n", "ModuleNotFoundError", "No module named 'of_nobody'"),
            (
                "from tensorflow_serving.apis import predict_pb2\n",
                "CustomerError",
                "has no gRPC; ask context.rest_uri by requests.post",
            ),
        ],
    )
    def test_what_cannot_be_loaded(self, host, script, kind, message):
        with pytest.raises(LoadFailed, match=message) as found:
            host.serve({"m/1": "half_plus_two"}, {"inference.py": script})
        assert found.value.kind == kind

    @pytest.mark.parametrize(
        ("result", "message"),
        [("b'x'", "not enough values to unpack"), ("None", "cannot unpack non-iterable NoneType")],
    )
    def test_a_handler_that_returns_something_else(self, host, result, message):
        served = host.serve({"m/1": "half_plus_two"}, {"inference.py": f"def handler(d, c):\n    return {result}\n"})
        found = served.answer("{}")
        assert found.status == 500
        assert message in json.loads(found.body)["error"]
