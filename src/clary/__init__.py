"""Clary: the SageMaker computer-vision workflow on your own machine.

    import clary
    run = clary.train("classification", "pets/", epochs=5)
    clary.report(run)
    model = clary.load(run.model)
    model.predict(["cat.jpg"])

Names are loaded when first used, so that ``import clary`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clary.version import __version__

if TYPE_CHECKING:
    from clary.local.evaluate import evaluate
    from clary.local.report import write as report
    from clary.local.resume import resume
    from clary.local.run import Run
    from clary.local.train import train
    from clary.vision.inference.predictor import Model, load

__all__ = ["Model", "Run", "__version__", "evaluate", "load", "report", "resume", "train"]

_HOME = {  # module:name, the notation of entry points
    "Model": "clary.vision.inference.predictor:Model",
    "Run": "clary.local.run:Run",
    "evaluate": "clary.local.evaluate:evaluate",
    "load": "clary.vision.inference.predictor:load",
    "report": "clary.local.report:write",
    "resume": "clary.local.resume:resume",
    "train": "clary.local.train:train",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'clary' has no attribute {name!r}")
    module, _, inside = _HOME[name].partition(":")
    return getattr(import_module(module), inside)


def __dir__() -> list[str]:
    return __all__
