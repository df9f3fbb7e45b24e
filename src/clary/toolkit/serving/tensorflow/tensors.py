"""JSON values to arrays and back, with TensorFlow Serving's errors. Source: json_tensor.cc."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from clary.toolkit.serving.tensorflow.json_text import array_text, shown, string_text
from clary.toolkit.serving.tensorflow.status import StatusError, invalid, unimplemented

__all__ = ["TensorInfo", "decoded_base64", "from_inputs", "from_instances", "json_type", "to_outputs", "to_predictions"]

_INT32 = (-(2**31), 2**31 - 1)
# What numbers of a JSON document may be for a type: smaller integers are read as 32 bits, and cut.
_RANGES = {
    "int8": _INT32,
    "uint8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_MOST_DIMENSIONS = 32  # of an array of numpy 1
_FLOATS = ("float", "double", "half", "bfloat16")
# The largest integer that a float has whole. Source: json_tensor.cc, IsLosslessDecimal.
_LARGEST = {"float": 2**24 - 1, "double": 2**53 - 1}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a signature. ``tensor`` is its name in the graph, ``type_name`` TensorFlow's name of its
    type ("float"), ``dtype`` numpy's: object for strings, None for one that has no JSON."""

    tensor: str
    type_name: str
    dtype: Any


def _is_base64(value: Any) -> bool:
    """Whether a value is ``{"b64": "..."}``."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def from_instances(instances: Sequence[Any], inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """The row format: arrays of shape (rows, ...), by input. Raises StatusError."""
    first = instances[0]
    if not isinstance(first, dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if isinstance(first, dict) and not _is_base64(first):
        _check_objects(instances, inputs)
        return {
            name: _array([row[name] for row in instances], info, partial(" {1} key: {0}".format, name))
            for name, info in inputs.items()
        }
    ((name, info),) = inputs.items()
    for at, value in enumerate(instances):
        if isinstance(value, dict) and not _is_base64(value):
            raise invalid(f"Expecting value/list but got object at item {at} of input list")
    return {name: _array(instances, info, " {}".format)}


def _check_objects(instances: Sequence[Any], inputs: Mapping[str, TensorInfo]) -> None:
    for at, row in enumerate(instances):
        if not isinstance(row, dict) or _is_base64(row):
            raise invalid(f"Expecting object but got list at item {at} of input list")
        for name in row:
            if name not in inputs:
                raise invalid(
                    f"Failed to process element: {at} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: JSON "
                    f"object: does not have named input: {name}"
                )
        if len(row) != len(inputs):
            names = ",".join(sorted(inputs))
            raise invalid(
                f"Failed to process element: {at} of 'instances' list. JSON object: {shown(row)} keys must be equal "
                f"to: {names}"
            )


def from_inputs(value: Any, inputs: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """The column format: arrays by input, of whatever shape they come. Raises StatusError."""
    if not isinstance(value, dict) or _is_base64(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        ((name, info),) = inputs.items()
        return {name: _of_value(value, info)}
    for name in inputs:
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _of_value(value[name], info) for name, info in inputs.items()}


def _array(rows: Sequence[Any], info: TensorInfo, place: Callable[[int], str]) -> np.ndarray:
    """Rows of one tensor. ``place`` names a row in an error."""
    found = _numbers(rows, info)
    if found is not None:
        return found
    # Whatever is not plain numbers: strings, and what is wrong and has to be said of the very row.
    shape: tuple[int, ...] | None = None
    flat: list[Any] = []
    for at, row in enumerate(rows):
        try:
            row_shape, before = _shape(row), len(flat)
            _fill(row, 0, row_shape, info, flat)
            if shape is None:
                shape, size = row_shape, len(flat)
            elif len(flat) - before != size:
                raise invalid(f"Expecting tensor size: {size} but got: {len(flat) - before}")
            elif row_shape != shape:
                raise invalid(f"Expecting shape {_shown_shape(shape)} but got: {_shown_shape(row_shape)}")
        except StatusError as error:
            code = "UNIMPLEMENTED" if error.status == 501 else "INVALID_ARGUMENT"
            message = f"Failed to process element:{place(at)} of 'instances' list. Error: {code}: {error.message}"
            raise invalid(message) from None
    assert shape is not None
    return _reshaped(flat, (len(rows), *shape), info)


def _of_value(value: Any, info: TensorInfo) -> np.ndarray:
    found = _numbers(value, info)
    if found is not None:
        return found
    flat: list[Any] = []
    shape = _shape(value)
    _fill(value, 0, shape, info, flat)
    return _reshaped(flat, shape, info)


def _reshaped(flat: list[Any], shape: tuple[int, ...], info: TensorInfo) -> np.ndarray:
    made = np.empty(len(flat), object)
    made[:] = flat
    return made.astype(info.dtype).reshape(shape)


def _numbers(value: Any, info: TensorInfo) -> np.ndarray | None:
    """The array of a value that is all numbers of the type; None for any other, which is to be looked at one by one.

    Flattened here, so that the types of all are known: numpy would take "1" and true for numbers, too.
    """
    if info.type_name not in (*_RANGES, *_FLOATS, "bool"):
        return None
    shape = _shape(value)
    flat = [value]
    try:
        for size in shape:
            if set(map(len, flat)) != {size}:
                return None
            # A string or an object falls into strings here, which are seen below.
            flat = list(chain.from_iterable(flat))
    except TypeError:  # a number beside lists
        return None
    made = _converted(flat, set(map(type, flat)), info)
    return None if made is None else made.reshape(shape)


def _converted(flat: list[Any], types: set[type], info: TensorInfo) -> np.ndarray | None:
    """The numbers of ``flat``, which are of ``types``, where they are the tensor's without loss."""
    if info.type_name == "bool":
        return np.array(flat, bool) if types <= {bool} else None
    if info.type_name in _RANGES:
        if not types <= {int}:
            return None
        low, high = _RANGES[info.type_name]
        within = not flat or (low <= min(flat) and max(flat) <= high)
        # By way of 64 bits: what is too large for a small type is cut.
        return (
            np.array(flat, np.uint64 if info.type_name == "uint64" else np.int64).astype(info.dtype) if within else None
        )
    if not types <= {int, float}:
        return None
    if int in types and max(abs(one) for one in flat if type(one) is int) > _LARGEST.get(info.type_name, 2**53):
        return None
    with np.errstate(over="ignore"):
        made = np.array(flat, info.dtype)
    if info.type_name == "float" and not np.isfinite(made).all() and any(not _fits(one) for one in flat):
        return None
    return made


def _fits(value: float) -> bool:
    """Whether a float32 has room for it."""
    return not math.isfinite(value) or abs(value) <= float(np.finfo(np.float32).max)


def _shape(value: Any) -> tuple[int, ...]:
    """As it is where lists go on: by their first elements. Raises StatusError for more dimensions than an array has."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"Lists in lists of more than {_MOST_DIMENSIONS} dimensions are no tensor")
    return tuple(shape)


def _fill(value: Any, level: int, shape: tuple[int, ...], info: TensorInfo, flat: list[Any]) -> None:
    if isinstance(value, list):
        if level >= len(shape):
            raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
        if len(value) != shape[level]:
            size = f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
            raise invalid(size)
        for one in value:
            _fill(one, level + 1, shape, info, flat)
        return
    if level != len(shape):
        raise invalid(
            f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. Expected at level: "
            f"{len(shape)}"
        )
    flat.append(_element(value, info))


def _element(value: Any, info: TensorInfo) -> Any:
    name = info.type_name
    if name == "string":
        if isinstance(value, dict):
            return decoded_base64(value)
        if isinstance(value, str):
            return value.encode(errors="surrogatepass")
    elif name == "bool":
        if isinstance(value, bool):
            return value
    elif name in _RANGES:
        low, high = _RANGES[name]
        if type(value) is int and low <= value <= high:
            return value
    elif name in _FLOATS:
        if type(value) in (int, float):
            _check_lossless(value, info)
            return value
    elif not isinstance(value, dict):
        raise unimplemented(f"Conversion of JSON Value: {shown(value)} to type: {name}")
    raise invalid(f"JSON Value: {shown(value)} Type: {json_type(value)} is not of expected type: {name}")


def _check_lossless(value: float, info: TensorInfo) -> None:
    if isinstance(value, int):
        lossless = abs(value) <= _LARGEST.get(info.type_name, 2**53)
    else:
        lossless = (
            not math.isfinite(value) or info.type_name != "float" or abs(value) <= float(np.finfo(np.float32).max)
        )
    if not lossless:
        raise invalid(f"Cannot convert JSON value: {shown(value)} to {info.type_name} without loss of precision.")


def decoded_base64(value: Any) -> bytes:
    """The bytes of ``{"b64": "..."}``. Raises StatusError."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    try:
        # Padding may be left out.
        text = value["b64"].rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def json_type(value: Any) -> str:
    """What rapidjson calls the type of a value."""
    match value:
        case None:
            return "Null"
        case bool():
            return str(value)
        case dict():
            return "Object"
        case list():
            return "Array"
        case str():
            return "String"
    return "Number"


def _shown_shape(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def to_predictions(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The row format's answer. Raises StatusError where outputs are no rows of one batch."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    batch = -1
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (-1, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return f'{{\n    "predictions": {_text(name, array)[:-1]}\n    ]\n}}'.encode()
    rows = []
    for at in range(batch):
        members = (f"            {string_text(name)}: {_text(name, array[at])}" for name, array in outputs.items())
        rows.append("        {\n" + ",\n".join(members) + "\n        }")
    return ('{\n    "predictions": [\n' + ",\n".join(rows) + "\n    ]\n}").encode()


def to_outputs(outputs: Mapping[str, np.ndarray]) -> bytes:
    """The column format's answer."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return f'{{\n    "outputs": {_text(name, array)}\n}}'.encode()
    members = (f"        {string_text(name)}: {_text(name, array)}" for name, array in outputs.items())
    return ('{\n    "outputs": {\n' + ",\n".join(members) + "\n    }\n}").encode()


def _text(name: str, array: Any) -> str:
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        return _strings(array, name.endswith("_bytes"))
    if array.dtype.kind in "biuf":
        return array_text(array)
    if array.dtype.name == "bfloat16":
        return array_text(array.astype(np.float32))
    raise invalid(f"Failed to write JSON value for tensor type: {array.dtype.name}")


def _strings(array: np.ndarray, as_bytes: bool) -> str:
    if array.ndim:
        return f"[{','.join(_strings(np.asarray(one, object), as_bytes) for one in array)}]"
    value = array.item()
    value = value if isinstance(value, bytes) else str(value).encode()
    if as_bytes:
        return f'{{"b64": "{base64.b64encode(value).decode()}"}}'
    return string_text(value)
