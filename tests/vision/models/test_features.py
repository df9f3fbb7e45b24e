"""Maps out of a backbone: their strides and sizes, its names, what of it is frozen."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from clary.errors import UsageError
from clary.vision.models.features import FeatureMaps
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD, InputNormalization

pytestmark = pytest.mark.usefixtures("one_thread")

ARCHITECTURES = ("resnet50", "resnet101", "tf_efficientnet_lite0", "test_resnet", "test_efficientnet")
EVERY = (2, 4, 8, 16, 32)


def features(architecture: str, *strides: int, output_stride: int = 32) -> FeatureMaps:
    return FeatureMaps(architecture, IMAGENET_MEAN, IMAGENET_STD, strides=strides, output_stride=output_stride)


def light(architecture: str, *strides: int, output_stride: int = 32) -> FeatureMaps:
    """Without numbers: shapes and names only."""
    with torch.device("meta"):
        return features(architecture, *strides, output_stride=output_stride)


def shapes(maps: FeatureMaps, height: int, width: int) -> list[tuple[int, ...]]:
    with torch.device("meta"):
        return [tuple(one.shape[1:]) for one in maps.eval()(torch.zeros(1, height, width, 3, dtype=torch.uint8))]


def reached(size: int, stride: int) -> int:
    """Rows of a map: every halving rounds up."""
    while stride > 1:
        size, stride = -(-size // 2), stride // 2
    return size


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 81), (33, 47)])
def test_maps_have_the_strides_asked_for_at_any_size(architecture: str, height: int, width: int) -> None:
    maps = light(architecture, *EVERY)
    assert maps.strides == EVERY
    expected = [(c, reached(height, s), reached(width, s)) for c, s in zip(maps.channels, EVERY, strict=True)]
    assert shapes(maps, height, width) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_maps_shrink_no_further(architecture: str, output_stride: int) -> None:
    maps = light(architecture, 16, 32, output_stride=output_stride)
    last = min(16, output_stride), output_stride
    assert maps.strides == last
    assert [shape[1:] for shape in shapes(maps, 65, 97)] == [(reached(65, s), reached(97, s)) for s in last]


def test_resnets_of_the_original_have_its_channels() -> None:
    """Stages 3 and 4 of both are 1024 and 2048 wide: what the heads of 7.6 stand on."""
    for architecture in ("resnet50", "resnet101"):
        assert light(architecture, 16, 32, output_stride=8).channels == (1024, 2048)


def test_dilations_are_2_and_4_at_stride_8() -> None:
    body = light("resnet50", 16, 32, output_stride=8).body
    dilations = {name: {c.dilation[0] for c in _spread(getattr(body, name))} for name in ("layer2", "layer3", "layer4")}
    assert dilations["layer2"] == {1}
    assert dilations["layer3"] - {1} == {2}
    assert dilations["layer4"] - {1, 2} == {4}


def _spread(stage: object) -> list[torch.nn.Conv2d]:
    assert isinstance(stage, torch.nn.Module)
    return [one for one in stage.modules() if isinstance(one, torch.nn.Conv2d) and one.kernel_size == (3, 3)]


@pytest.mark.parametrize("output_stride", [8, 32])
def test_tensors_are_named_as_in_the_whole_network(output_stride: int) -> None:
    """So that pretrained weights fit; dilation changes no shape."""
    with torch.device("meta"):
        whole: dict[str, Tensor] = timm.create_model("resnet50").state_dict()
    own = light("resnet50", 16, 32, output_stride=output_stride).body.state_dict()
    assert {name: value.shape for name, value in own.items()} == {
        name: value.shape for name, value in whole.items() if not name.startswith("fc.")
    }


def test_what_no_map_needs_is_left_out() -> None:
    whole, part = (sum(1 for _ in light("resnet50", *strides).body.parameters()) for strides in (EVERY, (4, 8)))
    assert part < whole
    assert light("resnet50", 4, 8).channels == (256, 512)


def test_maps_are_those_of_timm() -> None:
    torch.manual_seed(0)
    maps = features("test_resnet", 8, 32).eval()
    pixels = torch.randint(0, 256, (2, 40, 56, 3), dtype=torch.uint8)
    other = timm.create_model("test_resnet", features_only=True, out_indices=(2, 4)).eval()
    other.load_state_dict(maps.body.state_dict(), strict=False)
    with torch.inference_mode():
        expected = other(InputNormalization(IMAGENET_MEAN, IMAGENET_STD)(pixels))
        for mine, theirs in zip(maps(pixels), expected, strict=True):
            torch.testing.assert_close(mine, theirs)


# Freezing


def norms(maps: FeatureMaps) -> dict[str, bool]:
    """Normalisations by name, and whether they count statistics."""
    return {name: one.training for name, one in maps.body.named_modules() if isinstance(one, _BatchNorm)}


def trained(maps: FeatureMaps) -> set[str]:
    return {name for name, parameter in maps.body.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("what", "frozen", "still"),
    [
        ("none", (), ()),
        ("norms", (), ("",)),
        ("stem", ("conv1.", "bn1."), ("bn1",)),
        ("2", ("conv1.", "bn1.", "layer1.", "layer2."), ("bn1", "layer1.", "layer2.")),
        ("1,norms", ("conv1.", "bn1.", "layer1."), ("",)),
        ("backbone", ("",), ("",)),
    ],
)
def test_stages_are_frozen_and_their_norms_stand_still(
    what: str, frozen: tuple[str, ...], still: tuple[str, ...]
) -> None:
    maps = light("resnet18", 16, 32)
    maps.freeze(what)
    every = {name for name, _ in maps.body.named_parameters()}
    assert trained(maps) == {name for name in every if not name.startswith(frozen)}
    for _ in range(2):
        maps.eval()
        assert not any(norms(maps).values())
        maps.train()  # as the loop does around validation
        assert {n for n, counts in norms(maps).items() if not counts} == {n for n in norms(maps) if n.startswith(still)}


def test_more_stages_than_there_are() -> None:
    with pytest.raises(UsageError, match="`freeze` is 9, the network has 4 stages; use 0 to 4"):
        light("resnet18", 16, 32).freeze("9")


# What cannot be built


@pytest.mark.parametrize(
    ("architecture", "strides", "output_stride", "sentence"),
    [
        ("no_such_network", (16, 32), 32, "no network is called `no_such_network`"),
        ("resnet_50", (16, 32), 32, "no network is called `resnet_50`; near it: resnet50"),
        ("vit_tiny_patch16_224", (16, 32), 32, "`vit_tiny_patch16_224` gives no maps of features at stride 32"),
        ("resnet50", (64,), 32, "`resnet50` gives no maps of features at stride 32 (no map of stride 64)"),
        ("vgg11", (16, 32), 8, "`vgg11` gives no maps of features at stride 8"),
    ],
)
def test_networks_without_such_maps_are_refused(
    architecture: str, strides: tuple[int, ...], output_stride: int, sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        light(architecture, *strides, output_stride=output_stride)
    assert str(caught.value).startswith(sentence)
