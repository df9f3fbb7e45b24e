"""One call against convolution, norm and activation in turn: values and gradients, for every kind of convolution that
our networks have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clary.vision.training.folded.convolution import Parts, folded_convolution
from clary.vision.training.folded.operators import Activation, Geometry
from clary.vision.training.precision import processor

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(processor(torch.device("cpu")) is None, reason="no bf16 in hardware"),
]

EPS = 1e-3

# in, out, side, stride, padding, groups, height, width
KINDS = {
    "1x1": (24, 40, 1, 1, 0, 1, 7, 9),
    "1x1 of a large map": (8, 16, 1, 1, 0, 1, 57, 57),
    "1x1, stride 2": (16, 32, 1, 2, 0, 1, 9, 7),
    "1x1 of one place": (32, 16, 1, 1, 0, 1, 1, 1),
    "3x3": (16, 24, 3, 1, 1, 1, 8, 7),
    "stem": (3, 32, 3, 2, 0, 1, 15, 14),
    "7x7, stride 2": (3, 16, 7, 2, 3, 1, 17, 15),
    "depthwise 3x3": (32, 32, 3, 1, 1, 32, 9, 8),
    "depthwise 3x3, stride 2": (32, 32, 3, 2, 0, 32, 9, 8),
    "depthwise 3x3, stride 2, padded": (16, 16, 3, 2, 1, 16, 8, 9),
    "depthwise 5x5": (48, 48, 5, 1, 2, 48, 7, 7),
    "depthwise 5x5, stride 2": (48, 48, 5, 2, 0, 48, 11, 12),
    "depthwise 5x5, padded and stride 2": (20, 20, 5, 2, 2, 20, 7, 6),
    "depthwise 5x5 of a narrow map": (20, 20, 5, 1, 2, 20, 3, 2),
    "depthwise 5x5, stride 3": (16, 16, 5, 3, 2, 16, 9, 8),
    "grouped": (32, 32, 3, 1, 1, 4, 8, 8),
}
CASES = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


class Call:
    """Random operands of one kind; ``gradients`` are those of all that is trained."""

    def __init__(self, kind: Sequence[int], activation: Activation, *, biased: bool = False) -> None:
        inputs, outputs, side, stride, padding, groups, height, width = kind
        random = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random)

        self.how = Geometry((stride, stride), (padding, padding), (1, 1), groups)
        self.activation = activation
        self.features = draw(4, inputs, height, width).bfloat16().float().to(memory_format=torch.channels_last)
        self.weight = draw(outputs, inputs // groups, side, side) / (side * (inputs // groups) ** 0.5)
        self.bias = draw(outputs) if biased else None
        self.gamma, self.beta, self.mean = 1 + draw(outputs) / 4, 1 + draw(outputs), draw(outputs) / 4
        self.variance = 0.5 + torch.rand(outputs, generator=random)
        self.trained = [
            one for one in (self.features, self.weight, self.bias, self.gamma, self.beta) if one is not None
        ]
        for one in self.trained:
            one.requires_grad_()

    def plain(self) -> Tensor:
        found = F.conv2d(self.features, self.weight, self.bias, *self.how)
        found = F.batch_norm(found, self.mean, self.variance, self.gamma, self.beta, eps=EPS)
        acts: dict[Activation, Callable[[Tensor], Tensor]] = {"none": nn.Identity(), "relu": F.relu, "relu6": F.relu6}
        return acts[self.activation](found)

    def folded(self, dtype: torch.dtype) -> Tensor:
        parts = Parts(self.weight, self.bias, self.gamma, self.beta, self.mean, (self.variance + EPS).rsqrt())
        return folded_convolution(self.features.to(dtype), parts, self.how, self.activation)

    def gradients(self, output: Tensor) -> list[Tensor]:
        random = torch.Generator().manual_seed(1)
        wanted = torch.randn(output.shape, generator=random).bfloat16().to(output.dtype)
        return list(torch.autograd.grad(output, self.trained, wanted.to(memory_format=torch.channels_last)))


@CASES
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_in_fp32_it_is_the_three_in_turn(kind: Sequence[int], activation: Activation) -> None:
    call = Call(kind, activation, biased=activation == "relu")
    expected, found = call.plain(), call.folded(torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for one, other in zip(call.gradients(found), call.gradients(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@CASES
def test_in_bf16_it_is_that_but_for_rounding(kind: Sequence[int]) -> None:
    # Without an activation, at whose bounds rounding decides whether there is a gradient at all.
    call = Call(kind, "none")
    expected, found = call.plain(), call.folded(torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert off(found, expected) < 0.01
    for one, other in zip(call.gradients(found), call.gradients(expected), strict=True):
        assert one.dtype == torch.float32
        assert off(one, other) < 0.01


@CASES
def test_bf16_takes_no_gradient_where_relu6_is_flat(kind: Sequence[int]) -> None:
    call = Call(kind, "relu6")
    expected, found = call.plain(), call.folded(torch.bfloat16)
    assert off(found, expected) < 0.01
    for one, other in zip(call.gradients(found), call.gradients(expected), strict=True):
        assert off(one, other) < 0.15


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_a_mean_over_places_whose_gradient_is_laid_out_otherwise(activation: Activation) -> None:
    call = Call(KINDS["3x3"], activation)
    found, expected = (
        torch.autograd.grad(one.mean((2, 3)).square().sum(), call.trained)
        for one in (call.folded(torch.float32), call.plain())
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


def test_only_what_is_asked_for_is_computed() -> None:
    call = Call(KINDS["3x3"], "relu")
    for frozen in range(len(call.trained)):
        for place, one in enumerate(call.trained):
            one.requires_grad_(place != frozen)
        call.folded(torch.float32).sum().backward()
        assert [one.grad is None for one in call.trained] == [place == frozen for place in range(len(call.trained))]
        for one in call.trained:
            one.grad = None


def off(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().float(), expected.detach()
    return float((found - expected).norm() / expected.norm())
