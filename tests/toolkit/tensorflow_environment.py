"""TensorFlow for tests: the layers that jobs get, in one folder for all clones. ``make environments`` makes them.

    ~/.cache/clary/environments, or CLARY_TEST_ENVIRONMENTS

A layer's name is a hash of what it holds and of the packages below it, so that clones with the same requirements share
it, and one with others makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from clary.toolkit import interpreter, layer
from clary.toolkit.environments import Environments
from clary.toolkit.frameworks import layers_of_framework

OLD = "2.8"  # a framework_version whose scripts get Keras 2


def root() -> Path:
    """The folder of the layers."""
    if found := os.environ.get("CLARY_TEST_ENVIRONMENTS"):
        return Path(found)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clary" / "environments"


def missing() -> str:
    """What is not there of the layers, and the way to it; empty where all are made."""
    kept, below = Environments(root()), interpreter.ours()
    made = {one.key for one in kept.kept()}
    for wanted in layers_of_framework("tensorflow", OLD):
        key = kept.key(below, wanted, os.environ)
        if key not in made:
            return f"TensorFlow's environment is not in {root()}; `make environments` makes it"
        below = layer.with_layer(below, root() / key)
    return ""


def require() -> Path:
    """``root()``. Skips where the layers are not made."""
    if reason := missing():
        pytest.skip(reason)
    return root()


def newest() -> Path:
    """The layer that scripts of the newest TensorFlow get, made or not."""
    (wanted,) = layers_of_framework("tensorflow", "")
    return root() / Environments(root()).key(interpreter.ours(), wanted, os.environ)


@contextmanager
def python_with_tensorflow(folder: Path, version: str = "") -> Iterator[Path]:
    """A Python that can import TensorFlow, in a layer of its own in ``folder``. Skips as ``require`` does."""
    kept, below = Environments(require()), interpreter.ours()
    with ExitStack() as stack:
        for wanted in layers_of_framework("tensorflow", version):
            below = layer.with_layer(below, stack.enter_context(kept.layer(below, wanted, os.environ, print)))
        layer.make_layer(folder, below)
        yield layer.python_of(folder)
