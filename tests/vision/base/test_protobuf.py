"""Records as bytes, read back by Google's own runtime from a description of the messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clary.vision.base.protobuf import encode_record, fields

TENSORS = st.one_of(
    arrays.arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32, allow_nan=False)),
    arrays.arrays(np.int32, st.integers(0, 40)),
)


def read(record_type, data: bytes) -> dict[str, np.ndarray]:
    record = record_type.FromString(data)
    found = {}
    for name, value in record.features.items():
        kind = value.WhichOneof("value")
        dtype = {"float32_tensor": np.float32, "int32_tensor": np.int32}[kind]
        tensor = getattr(value, kind)
        assert not tensor.keys
        assert not tensor.shape
        found[name] = np.array(tensor.values, dtype)
    return found


@settings(max_examples=80, deadline=None)
@given(features=st.dictionaries(st.text(max_size=200), TENSORS, max_size=4))
def test_what_is_written_is_read(record_type, features):
    found = read(record_type, encode_record(features))
    assert found.keys() == features.keys()
    for name, tensor in features.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_array_equal(found[name], tensor)


def test_bytes_are_those_of_the_definition():
    """features {1: {key 1: "a", value 2: {float32_tensor 2: {values 1: [1.0]}}}}, by hand."""
    tensor = b"\x0a\x04" + b"\x00\x00\x80\x3f"
    value = b"\x12" + bytes([len(tensor)]) + tensor
    entry = b"\x0a\x01a" + b"\x12" + bytes([len(value)]) + value
    assert encode_record({"a": np.ones(1, np.float32)}) == b"\x0a" + bytes([len(entry)]) + entry


def test_as_the_runtime_writes_it(record_type):
    record = record_type()
    record.features["shape"].int32_tensor.values.extend([1, 3, 240, 300])
    assert encode_record({"shape": np.array([1, 3, 240, 300], np.int32)}) == record.SerializeToString()


def test_arrays_of_any_layout(record_type):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)[:, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(read(record_type, encode_record({"v": values}))["v"], values.ravel())


def test_other_numbers_are_refused():
    with pytest.raises(ValueError, match="float32 or int32, not float64"):
        encode_record({"v": np.zeros(2)})


def test_fields_are_read_back():
    message = encode_record({"v": np.array([1.5], np.float32)})
    [(number, entry)] = fields(memoryview(message))
    assert isinstance(entry, memoryview)
    assert number == 1
    assert next((n, bytes(v)) for n, v in fields(entry)) == (1, b"v")
    plain = b"\x08\xac\x02" + b"\x11" + bytes(8) + b"\x1d" + bytes(4)
    assert [n if isinstance(v, memoryview) else (n, v) for n, v in fields(memoryview(plain))] == [(1, 300), 2, 3]


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x05ab", b"\x08", b"\x0b", b"\xff" * 11, b"\x0d\x00", b"\x0a" + b"\xff" * 9]
)
def test_what_is_no_message(data):
    with pytest.raises(ValueError, match=r"field|number"):
        list(fields(memoryview(data)))
