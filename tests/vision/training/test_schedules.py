"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, PolynomialLR

from clary.vision.training.schedules import Schedule, cosine, factor, falling_cosine, one_cycle, polynomial

STEPS = st.integers(1, 300)
BASES = st.floats(1e-6, 1.0)


def rates(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.rate(step) for step in range(steps)]


def test_factor_drops_after_the_epochs_named() -> None:
    """ "10,20" of the guide: the epochs 10 and 20 are finished at the old rate."""
    per_epoch = 100 // 32
    schedule = factor(0.5, (10, 20), 0.1, per_epoch)
    by_epoch = [schedule.rate(epoch * per_epoch) for epoch in range(25)]
    assert by_epoch == pytest.approx([0.5] * 10 + [0.05] * 10 + [0.005] * 5)
    assert schedule.rate(10 * per_epoch - 1) == 0.5
    assert schedule.rate(10 * per_epoch) == pytest.approx(0.05)


def test_factor_counts_steps_as_the_original_does_even_if_the_epochs_are_longer() -> None:
    """A wrong `num_training_samples` shifts the drop: 100 announced, 200 there, drop in the middle of epoch 0."""
    schedule = factor(0.1, (1,), 0.5, 100 // 10)
    assert [schedule.rate(step) for step in (9, 10, 19)] == [0.1, 0.05, 0.05]


@given(BASES, st.sets(st.integers(1, 20), max_size=5), st.floats(0, 1), st.integers(1, 9))
@settings(max_examples=60)
def test_factor_is_the_base_times_a_power(base: float, epochs: set[int], by: float, per_epoch: int) -> None:
    schedule = factor(base, tuple(epochs), by, per_epoch)
    for epoch in range(22):
        finished = sum(epoch >= drop for drop in epochs)
        assert rates(schedule, 22 * per_epoch)[epoch * per_epoch] == pytest.approx(base * by**finished)
    assert schedule.rate(0) == base
    assert schedule.drops


def test_factor_without_steps_is_constant() -> None:
    assert set(rates(factor(0.1, (), 0.1, 5), 50)) == {0.1}


@given(BASES, STEPS, st.floats(0.0, 0.9))
@settings(max_examples=60)
def test_cosine_rises_to_the_base_then_falls_to_zero(base: float, steps: int, rise: float) -> None:
    schedule = cosine(base, steps, rise)
    found = rates(schedule, steps + 1)
    top = max(1, round(steps * rise))
    assert found[:top] == pytest.approx([base * (step + 1) / top for step in range(top)])
    assert all(before > after for before, after in pairwise(found[top:]))
    assert found[:steps] == pytest.approx(
        np.clip(found[:steps], 1e-12 * base, base)
    )  # above zero, never above the base
    if top < steps:
        assert found[top] == base
        assert found[steps] == pytest.approx(0, abs=1e-12)
        middle = top + (steps - top) // 2
        fallen = (middle - top) / (steps - top)
        assert found[middle] == pytest.approx(base * (1 + math.cos(math.pi * fallen)) / 2)
    assert not schedule.drops


def test_cosine_is_half_the_base_in_the_middle_of_its_fall() -> None:
    schedule = cosine(0.4, 100, rise=0.1)
    assert [schedule.rate(step) for step in (0, 4, 9, 10, 55)] == pytest.approx([0.04, 0.2, 0.4, 0.4, 0.2])


@given(BASES, st.integers(2, 300), st.floats(0.1, 0.9))
@settings(max_examples=60)
def test_one_cycle_rises_then_falls(base: float, steps: int, rise: float) -> None:
    schedule = one_cycle(base, steps, rise)
    found = rates(schedule, steps + 1)
    top = max(1, round(steps * rise))
    assert found[0] == pytest.approx(base / 25)
    assert found[top] == pytest.approx(base if top < steps else 0, abs=1e-12) or top == steps
    assert all(before < after for before, after in pairwise(found[: top + 1]))
    assert all(before > after for before, after in pairwise(found[top:]))
    if top < steps:
        assert found[steps] == pytest.approx(0, abs=1e-12)


def test_one_cycle_of_a_single_step_starts_low() -> None:
    assert one_cycle(1.0, 1).rate(0) == pytest.approx(0.04)


def torchs(make: Callable[[torch.optim.Optimizer], LRScheduler], base: float, steps: int) -> list[float]:
    """Rates of one of PyTorch's schedulers, step by step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler, found = make(optimizer), list[float]()
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("steps", [2, 7, 40])
def test_polynomial_is_pytorchs_that_ends_with_the_last_step(steps: int) -> None:
    expected = torchs(lambda optimizer: PolynomialLR(optimizer, total_iters=steps - 1, power=0.9), 0.02, steps)
    assert rates(polynomial(0.02, steps), steps) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_falling_cosine_is_pytorchs(steps: int) -> None:
    expected = torchs(lambda optimizer: CosineAnnealingLR(optimizer, T_max=steps), 0.02, steps)
    assert rates(falling_cosine(0.02, steps), steps) == pytest.approx(expected, abs=1e-9)


def test_polynomial_of_a_job_of_the_original() -> None:
    """Ten epochs of 347 steps from 1e-4: after 20 updates its log says 0.000099."""
    assert f"{polynomial(1e-4, 3470).rate(20):.6f}" == "0.000099"


@given(BASES, st.integers(2, 300))
@settings(max_examples=60)
def test_both_begin_at_the_base_and_fall(base: float, steps: int) -> None:
    for schedule in (polynomial(base, steps), falling_cosine(base, steps)):
        found = rates(schedule, steps)
        assert found[0] == base
        assert all(before > after for before, after in pairwise(found))
        assert not schedule.drops
    assert polynomial(base, steps).rate(steps - 1) == 0


def test_a_single_step_is_taken_at_the_base() -> None:
    assert [polynomial(0.1, 1).rate(0), falling_cosine(0.1, 1).rate(0)] == [0.1, 0.1]


@pytest.mark.parametrize(
    "schedule", [cosine(1.0, 10), one_cycle(1.0, 10), polynomial(1.0, 10), falling_cosine(1.0, 10)]
)
def test_rate_stays_at_zero_beyond_the_end(schedule: Schedule) -> None:
    assert rates(schedule, 20)[10:] == pytest.approx([0.0] * 10, abs=1e-12)
