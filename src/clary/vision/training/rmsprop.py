"""RMSProp of Graves (2013, *Generating Sequences with Recurrent Neural Networks*, equations 38-45), as MXNet has it.

PyTorch's ``RMSprop(centered=True)`` adds eps outside the root: where gradients hardly change, rounding takes the
difference under it below zero, and weights become NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["GravesRMSprop"]


class GravesRMSprop(Optimizer):
    """``step = gamma2 * step - rate * gradient / sqrt(square - mean**2 + eps)``; then ``weight += step``.

    ``square`` and ``mean`` are running averages of the squared gradient and of the gradient, decaying by ``gamma1``.
    Weight decay is added to the gradient.
    """

    def __init__(self, groups: Any, *, lr: float, gamma1: float, gamma2: float, eps: float = 1e-8) -> None:
        super().__init__(groups, {"lr": lr, "gamma1": gamma1, "gamma2": gamma2, "eps": eps, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, rest = self.state[parameter], 1 - group["gamma1"]
        if not state:
            state.update({name: torch.zeros_like(parameter) for name in ("square", "mean", "delta")})
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        square, mean, delta = state["square"], state["mean"], state["delta"]
        square.mul_(group["gamma1"]).addcmul_(gradient, gradient, value=rest)
        mean.mul_(group["gamma1"]).add_(gradient, alpha=rest)
        variance = torch.addcmul(square, mean, mean, value=-1).clamp_(min=0)  # rounding can take it below zero
        delta.mul_(group["gamma2"]).addcdiv_(gradient, variance.add_(group["eps"]).sqrt_(), value=-group["lr"])
        parameter.add_(delta)
