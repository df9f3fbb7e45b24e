"""Every field of a request that is answered is looked at by the code, or declared to change nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from botocore.model import Shape

import clary.control
from clary.control import resources
from clary.control.resources import without_effect
from clary.control.wire.operation import OPERATIONS
from clary.vision.algorithms import catalog, hyperparameters

CONTROL = Path(clary.control.__file__).parent
ALGORITHMS = Path(hyperparameters.__file__).parent


def _words(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings: names of fields among them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield node.value


def _fields(shape: Shape | None, path: str, above: frozenset[str], known: set[str]) -> Iterator[tuple[str, str]]:
    """Path and name of each field, those below a field that is not ``known`` left out."""
    if shape is None or shape.name in above:
        return
    if shape.type_name == "list":
        yield from _fields(shape.member, path, above, known)
    elif shape.type_name == "map":
        yield from _fields(shape.value, path, above, known)
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield f"{path}.{name}", name
            if name in known:
                yield from _fields(member, f"{path}.{name}", above | {shape.name}, known)


@pytest.fixture(scope="module")
def read() -> set[str]:
    """All words of the platform's code but the declaration's own."""
    declaration = Path(without_effect.__file__)
    return {word for path in CONTROL.rglob("*.py") if path != declaration for word in _words(path)}


@pytest.fixture(scope="module")
def fields(read: set[str]) -> list[tuple[str, str, str]]:
    """Service, path and name of each field of an operation that is answered."""
    resources.load()
    session = botocore.session.get_session()
    return [
        (service, path, name)
        for service, operation in sorted(OPERATIONS)
        for path, name in _fields(
            session.get_service_model(service).operation_model(operation).input_shape, operation, frozenset(), read
        )
    ]


def _unknown(fields: list[tuple[str, str, str]], read: set[str]) -> list[str]:
    return [
        f"{service} {path}"
        for service, path, name in fields
        if name not in read and name not in without_effect.FIELDS.get(service, {})
    ]


def test_no_field_slips_in(fields: list[tuple[str, str, str]], read: set[str]) -> None:
    assert _unknown(fields, read) == [], "look at it, or say in resources/without_effect.py what becomes of it"


def test_no_declaration_is_stale(fields: list[tuple[str, str, str]]) -> None:
    there = {(service, name) for service, _, name in fields}
    declared = {(service, name) for service, names in without_effect.FIELDS.items() for name in names}
    assert declared - there == set()


def test_a_new_field_would_be_found(
    fields: list[tuple[str, str, str]], read: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    less = {name: meaning for name, meaning in without_effect.FIELDS["sagemaker"].items() if name != "RetryStrategy"}
    monkeypatch.setattr(without_effect, "FIELDS", {**without_effect.FIELDS, "sagemaker": less})
    assert _unknown(fields, read) == ["sagemaker CreateTrainingJob.RetryStrategy"]


def test_what_is_declared_is_said_in_one_line() -> None:
    for names in without_effect.FIELDS.values():
        for name, meaning in names.items():
            assert meaning
            assert "\n" not in meaning, name


def test_every_hyperparameter_is_read_or_declared() -> None:
    # What is only printed is not read: the modules of log lines are left out.
    modules = [path for path in ALGORITHMS.rglob("*.py") if path.name not in ("log.py", "hyperparameters.py")]
    read = {
        node.attr
        for path in modules
        for node in ast.walk(ast.parse(path.read_text()))
        # A spec's own fields are declared by functions of the same names.
        if isinstance(node, ast.Attribute) and (path.name != "spec.py" or getattr(node.value, "id", "") == "self")
    }
    read |= {word for path in modules if path.name != "spec.py" for word in _words(path)}
    names = {one.name for spec in catalog.SPECS for one in spec.hyperparameters}
    unread = {name for name in names if name not in read}
    assert unread == hyperparameters.WITHOUT_EFFECT.keys() & names
