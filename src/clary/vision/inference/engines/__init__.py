"""What can run a model, one file an engine, found by scanning this folder."""

from __future__ import annotations

from clary.errors import MissingPackageError
from clary.registry import Registry
from clary.vision.inference.engines._base import Engine

__all__ = ["ENGINES", "PREFERENCE", "Engine", "find", "installed"]

ENGINES: Registry[type[Engine]] = Registry("engines", __name__, "ENGINE")

# The fastest first. ResNet-50, one picture, processor time where it has AMX: 15 ms, 89 ms, and torch above both.
PREFERENCE = ("openvino", "onnxruntime", "torch")


def find(name: str = "auto") -> type[Engine]:
    """The engine called ``name``; "auto" is the first of PREFERENCE that is installed, then any other.

    Raises UsageError for an unknown name, MissingPackageError when the package is not there.
    """
    if name != "auto":
        engine = ENGINES.get(name)
        engine.require()
        return engine
    found = installed()
    if not found:
        raise MissingPackageError("no engine is installed to run the model with", hint='pip install "clary[serve]"')
    return found[0]


def installed() -> list[type[Engine]]:
    """The engines whose packages are there, the preferred first."""
    rank = {name: place for place, name in enumerate(PREFERENCE)}
    there = [engine for engine in ENGINES if engine.installed()]
    return sorted(there, key=lambda engine: rank.get(engine.name, len(rank)))
