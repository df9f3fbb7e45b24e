"""A convolution with its bias and its activation as one call of oneDNN, where PyTorch has that.

``torch.ops.mkldnn._convolution_pointwise`` is private to PyTorch's compiler: another version may lack it, or mean
something else by it. So it is asked for once and compared with the plain way.
"""

from __future__ import annotations

from functools import cache
from itertools import cycle
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Activation", "Geometry", "convolve", "fault", "plain"]

Activation: TypeAlias = Literal["none", "relu", "relu6"]
Pair: TypeAlias = tuple[int, int]

# What oneDNN calls them, and their bounds.
FUSED: dict[Activation, tuple[str, list[float]]] = {
    "none": ("none", []),
    "relu": ("relu", []),
    "relu6": ("hardtanh", [0.0, 6.0]),
}
# Of the largest output: rounding of bf16's eight bits, and of fp32's order of sums.
TOLERANCE = {torch.bfloat16: 2.0**-6, torch.float32: 1e-5}


class Geometry(NamedTuple):
    """How a convolution moves over its map, vertically and horizontally; ``padding`` is that of either side."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int


def convolve(features: Tensor, weight: Tensor, bias: Tensor, how: Geometry, activation: Activation) -> Tensor:
    """(N, C, H, W) to (N, out, H', W'), channels last, in the type of ``features`` and weight; bias is in that
    or in fp32."""
    if fault():
        return plain(features, weight, bias, how, activation)
    return _pointwise(features, weight, bias, how, activation)


def plain(features: Tensor, weight: Tensor, bias: Tensor, how: Geometry, activation: Activation) -> Tensor:
    """What ``convolve`` gives, in public operators."""
    found = F.conv2d(features, weight, bias.to(weight.dtype), how.stride, how.padding, how.dilation, how.groups)
    if activation == "none":
        return found
    return found.clamp_(0, 6) if activation == "relu6" else found.clamp_(min=0)


@cache
def fault() -> str:
    """Why the private operator is left out on this machine; empty where it may be used."""
    try:
        return next(filter(None, map(_difference, CASES)), "")
    # Of a version that has it no more, or has other arguments.
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        return " ".join(str(error).split())


def _pointwise(features: Tensor, weight: Tensor, bias: Tensor, how: Geometry, activation: Activation) -> Tensor:
    name, bounds = FUSED[activation]
    found: Tensor = torch.ops.mkldnn._convolution_pointwise(
        features,
        weight,
        bias,
        list(how.padding),
        list(how.stride),
        list(how.dilation),
        how.groups,
        name,
        bounds,
        "",
    )
    return found


class _Case(NamedTuple):
    side: int
    how: Geometry
    activation: Activation
    dtype: torch.dtype


# Odd sizes, and every kind of convolution that our networks have; tests have them with each activation and type.
KINDS = ((1, 1, 1), (3, 1, 1), (3, 2, 1), (3, 1, 32), (5, 1, 32), (5, 2, 32))
CASES = [
    _Case(side, Geometry((stride, stride), (side // 2, side // 2), (1, 1), groups), activation, dtype)
    for dtype in (torch.bfloat16, torch.float32)
    for (side, stride, groups), activation in zip(KINDS, cycle(FUSED), strict=False)
]


def _difference(case: _Case) -> str:
    """What is wrong with one case; empty where nothing is."""
    # A generator of its own: a run's draws must not depend on whether this was asked before.
    random = torch.Generator().manual_seed(0)
    shapes = (2, 32, 9, 7), (32, 32 // case.how.groups, case.side, case.side), (32,)
    features, weight, bias = (torch.randn(shape, generator=random) for shape in shapes)
    features = (4 * features).to(case.dtype, memory_format=torch.channels_last)
    weight = weight.to(case.dtype)
    found = _pointwise(features, weight, bias, case.how, case.activation)
    expected = plain(features, weight, bias, case.how, case.activation)
    if found.dtype != case.dtype or found.shape != expected.shape:
        return f"gives {tuple(found.shape)} in {found.dtype} for {tuple(expected.shape)} in {expected.dtype}"
    most = float(expected.abs().max())
    off = float((found.float() - expected.float()).abs().max())
    # Written so that NaN is a difference.
    return "" if off <= TOLERANCE[case.dtype] * most else f"is off by {off:.3g} of {most:.3g} ({case.activation})"
