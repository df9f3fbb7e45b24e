"""A convolution, the frozen norm behind it and an activation, as one operation that autograd knows.

With ``s = gamma / sqrt(var + eps)`` the weight is ``w * s`` and the bias ``beta + (bias - mean) * s``. Both are rounded
to the type of the features; w, gamma and beta stay in fp32, and so do their gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from clary.vision.training.folded.gradients import bias_gradient, input_gradient, weight_gradient
from clary.vision.training.folded.operators import Activation, Geometry, convolve

__all__ = ["Parts", "fold", "folded_convolution"]


class Parts(NamedTuple):
    """What is folded: weight (out, in, k, k) and bias of the convolution, the others (out,) of the norm, all fp32."""

    weight: Tensor
    bias: Tensor | None
    gamma: Tensor
    beta: Tensor
    mean: Tensor
    variance: Tensor
    eps: float

    @property
    def trained(self) -> bool:
        own = (self.weight, self.bias, self.gamma, self.beta)
        return any(one is not None and one.requires_grad for one in own)


def fold(parts: Parts, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution, in ``dtype``."""
    scale = parts.gamma * (parts.variance + parts.eps).rsqrt()
    return _folded(parts, scale, dtype)


def folded_convolution(features: Tensor, parts: Parts, how: Geometry, activation: Activation) -> Tensor:
    """(N, C, H, W), channels last, to (N, out, H', W'), in the type of ``features``."""
    found: Tensor = _FoldedConvolution.apply(features, *parts, how, activation)
    return found


class _FoldedConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, *given: Any) -> Tensor:
        *told, how, activation = given
        parts = Parts(*told)
        inverse = (parts.variance + parts.eps).rsqrt()
        scale = parts.gamma * inverse
        weight, bias = _folded(parts, scale, features.dtype)
        output = convolve(features, weight, bias, how, activation)
        kept = None if activation == "none" else output
        ctx.save_for_backward(features, weight, kept, parts.weight, _offset(parts), scale, inverse)
        ctx.how, ctx.activation, ctx.biased = how, activation, parts.bias is not None
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, folded, output, weight, offset, scale, inverse = ctx.saved_tensors
        wants_features, wants_weight, wants_bias, wants_gamma, wants_beta = ctx.needs_input_grad[:5]
        gradient = _through(gradient, output, ctx.activation)
        to_features = to_weight = to_gamma = to_beta = None
        if wants_features:
            to_features = input_gradient(gradient, folded, features, ctx.how)
        if wants_bias or wants_gamma or wants_beta:
            to_beta = bias_gradient(gradient).float()
        if wants_weight or wants_gamma:
            to_folded = weight_gradient(gradient, features, folded, ctx.how).float()
            to_weight = to_folded * scale.view(-1, 1, 1, 1)
            if wants_gamma:
                to_scale = (to_folded * weight).sum((1, 2, 3)) + offset * to_beta
                to_gamma = to_scale * inverse
        to_bias = to_beta * scale if wants_bias and to_beta is not None else None
        found = (to_features, to_weight, to_bias, to_gamma, to_beta)
        asked = (one if wants else None for one, wants in zip(found, ctx.needs_input_grad, strict=False))
        return (*asked, None, None, None, None, None)


def _folded(parts: Parts, scale: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weight = (parts.weight * scale.view(-1, 1, 1, 1)).to(dtype)
    return weight, torch.addcmul(parts.beta, _offset(parts), scale).to(dtype)


def _offset(parts: Parts) -> Tensor:
    """What the norm's scale is multiplied with in the bias."""
    return -parts.mean if parts.bias is None else parts.bias - parts.mean


def _through(gradient: Tensor, output: Tensor | None, activation: Activation) -> Tensor:
    """The gradient before the activation, channels last."""
    if activation == "relu":
        gradient = torch.ops.aten.threshold_backward(gradient, output, 0.0)
    elif activation == "relu6":
        gradient = torch.ops.aten.hardtanh_backward(gradient, output, 0.0, 6.0)
    return gradient.contiguous(memory_format=torch.channels_last)
