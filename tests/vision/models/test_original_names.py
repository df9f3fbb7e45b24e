"""Names of the original, and freezing by them."""

from __future__ import annotations

import re

import pytest
import torch

from clary.vision.models.anchors import ssd_levels
from clary.vision.models.detector import VGG, Detector, build_detector, describe_detector, grids_of
from clary.vision.models.original_names import freeze_matching, original_names


def detector(architecture: str, size: int = 300) -> Detector:
    levels = ssd_levels(grids_of(architecture, (size, size)), size, size, vgg=architecture == VGG)
    with torch.device("meta"):
        return build_detector(describe_detector(architecture, 2, (size, size), levels)).detector


@pytest.mark.parametrize("architecture", [VGG, "timm:resnet50", "timm:test_resnet"])
def test_every_parameter_has_a_name_of_its_own(architecture: str) -> None:
    network = detector(architecture)
    names = original_names(network)
    assert list(names) == [name for name, _ in network.named_parameters()]
    assert len(set(names.values())) == len(names)


def test_vgg_is_named_as_in_the_guide() -> None:
    names = set(original_names(detector(VGG)).values())
    blocks = {f"conv{block}_{n + 1}_{kind}" for block, count in zip(range(1, 6), (2, 2, 3, 3, 3), strict=True)
              for n in range(count) for kind in ("weight", "bias")}  # fmt: skip
    assert blocks | {"fc6_weight", "fc6_bias", "fc7_weight", "fc7_bias", "relu4_3_scale"} <= names
    assert "relu4_3_cls_pred_conv_weight" in names
    assert "multi_feat_5_conv_3x3_relu_loc_pred_conv_bias" in names
    assert not any("." in name for name in names)


def test_resnet_is_named_as_in_the_artifact() -> None:
    names = set(original_names(detector("timm:resnet50")).values())
    expected = {"conv0_weight", "bn0_gamma", "bn0_beta", "stage1_unit1_conv1_weight", "stage1_unit1_bn1_gamma",
                "stage1_unit1_sc_weight", "stage4_unit3_conv3_weight", "_plus12_cls_pred_conv_weight",
                "_plus15_loc_pred_conv_bias", "multi_feat_2_conv_1x1_conv_weight"}  # fmt: skip
    assert expected <= names
    assert not any("." in name for name in names)


@pytest.mark.parametrize(
    ("architecture", "pattern", "count"),
    [
        (VGG, "^(conv1_|conv2_).*", 8),
        (VGG, "conv1_", 4),  # matched from the beginning all the same
        (VGG, "1_weight", 0),
        (VGG, "fc", 4),
        ("timm:resnet50", "^(conv0|bn0|stage1_)", 33),
        ("timm:resnet50", "", 0),  # the default: nothing
    ],
)
def test_matching_layers_are_frozen(architecture: str, pattern: str, count: int) -> None:
    network = detector(architecture)
    frozen = freeze_matching(network, pattern)
    assert len(frozen) == count
    assert all(re.match(pattern, name) for name in frozen)
    assert sum(not parameter.requires_grad for parameter in network.parameters()) == count
