"""Update rules against direct implementations of their formulas, in float64 numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clary.vision.training.optim import UpdateRule, make_optimizer, rescale_momentum, set_rate
from clary.vision.training.rmsprop import GravesRMSprop
from clary.vision.training.schedules import Schedule, factor

HP: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.01,
    "beta_1": 0.8,
    "beta_2": 0.95,
    "eps": 1e-3,  # large enough to show in the path where it is added
    "gamma": 0.7,
    "head_rate_factor": 1.0,
}
STEPS = 12
Path = list[np.ndarray]


class Net(nn.Module):
    """A weight, a scale and biases, in a body and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 2)


def gradients(shape: Sequence[int]) -> Path:
    """The same for every rule: a path is then a function of the rule alone."""
    random = np.random.default_rng(0)
    return [random.normal(size=shape) for _ in range(STEPS)]


def walked(hp: dict[str, Any], schedule: Schedule, name: str = "head.weight", factor: float = 1.0) -> tuple[Path, Path]:
    """The path of one parameter, as the loop drives the optimizer, and the gradients it was given."""
    torch.manual_seed(0)
    net = Net().double()
    optimizer = make_optimizer(net, UpdateRule(**hp), net.head)
    parameter = dict(net.named_parameters())[name]
    given = gradients(parameter.shape)
    path = [parameter.detach().numpy().copy()]
    for step, gradient in enumerate(given):
        rate = schedule.rate(step)
        set_rate(optimizer, rate)
        if schedule.drops:
            rescale_momentum(optimizer, schedule.rate(max(step - 1, 0)), rate)
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return path, given


def mxnet_sgd(w: np.ndarray, given: Path, rate: Callable[[int], float], momentum: float, decay: float) -> Path:
    """MXNet's sgd_mom_update: the rate is inside the velocity."""
    path, velocity = [w], np.zeros_like(w)
    for step, g in enumerate(given):
        velocity = momentum * velocity - rate(step) * (g + decay * w)
        w = w + velocity
        path.append(w)
    return path


def mxnet_nag(w: np.ndarray, given: Path, rate: Callable[[int], float], momentum: float, decay: float) -> Path:
    """MXNet's nag_mom_update (1.6): the step looks ahead along the new velocity."""
    path, velocity = [w], np.zeros_like(w)
    for step, g in enumerate(given):
        down = rate(step) * (g + decay * w)
        velocity = momentum * velocity - down
        w = w + momentum * velocity - down
        path.append(w)
    return path


def adam(w: np.ndarray, given: Path, rate: float, beta_1: float, beta_2: float, eps: float) -> Path:
    """Kingma & Ba 2014, algorithm 1."""
    path, m, v = [w], np.zeros_like(w), np.zeros_like(w)
    for t, g in enumerate(given, start=1):
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g * g
        w = w - rate * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + eps)
        path.append(w)
    return path


def rmsprop(w: np.ndarray, given: Path, rate: float, gamma: float, eps: float) -> Path:
    """Tieleman & Hinton 2012, not centred."""
    path, mean = [w], np.zeros_like(w)
    for g in given:
        mean = gamma * mean + (1 - gamma) * g * g
        w = w - rate * g / (np.sqrt(mean) + eps)
        path.append(w)
    return path


def adagrad(w: np.ndarray, given: Path, rate: float) -> Path:
    """Duchi 2011; MXNet's epsilon is 1e-7."""
    path, total = [w], np.zeros_like(w)
    for g in given:
        total = total + g * g
        w = w - rate * g / (np.sqrt(total) + 1e-7)
        path.append(w)
    return path


def adadelta(w: np.ndarray, given: Path) -> Path:
    """Zeiler 2012, algorithm 1, with MXNet's 0.9 and 1e-5: there is no rate in it."""
    path, mean, moved = [w], np.zeros_like(w), np.zeros_like(w)
    for g in given:
        mean = 0.9 * mean + 0.1 * g * g
        step = np.sqrt(moved + 1e-5) / np.sqrt(mean + 1e-5) * g
        moved = 0.9 * moved + 0.1 * step * step
        w = w - step
        path.append(w)
    return path


def centred_rmsprop(w: np.ndarray, given: Path, rate: float, gamma: tuple[float, float], eps: float) -> Path:
    """Graves 2013, equations 38 to 45: the deviation of gradients in place of their size, and momentum."""
    path, square, mean, step = [w], np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for g in given:
        square, mean = gamma[0] * square + (1 - gamma[0]) * g * g, gamma[0] * mean + (1 - gamma[0]) * g
        step = gamma[1] * step - rate * g / np.sqrt(square - mean * mean + eps)
        w = w + step
        path.append(w)
    return path


CONSTANT = Schedule(lambda step: 0.1)
DROPS = factor(0.1, (1, 2), 0.1, 4)  # after steps 4 and 8 of 12


@pytest.mark.parametrize("schedule", [CONSTANT, DROPS], ids=["constant", "two drops"])
@pytest.mark.parametrize(("name", "formula"), [("sgd", mxnet_sgd), ("nag", mxnet_nag)])
@pytest.mark.parametrize("momentum", [0.9, 0.5, 0.0])
def test_sgd_and_nag_walk_mxnets_path(name: str, formula: Any, momentum: float, schedule: Schedule) -> None:
    path, given = walked(HP | {"optimizer": name, "momentum": momentum}, schedule)
    np.testing.assert_allclose(path, formula(path[0], given, schedule.rate, momentum, 0.01), rtol=1e-10)


def test_pytorchs_own_momentum_would_walk_another_path() -> None:
    """What `rescale_momentum` is for: without it the velocity shrinks with the rate at once."""
    path, given = walked(HP, Schedule(DROPS.rate, drops=False))
    expected = mxnet_sgd(path[0], given, DROPS.rate, 0.9, 0.01)
    np.testing.assert_allclose(path[:5], expected[:5], rtol=1e-10)
    assert np.abs(path[-1] - expected[-1]).max() > 0.1


def test_adam_walks_its_formula() -> None:
    path, given = walked(HP | {"optimizer": "adam"}, CONSTANT)
    np.testing.assert_allclose(path, adam(path[0], given, 0.1, 0.8, 0.95, 1e-3), rtol=1e-10)


def test_rmsprop_walks_its_formula() -> None:
    path, given = walked(HP | {"optimizer": "rmsprop"}, CONSTANT)
    np.testing.assert_allclose(path, rmsprop(path[0], given, 0.1, 0.7, 1e-3), rtol=1e-10)


def test_adagrad_walks_its_formula() -> None:
    path, given = walked(HP | {"optimizer": "adagrad"}, CONSTANT)
    np.testing.assert_allclose(path, adagrad(path[0], given, 0.1), rtol=1e-10)


@pytest.mark.parametrize("schedule", [CONSTANT, DROPS], ids=["constant", "two drops"])
def test_adadelta_walks_its_formula_whatever_the_rate(schedule: Schedule) -> None:
    path, given = walked(HP | {"optimizer": "adadelta", "head_rate_factor": 10.0}, schedule)
    np.testing.assert_allclose(path, adadelta(path[0], given), rtol=1e-10)


@pytest.mark.parametrize("second", [0.9, 0.0])
def test_rmsprop_with_a_second_gamma_is_the_centred_one(second: float) -> None:
    path, given = walked(HP | {"optimizer": "rmsprop", "gamma2": second}, CONSTANT)
    np.testing.assert_allclose(path, centred_rmsprop(path[0], given, 0.1, (0.7, second), 1e-3), rtol=1e-10)


def test_centred_rmsprop_bears_gradients_that_do_not_change() -> None:
    """Mean of squares less square of mean is then rounding alone, and may be below zero."""
    for size in (1e-6, 1e-3, 1.0):
        weight = torch.nn.Parameter(torch.ones(5))
        optimizer = GravesRMSprop([weight], lr=1e-6, gamma1=0.9, gamma2=0.9, eps=1e-8)
        for _ in range(500):
            weight.grad = torch.full_like(weight, size)
            optimizer.step()
        assert bool(torch.isfinite(weight).all())


def test_gluon_decays_biases_too() -> None:
    plain, given = walked(HP, CONSTANT, "head.bias")
    decayed, _ = walked(HP | {"decays_biases": True}, CONSTANT, "head.bias")
    np.testing.assert_allclose(decayed, mxnet_sgd(decayed[0], given, CONSTANT.rate, HP["momentum"], 0.01), rtol=1e-10)
    assert np.abs(plain[-1] - decayed[-1]).max() > 1e-4


def test_decay_falls_on_rmsprop_where_the_algorithm_says_so() -> None:
    """As detection does: L2 in the gradient, of weights only."""
    hp = HP | {"optimizer": "rmsprop", "decayed": ("sgd", "rmsprop")}
    path, given = walked(hp, CONSTANT)
    mean, w = np.zeros_like(path[0]), path[0]
    for g in given:
        g = g + 0.01 * w
        mean = 0.7 * mean + 0.3 * g * g
        w = w - 0.1 * g / (np.sqrt(mean) + 1e-3)
    np.testing.assert_allclose(path[-1], w, rtol=1e-10)
    biased, given = walked(hp, CONSTANT, "head.bias")
    np.testing.assert_allclose(biased, rmsprop(biased[0], given, 0.1, 0.7, 1e-3), rtol=1e-10)


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    path, given = walked(HP | {"optimizer": "adamw"}, CONSTANT)
    w, m, v = path[0], np.zeros_like(path[0]), np.zeros_like(path[0])
    for t, g in enumerate(given, start=1):  # Loshchilov & Hutter 2017, algorithm 2
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        w = w * (1 - 0.1 * 0.01) - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
    np.testing.assert_allclose(path[-1], w, rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "decays"),
    [
        ("conv.weight", True),
        ("norm.weight", True),  # MXNet's gamma
        ("head.weight", True),
        ("conv.bias", False),
        ("norm.bias", False),
        ("head.bias", False),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "nag"])
def test_decay_falls_on_weights_and_scales_only(optimizer: str, name: str, decays: bool) -> None:
    formula = mxnet_sgd if optimizer == "sgd" else mxnet_nag
    path, given = walked(HP | {"optimizer": optimizer}, CONSTANT, name)
    np.testing.assert_allclose(path, formula(path[0], given, CONSTANT.rate, 0.9, 0.01 if decays else 0.0), rtol=1e-10)


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adagrad", "adadelta"])
def test_decay_is_for_sgd_and_nag_only(optimizer: str) -> None:
    with_decay, _ = walked(HP | {"optimizer": optimizer, "weight_decay": 0.5}, CONSTANT)
    without, _ = walked(HP | {"optimizer": optimizer, "weight_decay": 0.0}, CONSTANT)
    np.testing.assert_array_equal(with_decay, without)


def test_head_has_its_own_rate_through_every_change() -> None:
    hp = HP | {"head_rate_factor": 10.0}
    path, given = walked(hp, DROPS, "head.weight")
    np.testing.assert_allclose(path, mxnet_sgd(path[0], given, lambda s: 10 * DROPS.rate(s), 0.9, 0.01), rtol=1e-10)
    path, given = walked(hp, DROPS, "conv.weight")
    np.testing.assert_allclose(path, mxnet_sgd(path[0], given, DROPS.rate, 0.9, 0.01), rtol=1e-10)


def test_frozen_parameters_are_left_out() -> None:
    net = Net()
    net.conv.requires_grad_(False)
    optimizer = make_optimizer(net, UpdateRule(**HP), net.head)
    inside = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert inside == {id(p) for p in (net.norm.weight, net.norm.bias, net.head.weight, net.head.bias)}


@pytest.mark.parametrize("optimizer", ["sgd", "nag", "adam", "rmsprop", "adamw", "adagrad", "adadelta"])
@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_settings_at_their_limits_make_an_optimizer(optimizer: str, momentum: float) -> None:
    net = Net()
    hp = HP | {"optimizer": optimizer, "momentum": momentum, "eps": 0.0, "gamma": 1.0, "weight_decay": 1.0}
    make_optimizer(net, UpdateRule(**(hp | {"learning_rate": 0.0, "beta_1": 0.0, "beta_2": 0.0})), net.head)


def test_velocity_is_left_alone_where_the_rate_ends_at_zero() -> None:
    """There is no scale that keeps the velocity of a rate of zero; the weights then stand still."""
    path, _ = walked(HP, factor(0.1, (1,), 0.0, 4))
    assert all(isinstance(w, np.ndarray) and np.isfinite(w).all() for w in path)
    np.testing.assert_array_equal(path[4], path[-1])


def test_rescaling_concerns_momentum_of_sgd_only() -> None:
    net = Net()
    optimizer = make_optimizer(net, UpdateRule(**(HP | {"optimizer": "adam"})), net.head)
    net.head.weight.grad = torch.ones_like(net.head.weight)
    optimizer.step()
    before: Tensor = optimizer.state[net.head.weight]["exp_avg"].clone()
    rescale_momentum(optimizer, 0.1, 0.01)
    assert torch.equal(before, optimizer.state[net.head.weight]["exp_avg"])
