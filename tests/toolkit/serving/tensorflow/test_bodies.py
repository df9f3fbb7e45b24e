"""What becomes of a body before TensorFlow Serving's part: the image's table, and what holds for all bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.toolkit.serving.tensorflow.bodies import document_of, with_accept
from clary.toolkit.serving.tensorflow.status import StatusError

JSON = "application/json"
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(words, inside, max_size=3),
    max_leaves=8,
)
containers = st.lists(values, max_size=3) | st.dictionaries(words, values, max_size=3)


@pytest.mark.parametrize(
    ("body", "instances"),
    [
        ("[1, 2, 5]", [[1, 2, 5]]),
        ("[[1], [2]]", [[1], [2]]),
        ("[]", [[]]),
        ('{"x": 1, "y": [2]}', [{"x": 1, "y": [2]}]),
        ('"text"', ["text"]),
        ("1.5", [1.5]),
        ("[1, 2]\n[3, 4]\n", [[1, 2], [3, 4]]),
        ('{"x": 1}\r\n{"x": 2}', [{"x": 1}, {"x": 2}]),
        # Which the image cannot read: it takes a line for a value.
        ('{"x": 1} {"x": 2}', [{"x": 1}, {"x": 2}]),
        ("[1,\n2]\n[3,\n4]", [[1, 2], [3, 4]]),
    ],
)
def test_json(body: str, instances: list[Any]) -> None:
    assert document_of(body.encode(), JSON) == {"instances": instances}


@pytest.mark.parametrize(
    ("body", "instances"),
    [
        ("1.0,2,-3e4", [[1.0, 2, -3e4]]),
        ("1\n2\n\n3\n", [1, 2, 3]),
        ('"a","b"\n"c","d, e"', [["a", "b"], ["c", "d, e"]]),
        ("abc\ndef", ["abc", "def"]),
        ("abc,1,x y\ndef,2,z", [["abc", "1", "x y"], ["def", "2", "z"]]),
        ('say "no",1', [['say "no"', "1"]]),
    ],
)
def test_csv(body: str, instances: list[Any]) -> None:
    assert document_of(body.encode(), "text/csv") == {"instances": instances}


@given(st.sampled_from(["instances", "inputs", "examples"]), values)
def test_a_document_of_the_rest_api_is_left_as_it_is(key: str, value: Any) -> None:
    document = {key: value, "signature_name": "s"}
    assert document_of(json.dumps(document).encode(), JSON) == document


@given(values.filter(lambda value: not isinstance(value, dict) and not (value and isinstance(value, list))))
def test_any_other_value_is_the_instance(value: Any) -> None:
    assert document_of(json.dumps(value).encode(), JSON) == {"instances": [value]}


@given(st.lists(containers, min_size=2, max_size=4), st.sampled_from(["\n", "\r\n", "\n\n", " ", ""]))
def test_values_one_after_another_are_instances(found: list[Any], between: str) -> None:
    body = between.join(json.dumps(value, ensure_ascii=False) for value in found)
    assert document_of(body.encode(), "application/jsonlines") == {"instances": found}


@given(st.lists(st.lists(numbers, min_size=2, max_size=4), min_size=1, max_size=4))
def test_rows_of_numbers_are_the_same_in_csv_and_json(rows: list[list[float]]) -> None:
    csv = "\n".join(",".join(json.dumps(value) for value in row) for row in rows)
    body = json.dumps(rows).encode()
    if any(value in (float("inf"), float("-inf")) for row in rows for value in row) and csv[0] not in "+-.0123456789E":
        return  # "Infinity" begins as no number does, and is text
    assert document_of(csv.encode(), "text/csv") == document_of(body, JSON)


@given(st.binary(max_size=40), st.sampled_from([JSON, "text/csv", "application/jsonlines"]))
def test_any_bytes_are_a_document_or_a_400(body: bytes, content_type: str) -> None:
    assert outcome(body, content_type) in ("dict", "400 JSON Parse error")


def outcome(body: bytes, content_type: str) -> str:
    try:
        return type(document_of(body, content_type)).__name__
    except StatusError as error:
        return f"{error.status} {error.message.partition(':')[0]}"


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(StatusError, match="JSON Parse error"):
        document_of(b"[" * 200_000, JSON)


@given(st.binary(max_size=30), st.sampled_from(["", "*/*", "text/csv"]))
def test_without_json_in_accept_nothing_is_changed(body: bytes, accept: str) -> None:
    assert with_accept(body, accept) == (body, JSON)


@pytest.mark.parametrize(
    "body", [b"1" * 5000, b'{"instances": [' + b"1" * 5000 + b"]}", b'{"a": ' + b"1" * 5000 + b'}\n{"a": NaN}']
)
def test_a_number_that_python_does_not_read(body: bytes) -> None:
    with pytest.raises(StatusError, match=r"JSON Parse error: Number too big to be stored in double"):
        document_of(body, JSON)
