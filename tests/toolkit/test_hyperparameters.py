"""Strings of a request to values, arguments and variables."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import CustomerError
from clary.toolkit.hyperparameters import arguments, check, decode, variable_text

# What SDK v2's PyTorch estimator sends.
SDK_V2 = {
    "lr": "0.01",
    "batch_size": "64",
    "name": '"abc"',
    "flag": "true",
    "sagemaker_program": '"hpo.py"',
    "sagemaker_container_log_level": "10",
    "sagemaker_region": '"us-east-1"',
    "sagemaker_job_name": '"pytorch-training-2026"',
    "sagemaker_submit_directory": '"s3://bucket/job/source/sourcedir.tar.gz"',
    "sagemaker_torch_distributed_enabled": "true",
    "_tuning_objective_metric": "val:loss",
}


def test_the_users_the_frameworks_and_the_toolkits_own():
    found = decode(SDK_V2)
    assert found.user == {"lr": 0.01, "batch_size": 64, "name": "abc", "flag": True}
    assert found.framework == {"sagemaker_torch_distributed_enabled": True}
    assert found.program == "hpo.py"
    assert found.submit_directory == "s3://bucket/job/source/sourcedir.tar.gz"
    assert found.log_level == 10


def test_what_is_no_json_is_the_string_itself_and_said():
    said: list[str] = []
    # As SDK v3 and its tuner send them.
    found = decode({"sagemaker_program": "hpo.py", "crop": "3,224,224", "n": "3", "deep": "[" * 100_000}, said.append)
    assert found.program == "hpo.py"
    assert found.user == {"crop": "3,224,224", "n": 3, "deep": "[" * 100_000}
    assert "Failed to parse hyperparameter crop value 3,224,224 to Json. Returning the value itself" in said
    assert len(said) == 3


@pytest.mark.parametrize(
    ("text", "argument", "variable"),
    [
        ("0.01", "0.01", "0.01"),
        ("64", "64", "64"),
        ('"abc"', "abc", "abc"),
        ("abc", "abc", "abc"),
        ("true", "True", "true"),
        ("false", "False", "false"),
        ("null", "", ""),
        ("[1, 2]", "[1, 2]", "[1,2]"),
        ('["a", null]', "['a', None]", '["a",null]'),
        ('{"b": "x", "a": 1}', "a=1,b=x", '{"a":1,"b":"x"}'),
        ("1e-3", "0.001", "0.001"),
        ('""', "", ""),
    ],
)
def test_a_value_as_argument_and_as_variable(text, argument, variable):
    values = decode({"name": text}).user
    assert arguments(values) == ["--name", argument]
    assert variable_text(values["name"]) == variable


def test_arguments_are_sorted_and_a_name_of_one_character_has_one_dash():
    assert arguments({"b": 1, "alpha": 2, "c-d": 3}) == ["--alpha", "2", "-b", "1", "--c-d", "3"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith(("sagemaker_", "_", "default_")))


@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_what_was_encoded_comes_back(values):
    found = decode({name: json.dumps(value) for name, value in values.items()})
    assert found.user == values
    assert (found.framework, found.toolkit) == ({}, {})
    words = arguments(found.user)
    assert len(words) == 2 * len(values)
    assert words[::2] == [f"--{name}" if len(name) > 1 else f"-{name}" for name in sorted(values)]
    for name, value in values.items():
        text = variable_text(value)
        assert text == value if isinstance(value, str) else (json.loads(text) if text else None) == value
        assert words[2 * sorted(values).index(name) + 1] is not None


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=5))
def test_any_strings_are_taken(strings):
    found = decode(strings)
    assert {*found.user, *found.framework, *found.toolkit} == set(strings)
    assert all(isinstance(word, str) for word in arguments(found.user))
    # To a script they go through execve, which takes all but NUL.
    assert all(isinstance(variable_text(value), str) for value in found.user.values())


@pytest.mark.parametrize("told", [{"x": '"a\\u0000b"'}, {"x": '{"a": "\\ud800"}'}, {"a=b": "1"}, {"a\0": "1"}])
def test_what_no_program_can_be_handed_is_refused(told):
    with pytest.raises(CustomerError, match="the hyperparameter"):
        check(decode(told))


def test_what_is_odd_and_can_be_handed_is_not():
    check(decode({"": "1", "x\ny": '"q\\nr"', "x": '"\u00e9 \U0001f600"', "l": '["\\ud800"]'}))
