"""Leaving parts of a backbone as they are."""

from __future__ import annotations

from timm.models import group_parameters
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from clary.errors import UsageError
from clary.vision.models.head import head_names

__all__ = ["freeze"]


def freeze(backbone: nn.Module, what: str) -> tuple[nn.Module, ...]:
    """Turn gradients off for the parts that ``what`` names, joined by commas: "5,norms".

    Returns the normalisations to keep in evaluation mode. Raises UsageError when there are fewer stages.
    """
    parts = set(what.split(",")) - {"none", "norms"}
    frozen = set().union(*(_frozen_names(backbone, part) for part in parts))
    for name, parameter in backbone.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    # In training they would follow the new pictures, though their weights stay: frozen features must not move.
    norms = {name: module for name, module in backbone.named_modules() if isinstance(module, _BatchNorm)}
    every = "norms" in what.split(",")
    return tuple(module for name, module in norms.items() if every or f"{name}.weight" in frozen)


def _frozen_names(backbone: nn.Module, what: str) -> set[str]:
    head = head_names(backbone)
    names = [name for name, _ in backbone.named_parameters() if name not in head]
    if what == "backbone":
        return set(names)
    stages = 0 if what == "stem" else int(what)
    # 0 for the stem, then 1, 2, ...: every timm network tells; what comes after its stages is one more.
    depth = group_parameters(backbone, backbone.group_matcher(coarse=True), reverse=True)  # type: ignore[operator]
    deepest = max(depth[name] for name in names)
    if stages > deepest:
        raise UsageError(f"`freeze` is {stages}, the network has {deepest} stages", hint=f"use 0 to {deepest}")
    return {name for name in names if depth[name] <= stages}
