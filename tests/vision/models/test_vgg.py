"""VGG-16 as a base: its maps, its pretrained weights, its freezing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from clary.errors import UsageError, WeightsError
from clary.vision.models.vgg import MEAN, STD, VGGMaps

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def vgg() -> VGGMaps:
    torch.manual_seed(0)
    return VGGMaps(MEAN, STD).eval()


def whole_state(vgg: VGGMaps, layout: str) -> dict[str, Tensor]:
    """A state as torchvision's or timm's VGG-16 has it; values tell where they come from."""
    six, seven = {"torchvision": ("classifier.0", "classifier.3"), "timm": ("pre_logits.fc1", "pre_logits.fc2")}[layout]
    state = {n: torch.zeros_like(v) for n, v in vgg.state_dict().items() if n.startswith("features.")}
    rows = torch.arange(4096.0)
    first = rows[:, None, None, None].expand(4096, 512, 7, 7)
    second = (rows[:, None] + rows[None, :] / 4096).contiguous()
    state[f"{six}.weight"] = first.reshape(4096, -1) if layout == "torchvision" else first
    state[f"{seven}.weight"] = second if layout == "torchvision" else second[:, :, None, None]
    return state | {f"{six}.bias": rows, f"{seven}.bias": rows}


def test_maps_are_those_of_ssd(vgg: VGGMaps) -> None:
    with torch.inference_mode():
        first, last = vgg(torch.randint(0, 256, (1, 60, 76, 3), dtype=torch.uint8))
    assert first.shape == (1, 512, 8, 10)  # 30, 15, then rounded up
    assert last.shape == (1, 1024, 4, 5)
    torch.testing.assert_close(first.norm(dim=1), torch.full((1, 8, 10), 20.0), rtol=1e-4, atol=1e-3)


def test_pixels_are_subtracted_from_as_the_original_does(vgg: VGGMaps) -> None:
    pixels = torch.tensor([[[[123, 117, 104], [124, 119, 107]]]], dtype=torch.uint8)
    expected = torch.tensor([[0.0, 1], [0, 2], [0, 3]]).view(1, 3, 1, 2)
    torch.testing.assert_close(vgg.normalize(pixels), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
def test_pretrained_weights_fit_and_the_large_layers_are_thinned_out(layout: str) -> None:
    vgg = VGGMaps(MEAN, STD)
    vgg.put(whole_state(vgg, layout), "a file")
    assert not vgg.features[0].weight.any()  # type: ignore[operator]
    assert vgg.fc6.weight[:, 0, 0, 0].tolist() == list(range(0, 4096, 4))
    assert vgg.fc7.bias is not None
    assert vgg.fc7.bias.tolist() == list(range(0, 4096, 4))
    assert vgg.fc7.weight[1, 1, 0, 0].item() == pytest.approx(4 + 4 / 4096)


def test_weights_of_another_network_are_refused(vgg: VGGMaps) -> None:
    with pytest.raises(WeightsError, match=r"26 tensors do not fit the network, first `features\.0\.weight`"):
        vgg.put({"conv1.weight": torch.zeros(1)}, "a file")


@pytest.mark.parametrize(("what", "trained"), [("none", 31), ("norms", 31), ("stem", 27), ("2,norms", 23), ("5", 5)])
def test_blocks_are_frozen_from_the_first(what: str, trained: int) -> None:
    with torch.device("meta"):
        vgg = VGGMaps(MEAN, STD)
    vgg.freeze(what)
    assert sum(parameter.requires_grad for parameter in vgg.parameters()) == trained


def test_whole_base_can_be_frozen_but_no_more() -> None:
    with torch.device("meta"):
        vgg = VGGMaps(MEAN, STD)
    vgg.freeze("backbone")
    assert [name for name, parameter in vgg.named_parameters() if parameter.requires_grad] == ["scale"]
    with pytest.raises(UsageError, match="`freeze` is 7, the network has 6 stages"):
        vgg.freeze("7")
