"""The source's modules, by name."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

__all__ = ["exists", "import_module"]


def exists(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def import_module(uri: str, name: str = "train") -> ModuleType:
    """The module ``name``; the source, which ``uri`` names, is on the path already."""
    return importlib.import_module(name)
