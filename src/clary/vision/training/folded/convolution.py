"""A convolution, the frozen norm behind it and an activation, as one operation that autograd knows.

With ``s = gamma / sqrt(variance + eps)`` the weight is ``w * s`` and the bias ``beta + (bias - mean) * s``. The
weight is rounded to the type of the features; w, gamma and beta stay in fp32, and so do their gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clary.vision.training.folded.gradients import bias_gradient, gradients
from clary.vision.training.folded.operators import Activation, Geometry, convolve

__all__ = ["Parts", "fold", "folded_convolution"]


class Parts(NamedTuple):
    """What is folded, all fp32: weight (out, in, k, k) and bias of the convolution, and (out,) of the norm; ``inverse``
    is 1 / sqrt(variance + eps)."""

    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor
    mean: Tensor
    inverse: Tensor

    @property
    def trained(self) -> bool:
        own = (self.weight, self.bias, self.gamma, self.beta)
        return any(one is not None and one.requires_grad for one in own)


def fold(parts: Parts, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight of the one convolution in ``dtype``, and its bias in fp32."""
    return _folded(parts, parts.gamma * parts.inverse, dtype)


def folded_convolution(features: Tensor, parts: Parts, how: Geometry, activation: Activation) -> Tensor:
    """(N, C, H, W), channels last, to (N, out, H', W'), in the type of ``features``."""
    found: Tensor = _FoldedConvolution.apply(features, *parts, how, activation)
    return found


class _FoldedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, *given: Any) -> Tensor:
        *told, how, activation = given
        parts = Parts(*told)
        scale = parts.gamma * parts.inverse
        weight, bias = _folded(parts, scale, features.dtype)
        output = convolve(features, weight, bias, how, activation)
        kept = None if activation == "none" else output
        ctx.save_for_backward(features, weight, kept, parts.weight, _mean(parts), scale, parts.inverse)
        ctx.how, ctx.activation = how, activation
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, folded, output, weight, mean, scale, inverse = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:5]
        gradient = _through(gradient, output, ctx.activation)
        to_weight = to_bias = to_gamma = to_beta = None
        to_features, to_folded = gradients(
            gradient, features, folded, ctx.how, of_features=wanted[0], of_weight=any(wanted[1:])
        )
        if to_folded is not None:
            to_beta = bias_gradient(gradient).float()
            to_folded = to_folded.float()
            to_weight = to_folded * scale.view(-1, 1, 1, 1)
            to_bias = to_beta * scale if wanted[2] else None
            to_scale = torch.addcmul((to_folded * weight).sum((1, 2, 3)), mean, to_beta, value=-1)
            to_gamma = to_scale * inverse
        found = (to_features, to_weight, to_bias, to_gamma, to_beta)
        asked = (one if wants else None for one, wants in zip(found, wanted, strict=True))
        return (*asked, None, None, None, None)


def _folded(parts: Parts, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight = (parts.weight * scale.view(-1, 1, 1, 1)).to(dtype)
    # In fp32 as it is: oneDNN adds it before it rounds.
    return weight, torch.addcmul(parts.beta, _mean(parts), scale, value=-1)


def _mean(parts: Parts) -> Tensor:
    """The mean of what the convolution gives without its bias."""
    return parts.mean if parts.bias is None else parts.mean - parts.bias


def _through(gradient: Tensor, output: Tensor | None, activation: Activation) -> Tensor:
    """The gradient before the activation, channels last."""
    # First: a mean's, in another order than the output, takes ten times as long.
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    if activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, output, 0.0)
    if activation == "relu6":
        return torch.ops.aten.hardtanh_backward(gradient, output, 0.0, 6.0)
    return gradient
