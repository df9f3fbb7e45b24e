"""Segmenters by their description."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clary.errors import UsageError
from clary.vision.models.segmenter import (
    ALGORITHMS,
    PixelScores,
    PSPHead,
    Segmenter,
    _Pool,
    build_segmenter,
    describe_segmenter,
)

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "timm:test_resnet"
ORIGINAL = ("fcn", "psp", "deeplab")


def tiny(algorithm: str, classes: int = 4) -> PixelScores:
    torch.manual_seed(0)
    return build_segmenter(describe_segmenter(TINY, algorithm, classes, width=16))


def light(architecture: str, algorithm: str, classes: int = 21) -> Segmenter:
    """Without numbers: shapes and names only."""
    with torch.device("meta"):
        return build_segmenter(describe_segmenter(architecture, algorithm, classes)).segmenter


def pixels(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def convolutions(module: object) -> list[nn.Conv2d]:
    assert isinstance(module, nn.Module)
    return [one for one in module.modules() if isinstance(one, nn.Conv2d)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("size", [(64, 64), (33, 47), (81, 40)])
def test_every_pixel_of_any_size_gets_scores_that_sum_to_one(algorithm: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        scores = tiny(algorithm).eval()(pixels(2, *size))
    assert scores.shape == (2, 4, *size)
    assert scores.dtype == torch.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(2, *size))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_auxiliary_logits_are_for_training_only(algorithm: str) -> None:
    network = tiny(algorithm).segmenter
    trained = network.train()(pixels(2, 48, 40))
    if algorithm == "unet":
        assert isinstance(trained, torch.Tensor)
        assert network.auxiliary is None
    else:
        assert isinstance(trained, tuple)
        assert [one.shape for one in trained] == [(2, 4, 48, 40)] * 2
    with torch.inference_mode():
        assert isinstance(network.eval()(pixels(2, 48, 40)), torch.Tensor)


@pytest.mark.parametrize("architecture", ["timm:resnet50", "timm:resnet101"])
@pytest.mark.parametrize("algorithm", ORIGINAL)
def test_heads_of_the_original_stand_on_maps_of_stride_8(architecture: str, algorithm: str) -> None:
    network = light(architecture, algorithm).eval()
    assert network.features.strides == (8, 8)
    assert network.features.channels == (1024, 2048)
    with torch.device("meta"):
        maps = network.features(torch.zeros(1, 240, 236, 3, dtype=torch.uint8))
        assert [one.shape[2:] for one in maps] == [(30, 30)] * 2
        assert network.head(maps[-1]).shape == (1, 21, 30, 30)
        assert network.auxiliary is not None
        assert network.auxiliary(maps[-2]).shape == (1, 21, 30, 30)


def test_fcn_is_a_quarter_as_wide() -> None:
    for head, width in ((light("timm:resnet50", "fcn").head, 2048), (light("timm:resnet50", "psp").auxiliary, 1024)):
        first, last = convolutions(head)
        assert (first.in_channels, first.out_channels, first.kernel_size) == (width, width // 4, (3, 3))
        assert (last.in_channels, last.out_channels, last.kernel_size) == (width // 4, 21, (1, 1))
        assert isinstance(head, nn.Module)
        assert [one.p for one in head.modules() if isinstance(one, nn.Dropout)] == [0.1]


def test_psp_joins_four_grids_of_512_to_the_map() -> None:
    head = light("timm:resnet50", "psp").head
    *levels, join, last = convolutions(head)
    assert PSPHead.GRIDS == (1, 2, 3, 6)
    assert [(one.in_channels, one.out_channels) for one in levels] == [(2048, 512)] * 4
    assert (join.in_channels, join.out_channels, join.kernel_size) == (4096, 512, (3, 3))
    assert (last.in_channels, last.out_channels) == (512, 21)


def test_deeplab_looks_12_24_and_36_cells_far() -> None:
    found = convolutions(light("timm:resnet50", "deeplab").head)
    assert [one.dilation[0] for one in found if one.dilation[0] > 1] == [12, 24, 36]
    *branches, project, smooth, last = found
    assert [(one.in_channels, one.out_channels) for one in branches] == [(2048, 256)] * 5
    assert (project.in_channels, project.out_channels) == (5 * 256, 256)
    assert (smooth.kernel_size, last.out_channels) == ((3, 3), 21)


@pytest.mark.parametrize("grid", PSPHead.GRIDS)
@pytest.mark.parametrize("size", [(6, 6), (30, 30), (7, 11), (4, 2)])
def test_means_of_cells_are_those_of_adaptive_pooling(grid: int, size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(_Pool(grid)(features), F.adaptive_avg_pool2d(features, grid))


def test_unet_climbs_by_transposed_convolutions_from_stride_32_to_2() -> None:
    network = light("timm:tf_efficientnet_lite0", "unet")
    assert network.features.strides == (2, 4, 8, 16, 32)
    ups = [one for one in network.head.modules() if isinstance(one, nn.ConvTranspose2d)]
    assert [(one.kernel_size, one.stride) for one in ups] == [((2, 2), (2, 2))] * 4
    with torch.device("meta"):
        maps = network.features.eval()(torch.zeros(1, 95, 63, 3, dtype=torch.uint8))
        assert network.head(maps).shape == (1, 21, 48, 32)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_gradients_reach_every_parameter(algorithm: str) -> None:
    network = tiny(algorithm).segmenter.train()
    outputs = network(pixels(2, 64, 64))
    sum(one.square().mean() for one in (outputs if isinstance(outputs, tuple) else (outputs,))).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_the_last_layers_depend_on_the_number_of_classes(algorithm: str) -> None:
    few, many = (dict(light(TINY, algorithm, count).named_parameters()) for count in (2, 7))
    assert few.keys() == many.keys()
    changed = [name for name in few if few[name].shape != many[name].shape]
    assert all(few[name].shape[0] == 2 and many[name].shape[0] == 7 for name in changed)
    assert len(changed) == (2 if algorithm == "unet" else 4)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_backbone_can_be_frozen_apart_from_the_heads(algorithm: str) -> None:
    network = light(TINY, algorithm)
    network.features.freeze("backbone")
    free = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert free == {name for name, _ in network.named_parameters() if not name.startswith("features.")}
    assert {name.partition(".")[0] for name in free} == ({"head"} if algorithm == "unet" else {"head", "auxiliary"})


def test_a_place_of_the_output_belongs_to_its_place_in_the_picture() -> None:
    """A bright spot changes the scores around it most."""
    dark = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    spot = dark.clone()
    spot[:, 64:80, 16:32] = 255
    for algorithm in ("fcn", "unet"):
        network = tiny(algorithm).eval()
        with torch.inference_mode():
            changed = (network.segmenter(spot) - network.segmenter(dark)).abs().sum(dim=1)[0]
        row, column = divmod(int(changed.argmax()), 96)
        assert abs(row - 72) <= 20, algorithm
        assert abs(column - 24) <= 20, algorithm


def test_description_survives_json_and_rebuilds_the_network() -> None:
    description = describe_segmenter(TINY, "psp", 3, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    one, again = (build_segmenter(json.loads(json.dumps(description))).eval() for _ in range(2))
    again.load_state_dict(one.state_dict())
    with torch.inference_mode():
        assert torch.equal(one(pixels(1, 40, 40)), again(pixels(1, 40, 40)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"algorithm": "segnet"}, "no algorithm is called `segnet`; use fcn, psp, deeplab, unet"),
        ({"architecture": "timm:no_such_network"}, "no network is called `no_such_network`"),
        ({"architecture": "timm:vit_tiny_patch16_224"}, "gives no maps of features"),
    ],
)
def test_what_cannot_be_built_is_told(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build_segmenter(describe_segmenter(TINY, "fcn", 3) | change)
