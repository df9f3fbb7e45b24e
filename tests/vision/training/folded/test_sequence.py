"""Chains in turn, some pictures at a time: which are joined, what they give, and what hooks between them are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clary.vision.models import build, describe
from clary.vision.training.folded import sequence
from clary.vision.training.folded.network import FoldedNetwork
from clary.vision.training.folded.sequence import sequences

pytestmark = pytest.mark.usefixtures("one_thread")


class Chained(nn.Module):
    """Two frozen convolutions with their norms; ``between`` is what the second takes of the first."""

    def __init__(self, between: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.between = between or nn.Identity()
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        for norm in (self.first[1], self.second[1]):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Chained:
        super().train(mode)
        self.first.eval()
        self.second.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.permute(0, 3, 1, 2).float() / 255 - 0.5
        found: Tensor = self.second(self.between(self.first(pixels)))
        return found


class Beside(Chained):
    """The first's output is used twice."""

    def forward(self, images: Tensor) -> Tensor:
        first = self.first(images.permute(0, 3, 1, 2).float() / 255 - 0.5)
        found: Tensor = self.second(first) + first[:, :, ::2, ::2]
        return found


class Both(Chained):
    """The first's output is given out as well."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        first = self.first(images.permute(0, 3, 1, 2).float() / 255 - 0.5)
        return first, self.second(first)


def folded(network: nn.Module) -> FoldedNetwork:
    found = FoldedNetwork.of(network, pytest.fail)
    assert found is not None
    return found


def pictures(number: int = 7, height: int = 19, width: int = 23) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (number, height, width, 3), dtype=torch.uint8, generator=random)


@pytest.fixture
def by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "WHOLE", 0)
    monkeypatch.setattr(sequence, "PIECE", 2 * 4 * 8 * 19 * 23)


def joined(network: nn.Module) -> list[int]:
    return [len(chains) for chains in sequences(folded(network).chains)]


def test_chains_of_a_block_are_joined_and_not_over_an_addition() -> None:
    network: Any = build(describe("timm:tf_efficientnet_lite0", 5)).classifier
    network.freeze("backbone")
    found = [[chain.name.removeprefix("backbone.") for chain in one] for one in sequences(folded(network).chains)]
    assert [len(one) for one in found] == [6, *[3] * 13, 4]
    assert found[0][0] == "conv_stem"
    assert found[1] == [f"blocks.1.1.{name}" for name in ("conv_pw", "conv_dw", "conv_pwl")]


@pytest.mark.parametrize("kind", [Beside, Both, lambda: Chained(nn.Dropout(0.5)), lambda: Chained(nn.Hardswish())])
def test_what_is_used_otherwise_or_changed_is_not_joined(kind: Callable[[], Chained]) -> None:
    assert joined(Chained()) == [2]
    assert joined(kind()) == [1, 1]


@pytest.mark.parametrize("kind", [Chained, Beside, Both])
def test_some_pictures_at_a_time_give_what_all_give(
    kind: type[Chained], by_two: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = kind()
    way = folded(network)
    calls: list[int] = []
    forward = way.chains[0].forward

    def counted(features: Tensor, dtype: torch.dtype) -> Tensor:
        calls.append(len(features))
        return forward(features, dtype)

    monkeypatch.setattr(way.chains[0], "forward", counted)
    expected = network(pictures())
    with way.applied(dtype=torch.float32):
        found = network(pictures())
    assert calls == ([2, 2, 2, 1] if kind is Chained else [7])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_where_something_is_learnt_all_go_together(by_two: None) -> None:
    network = Chained()
    network.second[0].weight.requires_grad_()
    way = folded(network)
    network(pictures()).square().mean().backward()
    expected, network.second[0].weight.grad = network.second[0].weight.grad, None
    with way.applied(dtype=torch.float32):
        network(pictures()).square().mean().backward()
    torch.testing.assert_close(network.second[0].weight.grad, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["first", "between", "second", "first.2"])
def test_hooks_between_are_told_what_the_plain_way_gives(name: str, by_two: None) -> None:
    network = Chained()
    way = folded(network)
    told: list[Tensor] = []
    network.get_submodule(name).register_forward_hook(lambda module, given, output: told.append(output))
    network(pictures())
    with way.applied(dtype=torch.float32):
        network(pictures())
    assert len(told) == 2
    torch.testing.assert_close(told[1], told[0], rtol=1e-4, atol=1e-5)


def test_finding_chains_draws_nothing() -> None:
    network = Chained(nn.Dropout(0.5))
    torch.manual_seed(3)
    folded(network)
    found = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(found, torch.rand(1))
