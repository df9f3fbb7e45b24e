"""The Record message of SageMaker's algorithms, written as bytes: named tensors in protocol buffers' wire format.

    Record  features 1: map<string, Value>
    Value   float32_tensor 2, int32_tensor 7
    tensor  values 1: packed; keys 2 and shape 3 are left out, as the algorithms do

A tensor's numbers go to the message as they lie in memory, which the protobuf runtime, adding them one by one, takes a
hundred times as long for; and it would be one more package. Source: SageMaker developer guide, "Common data formats for
inference"; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["encode_record"]

_LENGTH_DELIMITED = 2  # wire type of strings, messages and packed numbers

# Field of the tensor in a Value, by the type of its numbers.
_TENSORS = {np.dtype("float32"): 2, np.dtype("int32"): 7}


def encode_record(features: Mapping[str, np.ndarray]) -> bytes:
    """A Record of tensors, float32 or int32, by name. Raises ValueError for numbers of another type."""
    entries = [_field(1, [*_field(1, [name.encode()]), *_field(2, _value(a))]) for name, a in features.items()]
    return b"".join(part for entry in entries for part in entry)


def _value(array: np.ndarray) -> list[bytes]:
    kind = _TENSORS.get(array.dtype)
    if kind is None:
        raise ValueError(f"a record holds tensors of float32 or int32, not {array.dtype}")
    if kind == 2:
        # Packed floats are little-endian and of fixed width: the array's own bytes.
        return _field(kind, _field(1, [np.ascontiguousarray(array, "<f4").tobytes()]))
    # A negative int32 is a varint of ten bytes, extended to 64 bits first (protobuf.dev, "Encoding", signed integers).
    return _field(kind, _field(1, [b"".join(_varint(int(number) & (1 << 64) - 1) for number in array.ravel())]))


def _field(number: int, parts: list[bytes]) -> list[bytes]:
    """A field whose value is ``parts`` joined."""
    return [_varint(number << 3 | _LENGTH_DELIMITED), _varint(sum(map(len, parts))), *parts]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the eighth bit set."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
