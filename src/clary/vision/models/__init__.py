"""Networks: tensors in, tensors out. ``build`` makes one from its description in a manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from clary.errors import UsageError
from clary.vision.models.classifier import Classifier, Scores, describe

__all__ = ["Classifier", "Scores", "build", "describe"]

# Which function builds the network of a task; a description without a task is of classification. Other distributions
# name theirs, the same kind of function, in an entry point of the group `clary.networks` called like the task.
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
    built: nn.Module = _builder(task)(network)
    return built


def _builder(task: str) -> Callable[[Mapping[str, Any]], nn.Module]:
    if task in _BUILDERS:
        module, _, function = _BUILDERS[task].partition(":")
        found: Callable[[Mapping[str, Any]], nn.Module]
        # Imported when asked for: a classifier is served without torchvision's detection and segmentation heads.
        found = getattr(import_module(f"clary.vision.models.{module}"), function)
        return found
    others = entry_points(group="clary.networks")
    if task not in others.names:
        known = [*_BUILDERS, *sorted(others.names)]
        raise UsageError(f"no network does `{task}`", hint=f"use {', '.join(known)}")
    found = others[task].load()
    return found
