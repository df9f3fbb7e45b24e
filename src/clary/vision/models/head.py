"""The last fully connected layer of a backbone: what is trained anew for other classes."""

from __future__ import annotations

from torch import nn

from clary.errors import UsageError

__all__ = ["find_head", "head_names"]


def find_head(backbone: nn.Module) -> nn.Linear:
    """The last layer. Raises UsageError for a network that has no single one (distilled ViTs have two)."""
    head = backbone.get_classifier()  # type: ignore[operator]  # every timm network has it
    if not isinstance(head, nn.Linear):
        name = type(backbone).__name__
        raise UsageError(f"{name} does not end in one fully connected layer", hint="choose another `backbone`")
    return head


def head_names(backbone: nn.Module) -> set[str]:
    """The last layer's parameters by their names in ``backbone``; none where it was left out."""
    # timm puts an Identity where a network was made without classes, as detectors and segmenters make it.
    if isinstance(backbone.get_classifier(), nn.Identity):  # type: ignore[operator]  # every timm network has it
        return set()
    own = {id(parameter) for parameter in find_head(backbone).parameters()}
    return {name for name, parameter in backbone.named_parameters() if id(parameter) in own}
