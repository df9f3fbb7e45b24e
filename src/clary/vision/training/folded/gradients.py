"""Gradients of a convolution, each by the way that was fastest for its kind.

Each gives what ``torch.ops.aten.convolution_backward`` gives, but for rounding. The rules are by kind, not by a
measurement of each run: that would not be the same after a resume. Milliseconds are of 33 pictures and two cores of an
EPYC with AVX512-BF16.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clary.vision.training.folded.operators import Geometry, convolve

__all__ = ["bias_gradient", "gradients", "input_gradient", "weight_gradient"]

# Places of a map from which a 1x1 weight gradient is no product any more: two narrow factors, and the sum over all
# places is on one core (16 by 96 channels, 112 x 112: 45 ms, as a convolution 24).
LARGE = 56 * 56


def gradients(
    gradient: Tensor, features: Tensor, weight: Tensor, how: Geometry, *, of_features: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """``input_gradient`` and ``weight_gradient``, those that are asked for."""
    if not _is_product(weight, how) and not _is_depthwise(weight, how):
        # In one call what they share is laid out once.
        found = _backward_all(gradient, features, weight, how, (of_features, of_weight, False))
        return found[0], found[1]
    return (
        input_gradient(gradient, weight, features, how) if of_features else None,
        weight_gradient(gradient, features, weight, how) if of_weight else None,
    )


def input_gradient(gradient: Tensor, weight: Tensor, features: Tensor, how: Geometry) -> Tensor:
    """Of ``gradient`` (N, out, H', W') through ``weight``, shaped as ``features`` (N, C, H, W); channels last."""
    if _is_product(weight, how):
        return _as_map(_as_rows(gradient) @ weight.flatten(1), features)
    if _is_depthwise(weight, how):
        return _turned(gradient, weight, features, how)
    return _backward(gradient, features, weight, how, 0)


def weight_gradient(gradient: Tensor, features: Tensor, weight: Tensor, how: Geometry) -> Tensor:
    """Of ``gradient`` (N, out, H', W') for ``features`` (N, C, H, W), shaped as ``weight``."""
    if _is_product(weight, how) and features.shape[2] * features.shape[3] < LARGE:
        # Never turned round, which may take less on one core: the weight's own order is what all after this wants.
        return (_as_rows(gradient).T @ _as_rows(features))[..., None, None]
    if _is_depthwise(weight, how) and weight.shape[2:] == (5, 5) and how.stride[1] <= 2:
        return _by_columns(gradient, features, weight, how)
    return _backward(gradient, features, weight, how, 1)


def bias_gradient(gradient: Tensor) -> Tensor:
    """(out,) sums of ``gradient`` (N, out, H', W') over all places, added up in fp32."""
    rows = _as_rows(gradient)
    # As a product: `sum` takes 4 times as long, and 15 times where it is asked for fp32.
    return rows.new_ones(len(rows)) @ rows


def _is_product(weight: Tensor, how: Geometry) -> bool:
    """Whether the convolution is a product of matrices: each place for itself."""
    return weight.shape[2:] == (1, 1) and how.stride == (1, 1) and how.padding == (0, 0) and how.groups == 1


def _is_depthwise(weight: Tensor, how: Geometry) -> bool:
    return weight.shape[1] == 1 and how.groups == len(weight) and how.dilation == (1, 1)


def _as_rows(features: Tensor) -> Tensor:
    """(N, C, H, W) as (N * H * W, C); no copy where channels are last."""
    return features.permute(0, 2, 3, 1).flatten(0, 2)


def _as_map(rows: Tensor, like: Tensor) -> Tensor:
    number, _, height, width = like.shape
    return rows.view(number, height, width, -1).permute(0, 3, 1, 2)


def _turned(gradient: Tensor, weight: Tensor, features: Tensor, how: Geometry) -> Tensor:
    """The input gradient of a depthwise convolution: a convolution at stride 1 by the kernel turned by half a circle.

    oneDNN's own takes 200 to 570 ms in bf16 at stride 2; with zeros between its places, the gradient takes 2 to 34.
    """
    rows, columns = features.shape[2:]
    sides, padding = weight.shape[2:], how.padding
    if how.stride != (1, 1):
        gradient = _spread(
            gradient, how, (rows + 2 * padding[0] - sides[0] + 1, columns + 2 * padding[1] - sides[1] + 1)
        )
    none = weight.new_zeros(len(weight))
    turned = how._replace(stride=(1, 1), padding=(sides[0] - 1 - padding[0], sides[1] - 1 - padding[1]))
    return convolve(gradient, weight.flip(2, 3), none, turned, "none")


def _spread(gradient: Tensor, how: Geometry, size: tuple[int, int]) -> Tensor:
    """The gradient as stride 1 would have it: ``size`` places, those between are zero."""
    number, channels = gradient.shape[:2]
    spread = gradient.new_zeros((number, *size, channels)).permute(0, 3, 1, 2)
    spread[:, :, :: how.stride[0], :: how.stride[1]] = gradient
    return spread


def _by_columns(gradient: Tensor, features: Tensor, weight: Tensor, how: Geometry) -> Tensor:
    """The weight gradient of a depthwise 5x5 out of two of 5x3, that of the left columns and that of the right ones.

    For the right ones the gradient stands two columns further left, and where it is none zeros do. oneDNN is fast where
    the kernel is three columns wide at the most and the padding one, so what is more is copied.
    """
    if margin := how.padding[1]:
        features = _widened(features, margin, margin)
    beside = how._replace(padding=(how.padding[0], 0))
    kernel = weight.new_empty((len(weight), 1, 5, 3))
    shift = 2 // how.stride[1]
    more = (features.shape[3] - 3) // how.stride[1] + 1 - gradient.shape[3]
    left = _backward(_widened(gradient, 0, more), features, kernel, beside, 1)
    right = _backward(_widened(gradient, shift, more - shift), features, kernel, beside, 1)
    # The middle column is in both.
    return torch.cat([left, right[..., 1:]], dim=3)


def _widened(features: Tensor, left: int, right: int) -> Tensor:
    """With so many columns of zeros on either side."""
    number, channels, height, width = features.shape
    widened = features.new_empty((number, height, left + width + right, channels)).permute(0, 3, 1, 2)
    # Only those: to write all zeros first takes as long as the copy.
    widened[..., :left] = 0
    widened[..., left + width :] = 0
    widened[..., left : left + width] = features
    return widened


def _backward(gradient: Tensor, features: Tensor, weight: Tensor, how: Geometry, which: int) -> Tensor:
    found = _backward_all(gradient, features, weight, how, (which == 0, which == 1, False))[which]
    assert found is not None
    return found


def _backward_all(
    gradient: Tensor, features: Tensor, weight: Tensor, how: Geometry, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, ...]:
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        gradient, features, weight, None, how.stride, how.padding, how.dilation, False, [0, 0], how.groups, wanted
    )
    return found
