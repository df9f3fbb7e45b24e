"""Detectors by their description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from clary.errors import UsageError
from clary.vision.base.boxes import clip, decode
from clary.vision.models.anchors import Anchors, Level, spread, ssd_levels
from clary.vision.models.detector import (
    FPN,
    SSD,
    VGG,
    BoxScores,
    build_detector,
    decoded,
    describe_detector,
    grids_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "timm:test_resnet"
SIZES = np.geomspace(0.05, 0.9, 6)[:, None] * np.ones(2)


def described(architecture: str, size: int, classes: int = 2, neck: Mapping[str, Any] = SSD) -> dict[str, Any]:
    grids = grids_of(architecture, (size, size), neck)
    levels: list[Level] = (
        ssd_levels(grids, size, size, vgg=architecture == VGG)
        if neck["kind"] == "ssd"
        else spread(np.repeat(SIZES, len(grids), axis=0), grids)
    )
    return describe_detector(architecture, classes, (size, size), levels, neck=neck)


@pytest.mark.parametrize(
    ("architecture", "size", "grids", "anchors"),
    [
        ("timm:resnet50", 300, (19, 10, 5, 3, 2, 1), 2268),
        ("timm:resnet50", 512, (32, 16, 8, 4, 2, 1), 6132),
        (VGG, 300, (38, 19, 10, 5, 3, 1), 8732),
        (VGG, 512, (64, 32, 16, 8, 4, 2, 2), 24576),
        (VGG, 400, (50, 25, 13, 7, 5, 3), None),
        (VGG, 448, (56, 28, 14, 7, 4, 2, 2), None),
        ("timm:resnet50", 333, (21, 11, 6, 3, 2, 1), None),
        ("timm:tf_efficientnet_lite0", 300, (19, 10, 5, 3, 2, 1), 2268),
    ],
)
def test_networks_of_the_original_give_its_anchors(
    architecture: str, size: int, grids: tuple[int, ...], anchors: int | None
) -> None:
    description = described(architecture, size)
    assert [level["grid"] for level in description["anchors"]] == [[n, n] for n in grids]
    with torch.device("meta"):
        detector = build_detector(description).detector
        logits, offsets = detector.eval()(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    count = anchors or len(Anchors.from_description(description["anchors"]))
    assert logits.shape == (1, count, 3)
    assert offsets.shape == (1, count, 4)


@pytest.mark.parametrize("strides", [[8, 16, 32], [8, 16, 32, 64], [16, 32]])
def test_pyramid_stands_on_any_strides(strides: list[int]) -> None:
    neck = {**FPN, "strides": strides, "width": 16}
    description = described(TINY, 100, classes=4, neck=neck)
    assert [level["grid"][0] for level in description["anchors"]] == [-(-100 // stride) for stride in strides]
    network = build_detector(description)
    logits, offsets = network.detector(torch.zeros(2, 100, 100, 3, dtype=torch.uint8))
    assert logits.shape[2] == 5
    assert logits.shape[:2] == offsets.shape[:2] == (2, len(Anchors.from_description(description["anchors"])))
    assert (logits.argmax(dim=2) == 0).all()  # background, to begin with


@pytest.fixture(scope="module", params=["ssd", "fpn"])
def network(request: pytest.FixtureRequest) -> BoxScores:
    torch.manual_seed(0)
    description = described(TINY, 96, neck={"ssd": SSD, "fpn": {**FPN, "width": 16}}[request.param])
    return build_detector(description).eval()


def test_exported_boxes_and_scores_are_ready_for_suppression(network: BoxScores) -> None:
    pixels = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        boxes, scores = network(pixels)
        logits, offsets = network.detector(pixels)
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.shape == (*scores.shape[:2], 4)
    assert scores.shape[2] == 2
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    torch.testing.assert_close(scores, logits.softmax(2)[..., 1:])
    expected = clip(decode(offsets.numpy(), network.anchors.numpy()))
    np.testing.assert_allclose(boxes.numpy(), expected, atol=1e-5)


def test_no_offset_is_the_anchor_and_huge_ones_stay_finite() -> None:
    anchors = torch.tensor([[0.5, 0.5, 0.4, 0.2]])
    torch.testing.assert_close(decoded(torch.zeros(1, 1, 4), anchors), torch.tensor([[[0.3, 0.4, 0.7, 0.6]]]))
    assert decoded(torch.full((1, 1, 4), 1e30), anchors).isfinite().all()


def test_a_position_of_the_output_belongs_to_its_anchor() -> None:
    """A bright spot in one cell changes the first map's anchors around it, not those far away."""
    torch.manual_seed(0)
    description = described(TINY, 320)
    network = build_detector(description).eval()
    dark = torch.zeros(1, 320, 320, 3, dtype=torch.uint8)
    spot = dark.clone()
    spot[:, 200:216, 40:56] = 255
    with torch.inference_mode():
        changed = (network.detector(spot)[0] - network.detector(dark)[0]).abs().sum(dim=2)[0]
    rows, columns = description["anchors"][0]["grid"]
    cells = changed[: rows * columns * 4].view(rows, columns, 4).sum(dim=2)
    row, column = divmod(int(cells.argmax()), columns)
    assert abs(row - 208 / 16) <= 2
    assert abs(column - 48 / 16) <= 2


def test_description_survives_json_and_rebuilds_the_network(network: BoxScores) -> None:
    description = described(TINY, 96, classes=3)
    torch.manual_seed(1)
    one = build_detector(description).eval()
    again = build_detector(json.loads(json.dumps(description))).eval()
    again.load_state_dict(one.state_dict())
    pixels = torch.randint(0, 256, (1, 96, 96, 3), dtype=torch.uint8)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(one(pixels), again(pixels), strict=True))
    assert "anchors" not in one.state_dict()  # the description has them


def test_gradients_reach_every_parameter() -> None:
    for neck in (SSD, {**FPN, "width": 16}):
        network = build_detector(described(TINY, 320, neck=neck)).detector
        logits, offsets = network(torch.randint(0, 256, (2, 320, 320, 3), dtype=torch.uint8))
        (logits.square().mean() + offsets.square().mean()).backward()
        assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_base_can_be_frozen_apart_from_the_head() -> None:
    network = build_detector(described(TINY, 96)).detector
    network.freeze("backbone")
    assert not any(parameter.requires_grad for parameter in network.features.parameters())
    assert all(parameter.requires_grad for parameter in network.head.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "timm:no_such_network"}, "no network is called `no_such_network`"),
        ({"architecture": "timm:vit_tiny_patch16_224"}, "gives no maps of features"),
        ({"neck": {"kind": "bifpn"}}, "no neck is called `bifpn`"),
        ({"architecture": VGG, "neck": {**FPN}}, "has no maps for `fpn`"),
        ({"image_shape": [128, 128]}, "the anchors are for other maps"),
        ({"architecture": VGG, "image_shape": [20, 20]}, "does not take pictures of 20 x 20 pixels"),
    ],
)
def test_what_cannot_be_built_is_told(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_detector(described(TINY, 96) | change)
