"""TensorFlow Serving's REST API over loaded models. Source: http_rest_api_handler.cc, predict_util.cc, classifier.cc.

POST /v1/models/<name>[/versions/<n>]:predict|classify|regress
GET  /v1/models/<name>[/versions/<n>][/metadata]
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from clary.toolkit.serving.tensorflow.json_text import array_text, parse, shown, string_text
from clary.toolkit.serving.tensorflow.saved_model import SavedModel, Signature
from clary.toolkit.serving.tensorflow.status import StatusError, invalid, not_found
from clary.toolkit.serving.tensorflow.tensors import (
    decoded_base64,
    from_inputs,
    from_instances,
    json_type,
    to_outputs,
    to_predictions,
)

__all__ = ["RestApi", "error_body"]

DEFAULT_SIGNATURE = "serving_default"
_CALL = re.compile(r"(?i)/v1/models/([^/:]+)(?:/versions/(\d{1,19}))?:(classify|regress|predict)", re.ASCII)
_STATUS = re.compile(r"(?i)/v1/models/([^/:]+)(?:/versions/(\d{1,19}))?(/metadata)?", re.ASCII)
_VERSION = re.compile(r"\d{1,19}", re.ASCII)

Models = Mapping[str, Mapping[int, SavedModel]]


def error_body(message: str) -> bytes:
    return f'{{\n    "error": {string_text(message)}\n}}'.encode(
        errors="replace"
    )  # JSON spells halves of characters, which UTF-8 has not


class RestApi:
    """``models`` by name and version. Any number of threads may ask at once."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._methods: Mapping[str, Callable[[SavedModel, Any], bytes]] = {
            "predict": _predict,
            "classify": _classify,
            "regress": _regress,
        }

    def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """The answer to a request by HTTP: status and JSON."""
        try:
            if method == "POST" and (call := _CALL.fullmatch(path)):
                return 200, self._call(call[1], call[2] or "", call[3].lower(), parse(body))
            if method == "GET" and (asked := _STATUS.fullmatch(path)):
                versions = self._versions(asked[1], asked[2] or "", "Could not find any versions of model {}")
                return 200, _metadata(asked[1], *max(versions.items())) if asked[3] else _availability(versions)
            raise invalid(f"Malformed request: {method} {path}")
        except StatusError as error:
            return error.status, error_body(error.message)

    def call(self, model: str, version: str, method: str, document: Any) -> tuple[int, bytes]:
        """The answer to a document that is read already."""
        try:
            return 200, self._call(model, version, method, document)
        except StatusError as error:
            return error.status, error_body(error.message)

    def _call(self, model: str, version: str, method: str, document: Any) -> bytes:
        if method not in self._methods:
            raise invalid(f"Malformed request: POST /v1/models/{model}:{method}")
        asked = f"Specific({{}}, {version})" if version else "Latest({})"
        # The path in which TensorFlow Serving would find no number.
        if version and not _VERSION.fullmatch(version):
            raise invalid(f"Malformed request: POST /v1/models/{model}/versions/{version[:40]}:{method}")
        versions = self._versions(model, version, f"Servable not found for request: {asked}")
        if not isinstance(document, dict):
            raise invalid(f"JSON Value: {shown(document)} Is not object")
        return self._methods[method](versions[max(versions)], document)

    def _versions(self, model: str, version: str, missing: str) -> Mapping[int, SavedModel]:
        versions = self._models.get(model, {})
        found = {int(version): versions[int(version)]} if version and int(version) in versions else {}
        if not (found or (versions and not version)):
            raise not_found(missing.format(model))
        return found or versions


def _signature_name(document: dict[str, Any]) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or DEFAULT_SIGNATURE


def _predict(model: SavedModel, document: dict[str, Any]) -> bytes:
    signature = model.signature(_signature_name(document))
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {document.get('signature_name') or 'DEFAULT'}")
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid("Missing 'inputs' or 'instances' key")
        return to_outputs(signature.run(from_inputs(document["inputs"], signature.inputs)))
    instances = document["instances"]
    if "inputs" in document:
        raise _format(document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ")
    if not isinstance(instances, list):
        raise _format(document, "Excepting 'instances' to be an list/array")
    if not instances:
        raise _format(document, "No values in 'instances' array")
    return to_predictions(signature.run(from_instances(instances, signature.inputs)))


def _format(document: Any, what: str) -> StatusError:
    return invalid(f"JSON Value: {shown(document)} {what}")


def _classify(model: SavedModel, document: dict[str, Any]) -> bytes:
    examples = _examples(document)
    signature = _of_method(model, document, "classification", "classify")
    if not signature.outputs.keys() & {"classes", "scores"} or len(signature.outputs) > 2:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
            f"was: {', '.join(signature.outputs)}"
        )
    outputs = signature.run({"inputs": examples})
    for name, array in outputs.items():
        if array.ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
        if len(array) != len(examples):
            raise invalid(f"Expected {name} output batch size of {len(examples)}. Got: {len(array)}")
    shape = next(iter(outputs.values())).shape
    labels = outputs.get("classes", np.full(shape, b"", object))
    scores = outputs.get("scores", np.zeros(shape, np.float32))
    rows = (
        ", ".join(f"[{string_text(label)}, {array_text(score)}]" for label, score in zip(*row, strict=True))
        for row in zip(labels, scores, strict=True)
    )
    return _results(", ".join(f"[{row}]" for row in rows))


def _regress(model: SavedModel, document: dict[str, Any]) -> bytes:
    examples = _examples(document)
    signature = _of_method(model, document, "regression", "regress")
    if list(signature.outputs) != ["outputs"]:
        raise invalid("Expected one output Tensor.")
    (values,) = signature.run({"inputs": examples}).values()
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got " + _shape(values)
        )
    if len(values) != len(examples):
        raise invalid(f"Input batch size did not match output batch size: {len(examples)} vs. {len(values)}")
    return _results(array_text(values.reshape(-1))[1:-1])


def _results(inside: str) -> bytes:
    return f'{{\n    "results": [{inside}\n    ]\n}}'.encode()


def _of_method(model: SavedModel, document: dict[str, Any], noun: str, method: str) -> Signature:
    name = _signature_name(document)
    if name not in model.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = model.signatures[name]
    if signature.method != f"tensorflow/serving/{method}":
        expected = f"Expected {noun} signature method_name to be tensorflow/serving/{method}"
        raise invalid(f"{expected}. Was: {signature.method}")
    if list(signature.inputs) != ["inputs"]:
        raise invalid("Expected one input Tensor.")
    return signature


def _examples(document: dict[str, Any]) -> np.ndarray:
    """Serialized tf.Examples, one a row; ``context`` is a part of each."""
    from tensorflow.core.example.example_pb2 import Example

    rows = document.get("examples")
    if "examples" not in document:
        raise _format(document, "When method is classify, key 'examples' is expected and was not found")
    if not isinstance(rows, list):
        raise _format(document, "Expecting 'examples' value to be an list/array")
    if not rows:
        raise _format(document, "'examples' value is an empty array")
    made = np.empty(len(rows), object)
    for at, row in enumerate(rows):
        example = Example()
        for features in (document.get("context", {}), row):
            if not isinstance(features, dict):
                raise invalid(f"Example must be JSON object but got JSON {json_type(features)}")
            for name, value in features.items():
                _fill_feature(example.features.feature[name], name, value)
        made[at] = example.SerializeToString()
    return made


def _fill_feature(feature: Any, name: str, value: Any) -> None:
    """A feature has one kind, that of its first value: integers, floats, or bytes."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (bool, int)):
            kind, one = "int64_list", int(one)
            if not -(2**63) <= one < 2**63:
                raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        elif isinstance(one, float):
            kind = "float_list"
        elif isinstance(one, str):
            kind, one = "bytes_list", one.encode(errors="surrogatepass")
        elif isinstance(one, dict) and set(one) == {"b64"}:
            kind, one = "bytes_list", decoded_base64(one)
        else:
            raise invalid(f"Feature: {name} has element with unexpected JSON type: {json_type(one)}")
        has = feature.WhichOneof("kind")
        if has not in (None, kind):
            raise invalid(f"Unexpected element type in feature: {name} expecting type: {has.removesuffix('_list')}")
        getattr(feature, kind).value.append(one)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _availability(versions: Mapping[int, SavedModel]) -> bytes:
    told = [
        {"version": str(version), "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        for version in sorted(versions, reverse=True)
    ]
    return json.dumps({"model_version_status": told}, indent=1).encode()


def _metadata(name: str, version: int, model: SavedModel) -> bytes:
    from google.protobuf.json_format import MessageToDict

    definitions = {
        key: MessageToDict(signature.definition, preserving_proto_field_name=True)
        for key, signature in model.signatures.items()
    }
    told = {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }
    return json.dumps(told, indent=1).encode()
