"""Whole networks, folded for a pass: what is found in them, what they give, and that they are plain again after."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from clary.vision.models import build, describe
from clary.vision.models.anchors import spread
from clary.vision.models.classifier import Classifier
from clary.vision.models.detector import FPN, describe_detector, grids_of
from clary.vision.models.segmenter import describe_segmenter
from clary.vision.training.folded import network as module
from clary.vision.training.folded.network import FoldedNetwork
from clary.vision.training.precision import autocast, processor

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(processor(torch.device("cpu")) is None, reason="no bf16 in hardware"),
]

LITE0, CPU = "timm:tf_efficientnet_lite0", torch.device("cpu")


def classifier() -> Any:
    made: Any = build(describe(LITE0, 5)).classifier
    made.freeze("3,norms")
    return made


def detector() -> Any:
    size = (64, 64)
    levels = spread(torch.rand(12, 2).numpy(), grids_of(LITE0, size, FPN))
    made: Any = build(describe_detector(LITE0, 2, size, levels, neck=FPN)).detector
    made.freeze("2,norms")
    return made


def segmenter() -> Any:
    made: Any = build(describe_segmenter(LITE0, "unet", 3)).segmenter
    made.features.freeze("2,norms")
    return made


# The defaults of the three tasks, and how many convolutions of each are folded in training and in all.
DEFAULTS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "classification": (classifier, 49, 49),
    "detection": (detector, 48, 55),
    "segmentation": (segmenter, 48, 53),
}


@pytest.fixture(params=DEFAULTS)
def default(request: pytest.FixtureRequest) -> tuple[nn.Module, int, int]:
    torch.manual_seed(0)
    make, frozen, found = DEFAULTS[request.param]
    network = make()
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):  # as trained ones have it, else all would be the identity
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.6)
    return network, frozen, found


def folded(network: nn.Module) -> FoldedNetwork:
    lines: list[str] = []
    found = FoldedNetwork.of(network, lines.append)
    assert found is not None, lines
    assert lines == []
    return found


def gradients(network: nn.Module, images: Tensor, precision: str, way: FoldedNetwork | None = None) -> Tensor:
    """Of all parameters in one row; dropout is drawn alike."""
    network.zero_grad(set_to_none=True)
    network.train()
    torch.manual_seed(1)
    with autocast(precision, CPU):
        if way:
            with way.applied(dtype=torch.bfloat16 if precision == "bf16" else torch.float32):
                outputs = network(images)
        else:
            outputs = network(images)
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(part.float().square().mean() for part in parts).backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def test_the_defaults_in_fp32_give_the_same_gradients(default: tuple[nn.Module, int, int]) -> None:
    network, frozen, found = default
    way = folded(network)
    assert (sum(chain.frozen for chain in way.chains), len(way.chains)) == (frozen, found)
    images = torch.randint(0, 256, (2, 75, 69, 3), dtype=torch.uint8)
    expected = gradients(network, images, "fp32")
    # Norms of heads that are trained divide by the deviation of a few places, which magnifies rounding.
    assert off(gradients(network, images, "fp32", way), expected) < (1e-4 if frozen == found else 3e-3)


def test_gradients_of_the_defaults_in_bf16_are_no_farther_from_fp32_than_the_plain_ones(
    default: tuple[nn.Module, int, int],
) -> None:
    network, _, _ = default
    way = folded(network)
    plain, near = [], []
    for seed in range(3):
        random = torch.Generator().manual_seed(seed)
        images = torch.randint(0, 256, (4, 96, 96, 3), dtype=torch.uint8, generator=random)
        exact = gradients(network, images, "fp32")
        plain.append(off(gradients(network, images, "bf16"), exact))
        near.append(off(gradients(network, images, "bf16", way), exact))
    assert sum(near) < 1.15 * sum(plain)


def test_between_passes_the_network_is_as_it_was() -> None:
    torch.manual_seed(0)
    network = classifier()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = dict(network.named_parameters())
    way = folded(network)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with pytest.raises(RuntimeError), way.applied():
        network(images[..., 0])
    with autocast("bf16", CPU), way.applied():
        network(images)
    assert all("forward" not in vars(part) for part in network.modules())
    assert dict(network.named_parameters()).items() == parameters.items()
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_a_copy_is_folded_by_itself() -> None:
    """As in the trial of precisions."""
    torch.manual_seed(0)
    network = classifier()
    other, way = copy.deepcopy((network, folded(network)))
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    gradients(other, images, "bf16", way)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_evaluation_is_folded_too_and_follows_the_weights() -> None:
    torch.manual_seed(0)
    network = classifier()
    way = folded(network)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    network.eval()
    for _ in range(2):
        with torch.no_grad():
            expected = network(images)
            with way.applied(dtype=torch.float32):
                torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-4)
            for parameter in network.parameters():  # of frozen ones too, whose folded form is kept
                parameter.mul_(1.1)


class Twice(nn.Module):
    """Where the convolution's own output is used as well."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        found = self.convolution(images.permute(0, 3, 1, 2).float())
        both: Tensor = found + self.norm(found)
        return both


def test_what_cannot_be_folded_is_left_and_said() -> None:
    network = Twice()
    lines: list[str] = []
    network.norm.running_var.fill_(3.0)  # type: ignore[union-attr]
    network.train = lambda mode=True: network  # type: ignore[method-assign]
    network.norm.eval()
    assert FoldedNetwork.of(network, lines.append) is None
    assert [line.partition("off by")[0] for line in lines] == ["norms are not folded: outputs would be "]


def test_a_network_that_takes_other_pictures_is_left_and_said() -> None:
    network = Classifier(timm.create_model("test_resnet", num_classes=3), (0.5,), (0.5,))
    lines: list[str] = []
    network.freeze("norms")
    assert FoldedNetwork.of(network, lines.append) is None
    assert lines
    assert "\n" not in lines[0]
    assert lines[0].startswith("norms are not folded: ")


def test_of_a_network_trained_in_all_layers_no_pass_is_made() -> None:
    network = Classifier(timm.create_model("test_resnet", num_classes=3), (0.5,) * 3, (0.5,) * 3)
    network.forward = pytest.fail  # type: ignore[assignment, method-assign]
    assert FoldedNetwork.of(network, pytest.fail) is None


def test_an_addition_before_the_activation_is_not_folded_over() -> None:
    network = Classifier(timm.create_model("test_resnet", num_classes=3), (0.5,) * 3, (0.5,) * 3)
    network.freeze("norms")
    found = {chain.name: chain.activation is not None for chain in folded(network).chains}
    assert found["backbone.layer1.0.conv1"]
    assert not found["backbone.layer1.0.conv2"]


def test_public_operators_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Classifier(timm.create_model("test_resnet", num_classes=3), (0.5,) * 3, (0.5,) * 3)
    lines: list[str] = []
    network.freeze("norms")
    monkeypatch.setattr(module, "fault", lambda: "is off by 3")
    assert FoldedNetwork.of(network, lines.append) is not None
    assert lines == ["folded convolutions are computed by public operators: is off by 3"]


@pytest.mark.parametrize("everywhere", [False, True])
def test_hooks_within_are_told_what_the_plain_way_gives(everywhere: bool) -> None:
    torch.manual_seed(0)
    network = Classifier(timm.create_model("test_resnet", num_classes=3), (0.5,) * 3, (0.5,) * 3)
    network.freeze("norms")
    way = folded(network)
    lines: list[str] = []
    seen: list[Tensor] = []
    part = network.backbone.layer1[0].bn1  # type: ignore[index, union-attr]

    def keep(told: nn.Module, given: Any, output: Tensor) -> None:
        if told is part:
            seen.append(output.detach().clone())

    register = nn.modules.module.register_module_forward_hook if everywhere else part.register_forward_hook
    handle = register(keep)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    try:
        network(images)
        for _ in range(2):
            with way.applied(lines.append, torch.float32):
                network(images)
    finally:
        handle.remove()
    assert len(seen) == 3
    torch.testing.assert_close(seen[1], seen[0])
    count = len(way.chains) if everywhere else 1
    assert [line.split()[0] for line in lines] == [str(count)]


def test_gradients_reach_hooks_on_parameters() -> None:
    torch.manual_seed(0)
    network = classifier()
    way = folded(network)
    seen: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.register_hook(lambda gradient, name=name: seen.update({name: gradient}))
    gradients(network, torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8), "bf16", way)
    trained = {name: one.grad for name, one in network.named_parameters() if one.requires_grad}
    assert seen.keys() == trained.keys()
    assert all(torch.equal(value, trained[name]) for name, value in seen.items())


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


class Halves(nn.Module):
    """A convolution and its norm in one part, the activation outside of it; as many networks of others have it."""

    def __init__(self, least: int = 0) -> None:
        super().__init__()
        self.least = least
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8).requires_grad_(False))
        self.act = nn.ReLU()

    def train(self, mode: bool = True) -> Halves:
        super().train(mode)
        self.first[1].eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] < self.least:
            raise IndexError("a picture that is too small")
        found: Tensor = self.act(self.first(images.permute(0, 3, 1, 2).float() / 255 - 0.5))
        return found.mean((2, 3))


def test_a_hook_on_a_part_that_ends_within_a_chain_is_told_what_the_part_gives() -> None:
    torch.manual_seed(0)
    network = Halves()
    found = folded(network)
    told: list[Tensor] = []
    network.first.register_forward_hook(lambda module, given, output: told.append(output))
    with found.applied():
        network(torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8))
    assert told[0].min() < 0, "what comes before the activation"


def test_a_network_that_fails_at_the_size_of_the_trial_goes_the_plain_way() -> None:
    lines: list[str] = []
    assert FoldedNetwork.of(Halves(least=224), lines.append) is None
    assert lines == ["norms are not folded: a picture that is too small"]


def test_what_is_written_past_autograd_counts_from_the_next_epoch_on() -> None:
    torch.manual_seed(0)
    network = Halves().requires_grad_(False)
    found = folded(network)
    images = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8)

    def difference() -> float:
        with found.applied(dtype=torch.float32):
            return float((network(images) - expected).abs().max())

    expected = network(images)
    assert difference() < 1e-5
    network.get_buffer("first.1.running_var").data.fill_(0.01)
    network.get_parameter("first.0.weight").data.mul_(2)
    expected = network(images)
    found.forget()
    assert difference() < 1e-4
