"""The networks for tiny pictures, against He et al. 2016."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from clary.vision.models.resnet_small import ResNetSmall

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_parameters_are_as_many_as_the_paper_counts(depth: int, millions: float) -> None:
    """Table 6. Our shortcuts between stages have weights (option B), theirs none: 2,752 more."""
    network = ResNetSmall(depth, 10)
    shortcuts = sum(p.numel() for name, p in network.named_parameters() if "downsample" in name)
    assert shortcuts == 2752
    count = (sum(p.numel() for p in network.parameters()) - shortcuts) / 1e6
    assert count == pytest.approx(millions, abs=0.05 if depth == 110 else 0.005)


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_layers_are_as_many_as_the_name_says(depth: int) -> None:
    network = ResNetSmall(depth, 10)
    convolutions = [m for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and "downsample" not in name]
    assert len(convolutions) + 1 == depth  # and the last one, fully connected
    assert {m.kernel_size for m in convolutions} == {(3, 3)}


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (20, 36)])
def test_gives_logits_of_tiny_pictures(size: tuple[int, int]) -> None:
    assert ResNetSmall(20, 7)(torch.rand(2, 3, *size)).shape == (2, 7)


def test_stages_halve_the_size_twice() -> None:
    network = ResNetSmall(20, 10)
    images = torch.rand(1, 3, 32, 32)
    stem = network.stem(images)
    shapes = [tuple(stem.shape[1:])]
    for stage in network.stages:
        stem = stage(stem)
        shapes.append(tuple(stem.shape[1:]))
    assert shapes == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_weights_start_as_in_the_original() -> None:
    """Gaussian, fan-in, magnitude 2: variance 2 / fan-in."""
    torch.manual_seed(0)
    weight = ResNetSmall(20, 10).stages[2][1].conv1.weight  # type: ignore[index]
    assert weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.05)
    assert weight.mean().item() == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("depth", [0, 2, 7, 19, 21, 51, -4])
def test_depth_is_6n_plus_2(depth: int) -> None:
    with pytest.raises(ValueError, match=f"depth is {depth}, expected 6n"):
        ResNetSmall(depth, 10)
