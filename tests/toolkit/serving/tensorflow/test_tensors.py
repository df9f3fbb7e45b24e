"""JSON values and arrays: what goes in comes out, in rows and in columns; errors are TensorFlow Serving's."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clary.toolkit.serving.tensorflow.json_text import array_text
from clary.toolkit.serving.tensorflow.status import StatusError
from clary.toolkit.serving.tensorflow.tensors import (
    TensorInfo,
    from_inputs,
    from_instances,
    to_outputs,
    to_predictions,
)

NAMES = {"float32": "float", "float64": "double", "float16": "half", "object": "string"}
DTYPES = ["int8", "uint8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64", "bool"]
shapes = arrays.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=3)


def info(dtype: Any) -> TensorInfo:
    dtype = np.dtype(dtype)
    return TensorInfo("t:0", NAMES.get(dtype.name, dtype.name), dtype)


def elements(dtype: str) -> st.SearchStrategy[Any]:
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return st.floats(width=kind.itemsize * 8, allow_nan=False)  # type: ignore[arg-type]
    return arrays.from_dtype(kind)


tensors = st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, shapes, elements=elements(dtype)))


@given(tensors)
def test_rows_come_back_as_they_went(array: np.ndarray) -> None:
    document = json.loads(to_predictions({"y": array}))
    found = from_instances(document["predictions"], {"x": info(array.dtype)})["x"]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(tensors)
def test_columns_come_back_as_they_went(array: np.ndarray) -> None:
    document = json.loads(to_outputs({"y": array}))
    for value in (document["outputs"], {"x": document["outputs"]}):
        found = from_inputs(value, {"x": info(array.dtype)})["x"]
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@given(st.data(), st.integers(1, 3))
def test_named_tensors_are_the_same_in_rows_and_in_columns(data: st.DataObject, rows: int) -> None:
    dtypes = data.draw(st.lists(st.sampled_from(DTYPES), min_size=2, max_size=3))
    given_arrays = {
        f"n{at}": data.draw(arrays.arrays(dtype, (rows, 2), elements=elements(dtype)))
        for at, dtype in enumerate(dtypes)
    }
    infos = {name: info(array.dtype) for name, array in given_arrays.items()}
    by_row = from_instances(json.loads(to_predictions(given_arrays))["predictions"], infos)
    by_column = from_inputs(json.loads(to_outputs(given_arrays))["outputs"], infos)
    for name, array in given_arrays.items():
        np.testing.assert_array_equal(by_row[name], array)
        np.testing.assert_array_equal(by_column[name], array)


@given(st.lists(st.binary(max_size=6), min_size=1, max_size=4))
def test_bytes(values: list[bytes]) -> None:
    array = np.empty(len(values), object)
    array[:] = values
    found = json.loads(to_predictions({"y_bytes": array}))["predictions"]
    assert [base64.b64decode(one["b64"]) for one in found] == values
    assert from_instances(found, {"x": info(object)})["x"].tolist() == values


@given(st.floats(width=32))
def test_a_float_is_as_short_as_it_can_be(value: float) -> None:
    found = json.loads(array_text(np.array([value], np.float32)))[0]
    assert np.float32(found) == np.float32(value) or math.isnan(found)
    assert found == float(str(np.float32(value))) or math.isnan(found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=2),
        max_leaves=6,
    ),
    st.sampled_from([*DTYPES, "object"]),
)
def test_any_value_is_a_tensor_or_an_error(value: Any, dtype: str) -> None:
    inputs = {"x": info(dtype)}
    assert outcome(lambda: from_instances([value, value], inputs)) in ("400", "501", dtype)
    assert outcome(lambda: from_inputs(value, inputs)) in ("400", "501", dtype)


def outcome(read: Callable[[], dict[str, np.ndarray]]) -> str:
    try:
        return read()["x"].dtype.name
    except StatusError as error:
        return str(error.status)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        ([1.5], "int32", "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ([2**31], "int32", "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ([-1], "uint64", "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ([1, True], "float32", "JSON Value: true Type: True is not of expected type: float"),
        ([[1.5, 2.5], "ab"], "float32", 'JSON Value: "ab" found at incorrect level: 2 in the JSON DOM'),
        ([["1", "2"], ["3", "4"]], "float32", 'JSON Value: "1" Type: String is not of expected type: float'),
        ([1], "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        ([1], "object", "JSON Value: 1 Type: Number is not of expected type: string"),
        ([{"a": 1}], "object", "not formatted correctly for base64 data"),
        ([2**53], "float64", "Cannot convert JSON value: 9007199254740992 to double without loss of precision."),
        ([[1, 2], [3]], "float32", "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([1, [2]], "float32", "Encountered list at unexpected level: 1 expected < 1"),
    ],
)
def test_errors(value: Any, dtype: str, message: str) -> None:
    with pytest.raises(StatusError) as found:
        from_inputs(value, {"x": info(dtype)})
    assert message in found.value.message


def test_a_type_that_json_has_not() -> None:
    with pytest.raises(StatusError) as found:
        from_inputs([1], {"x": TensorInfo("t:0", "complex64", np.dtype("complex64"))})
    assert (found.value.status, found.value.message) == (501, "Conversion of JSON Value: 1 to type: complex64")


def test_outputs_of_two_batches() -> None:
    with pytest.raises(StatusError, match="Tensor name: b has inconsistent batch size: 1 expecting: 2"):
        to_predictions({"a": np.zeros(2), "b": np.zeros(1)})


def test_the_layout_of_the_text() -> None:
    """As TensorFlow Serving's, whose clients print it."""
    assert to_predictions({"y": np.array([[0.5, 1], [2, 3]], np.float32)}).decode().replace(" ", "") == (
        '{\n"predictions":[[0.5,1.0],[2.0,3.0]\n]\n}'
    )
    two = {"a": np.array([1], np.float32), "b": np.array([2], np.int32)}
    assert to_predictions(two).decode() == (
        '{\n    "predictions": [\n        {\n            "a": 1.0,\n            "b": 2\n        }\n    ]\n}'
    )


@pytest.mark.parametrize("leaf", ["1", '"a"', '{"b64": "YQ=="}'])
@pytest.mark.parametrize("dtype", ["float32", "int64", "object"])
@pytest.mark.parametrize("depth", [40, 900])
def test_lists_deeper_than_arrays_can_be(dtype: str, depth: int, leaf: str) -> None:
    deep = json.loads("[" * depth + leaf + "]" * depth)
    for read in (lambda: from_instances(deep, {"x": info(dtype)}), lambda: from_inputs(deep, {"x": info(dtype)})):
        with pytest.raises(StatusError, match=r"more than 32 dimensions"):
            read()
