"""Networks: tensors in, tensors out. ``build`` makes one from its description in a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from clary.errors import UsageError
from clary.vision.models.classifier import Classifier, Scores, describe

__all__ = ["Classifier", "Scores", "build", "describe"]

# Which function builds the network of a task; a description without a task is of classification.
_BUILDERS = {
    "classification": "classifier:build",
    "detection": "detector:build_detector",
    "segmentation": "segmenter:build_segmenter",
}


def build(network: Mapping[str, Any]) -> nn.Module:
    """The network of a description as it is exported, with random weights, on CPU.

    Raises UsageError for a task or architecture that is unknown.
    """
    task = network.get("task", "classification")
    if task not in _BUILDERS:
        raise UsageError(f"no network does `{task}`", hint=f"use {', '.join(_BUILDERS)}")
    module, _, function = _BUILDERS[task].partition(":")
    built: nn.Module = getattr(import_module(f"clary.vision.models.{module}"), function)(network)
    return built
