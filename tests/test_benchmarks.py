"""Benchmarks are run by people, hours apart: what they ask of their options must at least be there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_option_that_is_read_can_be_given(script: Path) -> None:
    tree = ast.parse(script.read_bytes())
    given = {
        name
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"
        for name in _destinations(call)
    }
    options = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "options"
    ]
    written = {node.attr for node in options if isinstance(node.ctx, ast.Store)}
    assert {node.attr for node in options} - written <= given


def _destinations(call: ast.Call) -> set[str]:
    """The attributes that an argument may become: each of its names, and ``dest``."""
    words = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "dest")]
    names = {word.value for word in words if isinstance(word, ast.Constant) and isinstance(word.value, str)}
    return {name.lstrip("-").replace("-", "_") for name in names}
