"""Networks by their description."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from clary.errors import UsageError
from clary.vision.algorithms.image_classification.spec import IMAGENET_DEPTHS, SMALL_DEPTHS
from clary.vision.models.classifier import build, describe

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
ARCHITECTURES = [*(f"timm:resnet{depth}" for depth in IMAGENET_DEPTHS), *(f"small:{depth}" for depth in SMALL_DEPTHS)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_depth_of_the_guide_builds_and_gives_scores_by_class(architecture: str) -> None:
    with torch.device("meta"):  # shapes without weights: ResNet-200 has 65 million
        network = build(describe(architecture, 5))
        scores = network(torch.zeros(2, 64, 48, 3, dtype=torch.uint8))
    assert scores.shape == (2, 5)
    assert network.classifier.head.out_features == 5


@pytest.mark.parametrize("architecture", ["small:20", "timm:test_resnet", "timm:test_efficientnet", "timm:test_vit3"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_are_probabilities(architecture: str, multi_label: bool) -> None:
    size = 160 if "vit" in architecture else 32  # a ViT takes one size only
    network = build(describe(architecture, 4, multi_label=multi_label)).eval()
    with torch.inference_mode():
        scores = network(torch.zeros(2, size, size, 3, dtype=torch.uint8))
        logits = network.classifier(torch.zeros(2, size, size, 3, dtype=torch.uint8))
    expected = logits.sigmoid() if multi_label else logits.softmax(1)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected)
    if not multi_label:
        torch.testing.assert_close(scores.sum(1), torch.ones(2))


def test_description_survives_json_and_rebuilds_the_network() -> None:
    description = describe("timm:test_resnet", 3, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    torch.manual_seed(1)
    network = build(description).eval()
    again = build(json.loads(json.dumps(description))).eval()
    again.load_state_dict(network.state_dict())
    with torch.inference_mode():
        assert torch.equal(network(PIXELS), again(PIXELS))
        other = build(describe("timm:test_resnet", 3)).eval()
        other.load_state_dict(network.state_dict())
        assert not torch.equal(network(PIXELS), other(PIXELS))  # the description holds mean and deviation


def test_weights_are_laid_out_channels_last() -> None:
    network = build(describe("timm:test_resnet", 3))
    weight: Any = network.classifier.backbone.layer1[0].conv1.weight  # type: ignore[index, union-attr]
    assert weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ("timm:resnet_18", "no network is called `timm:resnet_18`; near it: resnet18"),
        ("timm:zzzz", "no network is called `timm:zzzz`; `timm.list_models()` shows the names"),
        ("timm:", "no network is called `timm:`"),
        ("resnet18", "no network is called `resnet18`"),
        ("hub:resnet18", "no network is called `hub:resnet18`"),
        ("", "no network is called ``"),
        ("timm:resnet18.no_such_tag", "there is no network `timm:resnet18.no_such_tag`"),
        ("small:21", "there is no network `small:21` (depth is 21, expected 6n + 2"),
        ("small:x", "there is no network `small:x`"),
        ("timm:deit_tiny_distilled_patch16_224", "does not end in one fully connected layer; choose another"),
    ],
)
def test_unknown_network_is_one_line(architecture: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        build(describe(architecture, 3))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_head_is_the_last_layer() -> None:
    classifier = build(describe("timm:test_efficientnet", 6)).classifier
    assert (classifier.head.in_features, classifier.head.out_features) == (256, 6)
    assert classifier.head is classifier.backbone.classifier
