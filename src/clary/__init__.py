"""Clary: the SageMaker computer-vision workflow on your own machine.

    import clary
    run = clary.train("classification", "pets/", epochs=5)
    model = clary.load("model.tar.gz")
    model.predict(["cat.jpg"])

Names are loaded when first used, so that ``import clary`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clary.local.evaluate import evaluate
    from clary.local.run import Run
    from clary.local.train import train
    from clary.vision.inference.predictor import Model, load

__version__ = "0.1.0"
__all__ = ["Model", "Run", "__version__", "evaluate", "load", "train"]

_HOME = {
    "Model": "clary.vision.inference.predictor",
    "Run": "clary.local.run",
    "evaluate": "clary.local.evaluate",
    "load": "clary.vision.inference.predictor",
    "train": "clary.local.train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clary' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
