"""Protocol buffers' wire format: reading the fields of any message, and writing the Record of SageMaker's algorithms.

    Record  features 1: map<string, Value>
    Value   float32_tensor 2, int32_tensor 7
    tensor  values 1: packed; keys 2 and shape 3 are left out, as the algorithms do

A tensor's numbers go to the message as they lie in memory, which the protobuf runtime, adding them one by one, takes a
hundred times as long for; and it would be one more package. Source: SageMaker developer guide, "Common data formats for
inference"; protobuf.dev, "Encoding".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

__all__ = ["encode_record", "fields"]

_VARINT = 0
_LENGTH_DELIMITED = 2  # wire type of strings, messages and packed numbers
_FIXED = {1: 8, 5: 4}  # bytes of the wire types of fixed width

# Field of the tensor in a Value, by the type of its numbers.
_TENSORS = {np.dtype("float32"): 2, np.dtype("int32"): 7}


def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The number and the value of each field of a message, in order: bytes, or a whole number where it is a varint.

    Nothing is copied; numbers of fixed width come as their bytes. Raises ValueError for what is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint_at(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint_at(message, at)
            yield number, value
            continue
        if kind == _LENGTH_DELIMITED:
            length, at = _varint_at(message, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError(f"a field of the wire type {kind}")
        if length > len(message) - at:
            raise ValueError("a field goes on after the end")
        yield number, message[at : at + length]
        at += length


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


def _varint_at(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at ``at``, and where it ends."""
    value = 0
    # Ten bytes are 64 bits.
    for place in range(10):
        if at + place >= len(message):
            break
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number without an end")
